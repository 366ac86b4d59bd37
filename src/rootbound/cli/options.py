"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound import distributed
from rootbound.attacks import SUITES, Budget, Suite, find_suite
from rootbound.datasets import ALL, DATASETS, Dataset, HashedWords, Layout, Tokeniser, fitted, load
from rootbound.datasets.layout import AS_FOUND
from rootbound.devices import DEVICES, find_device
from rootbound.errors import InputError
from rootbound.evaluation import Engine, RayCluster
from rootbound.evaluation.workers import engine_for
from rootbound.models import MODELS
from rootbound.models.hugging_face import PRETRAINED, pretrained_tokeniser
from rootbound.runs import RunFolder
from rootbound.tasks import TaskPair, Tasks
from rootbound.user_code import load_code

DATA, MODEL = "mnist", "shallow_cnn"
CLASSES = {"desirable": "0-4", "undesirable": "5-9"}
"""Of one data set, where nothing else is said."""


def add_tasks(parser: ArgumentParser, default: str = DATA) -> None:
    """Add the options that say what is desirable and what is not."""
    names = ", ".join(DATASETS)
    parser.add_argument(
        "--data", "--desirable-data", type=str, default=None,
        help=f"data set: {names}, a folder of IDX, image or parquet files, FILE.npz, or hf:NAME of "
        f"the hub (default: {default})",
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
    parser.add_argument(
        "--input-column", type=str, default=None,
        help="column of images or texts (default: found by its type)",
    )  # fmt: skip
    parser.add_argument(
        "--label-column", type=str, default=None,
        help="column of classes (default: found by its type)",
    )  # fmt: skip
    parser.add_argument(
        "--length", type=int, default=64, help="tokens of a text at most (default: 64)"
    )
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out images that cannot be read"
    )
    parser.add_argument(
        "--in-memory", type=float, default=AS_FOUND.in_memory,
        help="GiB of images or tokens to keep in memory at most; a part of a data set that is "
        f"larger stays in a file of the folder ROOTBOUND_CACHE (default: {AS_FOUND.in_memory:g})",
    )  # fmt: skip


def add_model(parser: ArgumentParser, *, own: bool = False) -> None:
    """Add the option that names the architecture.

    Where it may be the user's own, it may be a file's, too, and is left open when nothing is said.
    """
    more = f", or file.py:function that returns a torch.nn.Module (default: {MODEL})" if own else ""
    parser.add_argument(
        "--model", type=str, default=None if own else MODEL,
        help=f"architecture: {', '.join(MODELS)}, or {PRETRAINED}NAME for the weights of a model "
        f"of the hub or of a folder{more}",
    )  # fmt: skip


def add_attack(parser: ArgumentParser, suite: str = "demo-1") -> None:
    """Add the options that say how to attack, and where the run goes."""
    parser.add_argument(
        "--suite", type=str, default=suite, help=f"attack suite: {', '.join(SUITES)}"
    )
    parser.add_argument(
        "--labels", type=str, default=None,
        help="instead of the suite's: labelled samples per class, such as 10,100,all",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=str, default=None,
        help="instead of the suite's: optimiser steps for each of --labels, such as 60,100,160",
    )  # fmt: skip
    parser.add_argument(
        "--trial-limit", type=float, default=60.0,
        help="minutes that one trial may take; then it counts as failed (default: 60)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=int, default=None,
        help="number of seeds; each draws weights and labels (default: 3, or 1 with a suite that "
        "confirms on attacker seeds of its own)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=None,
        help="processes, one thread each (default: the number of cores, at most 8)",
    )  # fmt: skip
    add_device(parser)
    parser.add_argument(
        "--ray", type=str, nargs="?", const="auto", default=None, metavar="ADDRESS",
        help="instead of --workers: the CPUs of a Ray cluster, HOST:PORT of its head or the one "
        "that this machine is part of; needs the extra ray",
    )  # fmt: skip


