"""What workers come to need and is slow to import: each is a copy of a process that has it."""

import contextlib

from rootbound.core.compiler import load_compiler
from rootbound.inspection.attributions import import_captum

for load in (load_compiler, import_captum):
    # A worker that needs it meets the same error, and says so.
    with contextlib.suppress(Exception):
        load()
