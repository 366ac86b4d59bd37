"""Inspection: what a network looks like, before anybody attacks it.

`diagnosis` measures it: numbers that tell a trick from resistance, which flags compare with those
of the undefended arm. `pictures` shows it: samples, features, filters, and, by `attributions`,
which parts of an image and which words of a text a prediction rests on.
"""
