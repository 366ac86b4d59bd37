"""One binary reader under atheris: `python benchmarks/torture/fuzz.py idx -runs=10000`."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["rootbound.datasets", "rootbound.publishing.checkpoint"]):
    from rootbound.datasets import idx, load
    from rootbound.publishing import load_model

READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "idx": ("x-idx1-ubyte", idx.read),
    "npz": ("x.npz", lambda path: load(str(path))),
    "model": ("x.safetensors", load_model),
}


def main() -> None:
    """Feed the reader until the runs are over; anything but an `InputError` ends the program."""
    file, read = READERS[sys.argv.pop(1)]
    path = Path(tempfile.mkdtemp()) / file

    def once(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read(path)
        except InputError:
            return

    atheris.Setup(sys.argv, once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
