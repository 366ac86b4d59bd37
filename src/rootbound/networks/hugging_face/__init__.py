"""Networks of the library `transformers` as blocks and a head, with their tokenisers.

The library is imported only when one of its models is needed. Code that comes with a model is never
run.
"""
