"""What several methods are made of.

`batches` of both tasks; attackers that a method simulates: `trained_heads` keep learning beside
the model, `trajectory` fine-tunes to first order, `unrolled` to second order; and the
`maximum_mean_discrepancy`, which tells how far features are apart.
"""