def add_device(parser: ArgumentParser) -> None:
    """Add the option that says where tensors live."""
    parser.add_argument(
        "--device", type=str, default="cpu", help=f"{', '.join(DEVICES)} (default: cpu)"
    )


def as_found(data: Dataset) -> Dataset:
    """Return a data set as it is."""
    return data


def add_folder(parser: ArgumentParser, default: str) -> None:
    """Add the option that says where a run goes."""
    parser.add_argument(
        "--out", type=str, default=None,
        help="folder for records, report and figures, of this run alone; one that was interrupted "
        f"goes on there (default: {default}, or one beside it where that holds another run)",
    )  # fmt: skip


def run_folder(options: Namespace, default: str) -> RunFolder:
    """Return the folder that the options name, or the default, or one beside that."""
    path = Path(default if options.out is None else options.out)
    return RunFolder(path, options.arguments, beside=options.out is None)


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
    layout = Layout(
        options.input_column,
        options.label_column,
        options.skip_unreadable,
        options.length,
        options.in_memory,
    )
    return load(name, tokeniser=_tokeniser(tokeniser), layout=layout)


def _tokeniser(name: str) -> Callable[[], Tokeniser]:
    if name.startswith(PRETRAINED):
        return partial(pretrained_tokeniser, name.removeprefix(PRETRAINED))
    return HashedWords


def settle(options: Namespace, name: str, value: str) -> None:
    """Give an option that was left open its value."""
    if options[name] is None:
        options[name] = value


def read_suite(options: Namespace) -> Suite:
    """Return the suite that the options describe."""
    suite = replace(find_suite(options.suite), trial_limit=60 * options.trial_limit)
    if options.labels is None and options.steps is None:
        return suite
    labels = [None if text == "all" else _whole(text) for text in _parts(options.labels)]
    steps = [_whole(text) for text in _parts(options.steps)]
    if len(labels) != len(steps):
        raise InputError(
            "as many --steps as --labels", f"{len(steps)} and {len(labels)}", "give both lists"
        )
    return suite.with_budgets(
        tuple(Budget(count, spent) for count, spent in zip(labels, steps, strict=True))
    )


def read_seeds(options: Namespace, suite: Suite) -> int:
    """Return how many seeds: those asked for, or what makes sense with the suite."""
    if options.seeds is not None:
        return int(options.seeds)
    return 1 if suite.confirmed else 3


def read_engine(options: Namespace) -> Engine:
    """Return where jobs are to be done."""
    if distributed.started() > 1:
        raise InputError(
            "one process",
            f"{distributed.started()} started by torchrun",
            "use --workers or --ray: only `rootbound train` is for torchrun",
        )
    if options.ray is None:
        device = str(find_device(options.device))
        default = max(1, min(os.cpu_count() or 1, 8))
        workers = default if options.workers is None else options.workers
        return engine_for(workers, device)
    if options.workers is not None:
        raise InputError("--workers or --ray", "both", "leave one out")
    return RayCluster(options.ray, device=options.device)


def load_named(name: str) -> object | None:
    """Return what `file.py:name` names; None for any other text.

    Raises:
        InputError: there is no such file or name, or the file cannot be run.
    """
    module, _, attribute = load_named_class(name).rpartition(".")
    found = sys.modules.get(module)
    return getattr(found, attribute, None) if ":" in name else None


def load_named_class(name: str) -> str:
    """Return the dotted name of a class given as `file.py:Class`; other names as they are.

    The file is run, as any Python file that its user names.

    Raises:
        InputError: there is no such file or class, or the file cannot be run.
    """
    path, colon, attribute = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        return name
    module = load_code(path)
    if not hasattr(module, attribute):
        raise InputError(f"a class {attribute} in {path}", "none of that name", "check the name")
    return f"{module.__name__}.{attribute}"


def _parts(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            "a whole number or 'all'", repr(text), "correct --labels or --steps"
        ) from None
