"""Parts that several methods share.

`batches` draws samples of both tasks. Three modules simulate attackers: `trained_heads` keep
learning beside the model, `trajectory` fine-tunes to first order, `unrolled` to second order.
`maximum_mean_discrepancy` measures how far apart features are.
"""
