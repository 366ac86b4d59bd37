"""Data sets by name: `mnist` is bundled; a path names a folder or file, `hf:` one of the hub."""

from collections.abc import Callable
from pathlib import Path

from rootbound.datasets.dataset import ALL, Dataset, describe, parse_classes
from rootbound.datasets.fitting import fitted
from rootbound.datasets.hugging_face import hugging_face
from rootbound.datasets.idx_folder import idx_folder
from rootbound.datasets.mnist import mnist
from rootbound.datasets.npz_file import npz_file
from rootbound.errors import unknown_name

DATASETS: dict[str, Callable[[], Dataset]] = {"mnist": mnist}
HUB = "hf:"


def load(name: str) -> Dataset:
    """Return the data set of that name, the one in the file or folder of that path, or of the hub.

    Raises:
        InputError: there is neither, or its files cannot be used.
    """
    if name in DATASETS:
        return DATASETS[name]()
    if name.startswith(HUB):
        return hugging_face(name.removeprefix(HUB))
    if name.endswith(".npz"):
        return npz_file(Path(name))
    if name and Path(name).is_dir():
        idx = any(Path(name).glob("*-ubyte*"))
        return idx_folder(Path(name)) if idx else hugging_face(name)
    raise unknown_name(
        "data set (or a folder, an .npz file, or hf:NAME of the hub)", name, DATASETS
    )


__all__ = [
    "ALL",
    "DATASETS",
    "Dataset",
    "describe",
    "fitted",
    "hugging_face",
    "idx_folder",
    "load",
    "mnist",
    "npz_file",
    "parse_classes",
]
