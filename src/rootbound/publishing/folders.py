"""Finding the file of weights in a folder of the hub or of a training framework."""

from __future__ import annotations

from pathlib import Path

from rootbound.core.errors import InputError
from rootbound.publishing.hub import WEIGHTS
from rootbound.publishing.name_lists import list_names

ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Endings of files of weights."""
PREFERRED = (WEIGHTS, "*.safetensors.index.json", "*-of-*.safetensors")
"""Patterns of the weights of a model on the hub, whole or in shards."""
OTHERWISE = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")
"""Patterns of PyTorch files, which are used if nothing else matches."""
INDEXES = ("*.safetensors.index.json", "*.bin.index.json", "*.index.json")


def find_in_folder(folder: Path) -> Path:
    """Return the file of weights in a folder: ours, an index of shards, or the only other one.

    If there is none, return the path where ours would be.

    Raises:
        InputError: There are several.
    """
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    for pattern in INDEXES:
        indexes = sorted(folder.glob(pattern))
        if indexes:
            return _take_only(indexes, folder)
    files = [path for path in sorted(folder.glob("*")) if path.suffix in ENDINGS]
    return _take_only(files, folder) if files else folder / WEIGHTS


def _take_only(files: list[Path], folder: Path) -> Path:
    if len(files) > 1:
        raise InputError(
            f"one file of weights in {folder}",
            f"{len(files)}: {list_names([path.name for path in files])}",
            "name one of them",
        )
    return files[0]
