"""MNIST, 60,000 + 10,000 handwritten digits, bundled with the package.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits";
CC BY-SA 3.0. The files are the originals, checked against their known digests.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rootbound.data import Data, Scaling
from rootbound.datasets import idx
from rootbound.datasets.dataset import Dataset

FOLDER = Path(__file__).parent / "mnist_idx"
SCALING = Scaling(divisor=255.0, mean=0.1307, deviation=0.3081)
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
"""Digests of the uncompressed files."""


@cache
def mnist() -> Dataset:
    """Return MNIST, images `(N, 1, 28, 28)` uint8, labels 0-9.

    Raises:
        InputError: A file of the installed package is missing or damaged.
    """
    return Dataset("MNIST", tuple("0123456789"), _read("train"), _read("t10k"))


def _read(prefix: str) -> Data:
    images, labels = (
        idx.read(FOLDER / f"{name}.gz", MD5[name])
        for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    )
    return Data(images.unsqueeze(1), labels.long(), SCALING)
