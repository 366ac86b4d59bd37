"""What users of Python call: a model audited or made resistant in one line, and its verdict.

Everything is done by the floors below. A part is loaded when it is first used: a verdict is read
without torch.
"""
