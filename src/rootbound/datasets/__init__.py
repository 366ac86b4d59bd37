"""Data sets by name: the bundled `mnist`, a path of a folder or file, or `hf:` and a hub name."""

from collections.abc import Callable
from pathlib import Path

import torch

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.datasets.classes import ALL, describe, parse_classes
from rootbound.datasets.conversion import fitted
from rootbound.datasets.dataset import DEFAULT_LAYOUT, Dataset, Layout
from rootbound.datasets.hugging_face import hugging_face
from rootbound.datasets.idx_folder import idx_folder
from rootbound.datasets.image_columns import READERS
from rootbound.datasets.image_folder import (
    has_folders_of_images,
    image_folder,
    is_image_folder,
)
from rootbound.datasets.mnist import mnist
from rootbound.datasets.npz_file import npz_file
from rootbound.datasets.texts import Texts
from rootbound.datasets.tokenisers import HashedWords, Letters, Predicted, Tokeniser
from rootbound.datasets.unused import OF_TABLES, list_stated, refuse_unused

DATASETS: dict[str, Callable[[], Dataset]] = {"mnist": mnist}
HUB = "hf:"


def load(
    name: str | Path,
    *,
    tokeniser: Callable[[], Tokeniser] = HashedWords,
    layout: Layout = DEFAULT_LAYOUT,
) -> Dataset:
    """Return a data set by its name, by the path of its file or folder, or from the hub.

    It is read into main memory, whatever device is in use; `Data.to` moves it.

    Args:
        name: The name of a bundled data set, a path, or `hf:` and a name on the hub.
        tokeniser: Makes the tokeniser of the model that texts are for. With the tokeniser of a
            causal language model, the task is to predict the next token.
        layout: What the files do not say themselves.

    Raises:
        InputError: There is no such data set, its files cannot be used, or the layout has settings
            that they have no use for.
    """
    with torch.device("cpu"):
        try:
            if list_stated(layout):
                refuse_unused(layout, str(name), settings_of(name))
            content = _read(str(name), layout)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise InputError(
                f"a data set that can be read at {str(name)[:200]}", reason, "check the path"
            ) from None
        return as_dataset(content, tokeniser, layout)


def as_dataset(
    content: Dataset | Texts, tokeniser: Callable[[], Tokeniser], layout: Layout
) -> Dataset:
    """Return texts as tokens, and other data unchanged.

    Args:
        content: The data that were read.
        tokeniser: Makes the tokeniser, as in `load`.
        layout: How long a text may be, and how much may be in memory.
    """
    if isinstance(content, Dataset):
        return content
    made = tokeniser()
    if isinstance(made, Predicted):
        return content.next_tokens(made, layout.length)
    return content.tokenised(made, layout.length, layout.in_memory)


def _read(name: str, layout: Layout) -> Dataset | Texts:
    if name in DATASETS:
        return DATASETS[name]()
    if name.startswith(HUB):
        return hugging_face(name.removeprefix(HUB), layout)
    if name.lower().endswith(".npz"):
        return npz_file(Path(name), layout)
    if name and Path(name).is_dir():
        return _read_folder(Path(name), layout)
    if name and Path(name).suffix.lower() in READERS and Path(name).exists():
        return hugging_face(name, layout)
    if name and Path(name).exists():
        raise InputError(
            f"a folder, a table ({', '.join(READERS)}) or an .npz file at {name}",
            "another file",
            "give its folder",
        )
    if "/" in name or name.startswith("."):
        raise InputError(
            f"a folder or an .npz file at {name}", "no such folder",
            f"check the path; a data set of the hub is {HUB}OWNER/NAME",
        )  # fmt: skip
    raise unknown_name_error(
        "data set (or a folder, an .npz file, or hf:NAME of the hub)", name, DATASETS,
        otherwise="check the path",
    )  # fmt: skip


def settings_of(name: str | Path) -> tuple[str, ...]:
    """Return the settings of a layout that matter for data of that name.

    Raises:
        OSError: The path cannot be looked up.
    """
    if name in DATASETS:
        return ()
    if str(name).lower().endswith(".npz"):
        return ("axes",)
    folder = Path(name)
    if str(name).startswith(HUB) or not folder.is_dir():
        return OF_TABLES
    return () if _holds_idx(folder) else ("holdout",) if is_image_folder(folder) else OF_TABLES


def _holds_idx(folder: Path) -> bool:
    return any(folder.glob("*-ubyte*"))


def holds_data(folder: Path) -> bool:
    """Return whether a folder holds a data set: IDX files, tables, or folders of images."""
    if not folder.is_dir():
        return False
    tables = (path for path in folder.iterdir() if path.suffix.lower() in READERS)
    return _holds_idx(folder) or any(tables) or has_folders_of_images(folder)


def _read_folder(folder: Path, layout: Layout) -> Dataset | Texts:
    if _holds_idx(folder):
        return idx_folder(folder, layout)
    if is_image_folder(folder):
        return image_folder(folder, layout)
    return hugging_face(str(folder), layout)


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
    "holds_data",
    "hugging_face",
    "idx_folder",
    "image_folder",
    "list_stated",
    "load",
    "mnist",
    "npz_file",
    "parse_classes",
    "settings_of",
]
