"""Networks of the library `transformers` as blocks and a head, with their tokenisers.

The library is imported when a model of it is asked for, and code that comes with a model is never
run.
"""
