"""What is desirable and what is not: the options that say it, and the tasks that they mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound.data import TaskPair, Tasks
from rootbound.datasets import ALL, DATASETS, Dataset, HashedWords, Layout, Tokeniser, fitted, load
from rootbound.networks.hugging_face import PRETRAINED, pretrained_tokeniser
from rootbound.publishing import Origin
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.hub import WEIGHTS

DATA = "mnist"
CLASSES = {"desirable": "0-4", "undesirable": "5-9"}
"""Of one data set, where nothing else is said."""


KEPT = ("length", "input_column", "label_column", "label_names", "train_split", "test_split")
"""Options of how data are read, which a model's file keeps."""


def add_tasks(parser: ArgumentParser, default: str = DATA) -> None:
    """Add the options that say what is desirable and what is not."""
    names = ", ".join(DATASETS)
    parser.add_argument(
        "--data", "--desirable-data", type=str, default=None,
        help=f"data set: {names}, a folder of IDX, image or parquet files, FILE.npz, or "
        f"hf:NAME[:CONFIGURATION][@REVISION] of the hub (default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "--undesirable-data", type=str, default=None,
        help="data set of the undesirable classes, made to fit (default: the same)",
    )  # fmt: skip
    for role, classes in CLASSES.items():
        parser.add_argument(
            f"--{role}", type=str, default=None,
            help=f"{role} classes: numbers such as 0-4 or 1,3,5-7, names, or all (default: "
            f"{classes}, or all where there are two data sets)",
        )  # fmt: skip
    parser.add_argument(
        "--share-undesirable", action="store_true",
        help="give defender and attacker the same undesirable samples, not disjoint halves",
    )  # fmt: skip
    _add_reading(parser)


def _add_reading(parser: ArgumentParser) -> None:
    """Add the options that say how files are read."""
    parser.add_argument(
        "--input-column", type=str, default=None,
        help="column of images or texts (default: the model's own, or found by its type)",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", type=str, default=None,
        help="column of classes (default: the model's own, or found by its type)",
    )  # fmt: skip
    parser.add_argument(
        "--label-names", type=str, default=None,
        help="names of classes that are numbers in their column: of 0, 1 and so on, separated by "
        "commas",
    )  # fmt: skip
    for part in ("train", "test"):
        parser.add_argument(
            f"--{part}-split", type=str, default=None,
            help=f"what `datasets` shall read as the {part} part, such as train[:1000] (default: "
            "the part of that name)",
        )  # fmt: skip
    parser.add_argument(
        "--length", type=int, default=None,
        help=f"tokens of a text at most (default: the model's own, or {Layout.length})",
    )  # fmt: skip
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out images that cannot be read"
    )
    parser.add_argument(
        "--in-memory", type=float, default=Layout.in_memory,
        help="GiB of images or tokens to keep in memory at most; a part of a data set that is "
        f"larger stays in a file of the folder ROOTBOUND_CACHE (default: {Layout.in_memory:g})",
    )  # fmt: skip


def as_found(data: Dataset) -> Dataset:
    """Return a data set as it is."""
    return data


def read_tasks(
    options: Namespace, tokeniser: str = "", fit: Callable[[Dataset], Dataset] = as_found
) -> TaskPair:
    """Return the pair of tasks that the options describe; write into them what they left open.

    Args:
        options: as parsed.
        tokeniser: name of the pretrained model whose tokeniser texts are for, if any.
        fit: makes the desirable data fit a model that is there already.
    """
    settle(options, "data", DATA)
    settle(options, "undesirable_data", options.data)
    same = options.undesirable_data == options.data
    for role, classes in CLASSES.items():
        settle(options, role, classes if same else ALL)
    data = fit(_loaded(options, options.data, tokeniser))
    share = options.share_undesirable
    wanted = data.chosen(options.desirable)
    if same:
        return data.split(wanted, data.chosen(options.undesirable), share_undesirable=share)
    other = fitted(_loaded(options, options.undesirable_data, tokeniser), data.train.shape)
    unwanted = other.task(other.chosen(options.undesirable))
    return TaskPair.of(data.task(wanted), unwanted, share_undesirable=share)


def read_undesirable(
    options: Namespace, tokeniser: str = "", fit: Callable[[Dataset], Dataset] = as_found
) -> Tasks | None:
    """Return the undesirable task alone; None where anything is said of the desirable one.

    Nothing is said of it by a data set of undesirable classes, or by classes of one data set that
    are called undesirable. Without either, `read_tasks` has its defaults.

    Args:
        options: as parsed.
        tokeniser: name of the pretrained model whose tokeniser texts are for, if any.
        fit: makes the data fit a model that is there already.
    """
    other = options.undesirable_data
    whole = other is None and options.undesirable is None
    if options.desirable is not None or whole or (other is not None and options.data is not None):
        return None
    data = fit(_loaded(options, other or options.data or DATA, tokeniser))
    return Tasks.alone(data.task(data.chosen(options.undesirable or ALL)))


def _loaded(options: Namespace, name: str, tokeniser: str) -> Dataset:
    if tokeniser.startswith(PRETRAINED):
        header = read_header(Path(tokeniser.removeprefix(PRETRAINED), WEIGHTS))
        if header is not None:
            settle_reading(options, header.origin)
    settle(options, "length", Layout.length)
    layout = Layout(
        options.input_column,
        options.label_column,
        options.skip_unreadable,
        options.length,
        options.in_memory,
        options.train_split,
        options.test_split,
        tuple(part.strip() for part in (options.label_names or "").split(",") if part.strip()),
    )
    return load(name, tokeniser=_tokeniser(tokeniser), layout=layout)


def _tokeniser(name: str) -> Callable[[], Tokeniser]:
    if name.startswith(PRETRAINED):
        return partial(pretrained_tokeniser, name.removeprefix(PRETRAINED))
    return HashedWords


def settle(options: Namespace, name: str, value: str | int) -> None:
    """Give an option that was left open its value."""
    if options[name] is None:
        options[name] = value


def settle_reading(options: Namespace, origin: Origin) -> None:
    """Have data read as a model's own were, where the options leave that open.

    Args:
        options: as parsed.
        origin: where the model comes from.
    """
    for name in KEPT:
        if known := getattr(origin, name):
            settle(options, name, known)
