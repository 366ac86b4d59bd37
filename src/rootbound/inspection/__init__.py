"""Inspection: it measures and shows a network before any attack.

`diagnosis` measures numbers that tell a trick from resistance. Flags compare them with those of
the undefended arm. `pictures` shows samples, features and filters. `attributions` shows which parts
of an image, or which words of a text, a prediction depends on.
"""
