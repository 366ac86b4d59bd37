"""What methods are made of: attackers that they simulate, and measures of features.

Attackers: `trained_heads` keep learning beside the model, `trajectory` fine-tunes to first order,
`unrolled` to second order. Measures: `maximum_mean_discrepancy`, `condition` numbers.
"""
