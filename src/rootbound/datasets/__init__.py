"""Data sets by name: `mnist` is bundled; a path names a folder or file, `hf:` one of the hub."""

from collections.abc import Callable
from pathlib import Path

import torch

from rootbound.core.errors import InputError, unknown_name
from rootbound.datasets.dataset import ALL, Dataset, describe, parse_classes
from rootbound.datasets.fitting import fitted
from rootbound.datasets.hugging_face import hugging_face
from rootbound.datasets.idx_folder import idx_folder
from rootbound.datasets.image_folder import image_folder, is_image_folder
from rootbound.datasets.layout import AS_FOUND, Layout
from rootbound.datasets.mnist import mnist
from rootbound.datasets.npz_file import npz_file
from rootbound.datasets.texts import Texts
from rootbound.datasets.tokenisers import HashedWords, Letters, Predicted, Tokeniser

DATASETS: dict[str, Callable[[], Dataset]] = {"mnist": mnist}
HUB = "hf:"


def load(
    name: str,
    *,
    tokeniser: Callable[[], Tokeniser] = HashedWords,
    layout: Layout = AS_FOUND,
) -> Dataset:
    """Return the data set of that name, the one in the file or folder of that path, or of the hub.

    It is read in the processor's memory, whatever device is at hand: `Data.to` brings it there.

    Args:
        name: of a bundled data set, a path, or `hf:` and a name on the hub.
        tokeniser: makes that of the model which texts are for; where it is one of a causal
            language model, tasks are to tell the next token.
        layout: what the files do not say themselves.

    Raises:
        InputError: there is neither, or its files cannot be used.
    """
    with torch.device("cpu"):
        return _read(name, tokeniser, layout)


def _read(name: str, tokeniser: Callable[[], Tokeniser], layout: Layout) -> Dataset:
    if name in DATASETS:
        return DATASETS[name]()
    if name.startswith(HUB):
        return _tokenised(hugging_face(name.removeprefix(HUB), layout), tokeniser, layout)
    if name.endswith(".npz"):
        return npz_file(Path(name), layout)
    if name and Path(name).is_dir():
        folder = Path(name)
        if any(folder.glob("*-ubyte*")):
            return idx_folder(folder, layout)
        if is_image_folder(folder):
            return image_folder(folder, layout)
        return _tokenised(hugging_face(name, layout), tokeniser, layout)
    if name and Path(name).exists():
        raise InputError(f"a folder or an .npz file at {name}", "a file", "give its folder")
    if "/" in name or name.startswith("."):
        raise InputError(
            f"a folder or an .npz file at {name}", "no such folder",
            f"check the path; a data set of the hub is {HUB}OWNER/NAME",
        )  # fmt: skip
    raise unknown_name(
        "data set (or a folder, an .npz file, or hf:NAME of the hub)", name, DATASETS
    )


def _tokenised(
    found: Dataset | Texts, tokeniser: Callable[[], Tokeniser], layout: Layout
) -> Dataset:
    if isinstance(found, Dataset):
        return found
    own = tokeniser()
    if isinstance(own, Predicted):
        return found.next_tokens(own, layout.length)
    return found.tokenised(own, layout.length, layout.in_memory)


__all__ = [
    "ALL",
    "DATASETS",
    "Dataset",
    "HashedWords",
    "Layout",
    "Letters",
    "Texts",
    "Tokeniser",
    "describe",
    "fitted",
    "hugging_face",
    "idx_folder",
    "image_folder",
    "load",
    "mnist",
    "npz_file",
    "parse_classes",
]
