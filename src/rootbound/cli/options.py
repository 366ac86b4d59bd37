"""Groups of options that several commands share.

A field is an option, and its docstring the option's help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from rootbound.core.devices import DEVICES, PRECISIONS
from rootbound.datasets import DATASETS, Layout
from rootbound.networks import MODELS
from rootbound.suites import SUITES

DEVICE = f"Where tensors live: {', '.join(DEVICES)}."
DEVICE_IN_BRIEF = "auto, cpu, cuda or mps"
ARCHITECTURE = (
    f"Architecture: {', '.join(MODELS)}, or hf:NAME for the weights of a model of the hub or of a "
    "folder"
)


def option(text: str, *names: str, default: Any = None, brief: str = "", **settings: Any) -> Any:
    """Return the field of an option that needs more than a docstring.

    Args:
        text: Its description in `--help-all`.
        names: Further names, with their dashes.
        default: Value if the option is not given.
        brief: Its description in `--help`; if left out, only its name is there.
        settings: Further arguments of `add_argument`, such as `metavar`.
    """
    about = {"help": text, "brief": brief, "names": names, **settings}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class TaskOptions:
    """What is desirable and what is not, and how files of it are read."""

    title: ClassVar[str] = "the tasks and their data"
    data: str | None = option(
        f"Data set: {', '.join(DATASETS)}, a folder of IDX files, images or tables, FILE.npz, a "
        "table such as FILE.csv, or hf:NAME[:CONFIGURATION][@REVISION] of the hub (default: the "
        "one that the model's file names, or mnist).",
        "--desirable-data",
        brief="mnist, a folder, FILE.npz, FILE.csv or hf:NAME",
    )
    undesirable_data: str | None = option(
        "Data set of the undesirable classes, made to fit (default: the same).", metavar="DATA"
    )
    desirable: str | None = option(
        "Desirable classes by their names, as in cat,dog; where names are numbers, also 0-4 or "
        "1,3,5-7; or all (default: the first five of ten, or all where there are two data sets).",
        brief="what the model is for, as in cat,dog or 0-4",
        metavar="CLASSES",
    )
    undesirable: str | None = option(
        "Undesirable classes, likewise (default: the last five of ten, or all where there are two "
        "data sets).",
        brief="what it must not be turned into",
        metavar="CLASSES",
    )
    share_undesirable: bool = False
    """Give defender and attacker the same undesirable samples, not disjoint halves."""
    input_column: str | None = None
    """Column of images or texts (default: the model's own, or found by its type)."""
    label_column: str | None = None
    """Column of classes (default: the model's own, or found by its type)."""
    label_names: str | None = None
    """Names of classes that are numbers in their column: of 0, 1 and so on, separated by commas;
    or of false and true."""
    train_split: str | None = None
    """Part to train on, as `datasets` writes it, such as train[:1000] (default: the part named
    train)."""
    test_split: str | None = None
    """Part to test on, as `datasets` writes it, such as train[1000:] (default: the part named test
    or validation)."""
    holdout: float | None = None
    """Share of each class to hold out for testing, if the data have no test part (default: the
    model's own, or 0.2)."""
    layout: str | None = None
    """Order of the axes of arrays of images: NHWC or NCHW (default: the model's own, or by their
    sides)."""
    length: int | None = None
    """Most tokens of a text (default: the model's own, or 64)."""
    skip_unreadable: bool = False
    """Leave out images that cannot be read."""
    in_memory: float = option(
        "GiB of images or tokens to keep in memory at most. A part of a data set that is larger "
        "stays in a file of the folder ROOTBOUND_CACHE.",
        default=Layout.in_memory,
        metavar="GIB",
    )


@dataclass(frozen=True)
class NetworkOptions:
    """Which network it is."""

    title: ClassVar[str] = "the network"
    model: str | None = option(
        f"{ARCHITECTURE}, or file.py:function that returns a torch.nn.Module; with a file that "
        "holds weights alone (safetensors, or PyTorch's without code) a config.json, too (default: "
        "the one that the model's file names, or shallow_cnn).",
        brief="a built-in name, hf:NAME, or file.py:function",
    )
    head: str | None = None
    """With --model file.py:function: the last linear layer's name, if it is not found."""
    weights: str | None = option(
        "With --model: which weights of a stranger's file to take, where several fit, such as "
        "ema_state_dict.",
        metavar="KEY",
    )


@dataclass(frozen=True)
class ScalingOptions:
    """How a network wants its inputs scaled, where no file of ours says it."""

    title: ClassVar[str] = "the network"
    mean: float | list[float] | str | None = None
    """With --deviation: how pixels were scaled when a network of another program was trained,
    instead of the data's own scaling: (x - mean) / deviation, where x is from 0 (black) to 1
    (white). One number, or one for each channel as in 0.485,0.456,0.406."""
    deviation: float | list[float] | str | None = None
    """The deviation that belongs to --mean."""
    range: str | None = None
    """With --mean: what is black and what is white where pixels are floating point, such as 0,255
    or -1,1 (default: 0,1)."""


@dataclass(frozen=True)
class RecipeOptions:
    """How every method trains, in place of its own recipe."""

    title: ClassVar[str] = "training"
    epochs: int | None = option(
        "Passes over the data, in place of the method's own.",
        brief="passes over the data (default: the method's own)",
        metavar="NUMBER",
    )
    precision: str | None = option(
        "Precision of the products of matrices in training, in place of the method's own: "
        f"{' or '.join(PRECISIONS)}."
    )
    compile: bool = False
    """Let torch.compile compile the network for training; this needs a C++ compiler, or Triton on
    a GPU."""


@dataclass(frozen=True)
class AttackOptions:
    """How models are attacked, and where the work is done."""

    title: ClassVar[str] = "the attack"
    suite: str = option(
        f"Attack suite: {', '.join(SUITES)}, or file.py:name of one, or of a function that returns "
        "one.",
        default="quick-2",
        brief="such as quick-2, or file.py:name",
    )
    labels: str | None = option(
        "Labelled samples per class, in place of the suite's, such as 10,100,all.",
        brief="labels per class, in place of the suite's: 10,100,all",
    )
    steps: str | None = None
    """Optimiser steps for each of --labels, such as 60,100,160; by default the suite's."""
    trial_limit: float = option(
        "Minutes that one trial may take; then it counts as failed.", default=60.0,
        metavar="MINUTES",
    )  # fmt: skip
    seeds: int | None = option(
        "Number of seeds; each draws weights and labels (default: 3, or 1 with a suite that "
        "confirms on attacker seeds of its own, or draws labels several times for one model).",
        brief="number of draws of models and labels",
        metavar="NUMBER",
    )
    attackers: int | None = option(
        "Attacker seeds that the best settings are confirmed on, in place of the suite's, for "
        "narrower intervals (standard-2: 10 with up to 10 labels per class, 5 with more).",
        metavar="NUMBER",
    )
    workers: int | None = option(
        "Processes, one thread each (default: the number of cores, at most 8).",
        brief="processes (default: the cores, at most 8)",
        metavar="NUMBER",
    )
    device: str = option(DEVICE, default="cpu", brief=DEVICE_IN_BRIEF)
    ray: str | None = option(
        "In place of --workers: the CPUs of a Ray cluster, HOST:PORT of its head or the one that "
        "this machine is part of. This needs the extra ray.",
        nargs="?",
        const="auto",
        metavar="ADDRESS",
    )


@dataclass(frozen=True)
class FolderOptions:
    """Where a run goes, and what it goes on from."""

    title: ClassVar[str] = "the run"
    out: str | None = option(
        "Folder for records, report and figures of this run alone; one that was interrupted goes "
        "on there (default: rootbound-COMMAND, or one beside it where that holds another run).",
        brief="folder of this run alone",
        metavar="FOLDER",
    )
    extends: str | None = option(
        "Folder of a run that has fewer seeds, attackers or methods and is otherwise the same: "
        "what it found is copied to --out, not done again.",
        brief="a smaller run, whose records are used",
        metavar="FOLDER",
    )
    # This is not an option, but the whole command, with which an interrupted run can be resumed.
    command: tuple[str, ...] = ()
