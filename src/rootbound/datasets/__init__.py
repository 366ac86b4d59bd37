"""Data sets by name: `mnist` is bundled; a path names a folder of IDX files."""

from collections.abc import Callable
from pathlib import Path

from rootbound.datasets.dataset import Dataset, describe, parse_classes
from rootbound.datasets.idx_folder import idx_folder
from rootbound.datasets.mnist import mnist
from rootbound.errors import unknown_name

DATASETS: dict[str, Callable[[], Dataset]] = {"mnist": mnist}


def load(name: str) -> Dataset:
    """Return the data set of that name, or the one in the folder of that path.

    Raises:
        InputError: there is neither, or its files cannot be used.
    """
    if name in DATASETS:
        return DATASETS[name]()
    if Path(name).is_dir():
        return idx_folder(Path(name))
    raise unknown_name("data set (or a folder of IDX files)", name, DATASETS)


__all__ = ["DATASETS", "Dataset", "describe", "idx_folder", "load", "mnist", "parse_classes"]
