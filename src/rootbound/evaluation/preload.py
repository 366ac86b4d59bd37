"""Imports that workers need and that are slow: workers are forked from a process that has them."""

import contextlib

from rootbound.core.compiler import load_compiler
from rootbound.inspection.attributions import import_captum

for load in (load_compiler, import_captum):
    # A worker that needs it will meet and report the same error.
    with contextlib.suppress(Exception):
        load()
