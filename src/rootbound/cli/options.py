"""Options that several commands share, and what they mean."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound.attacks import Budget
from rootbound.core import distributed
from rootbound.core.devices import DEVICES, find_device
from rootbound.core.errors import InputError
from rootbound.core.user_code import load_code
from rootbound.execution import Engine, RayCluster, engine_for
from rootbound.networks import MODELS
from rootbound.networks.hugging_face import PRETRAINED
from rootbound.records import RunFolder
from rootbound.suites import SUITES, Suite, find_suite

MODEL = "shallow_cnn"


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
        "--suite", type=str, default=suite,
        help=f"attack suite: {', '.join(SUITES)}, or file.py:name of one, or of a function that "
        "returns one",
    )  # fmt: skip
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
        "--attackers", type=int, default=None,
        help="instead of the suite's: attacker seeds that the best settings are confirmed on, for "
        "narrower intervals (standard-1: 5)",
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


def add_folder(parser: ArgumentParser, default: str) -> None:
    """Add the options that say where a run goes, and what it goes on from."""
    parser.add_argument(
        "--out", type=str, default=None,
        help="folder for records, report and figures, of this run alone; one that was interrupted "
        f"goes on there (default: {default}, or one beside it where that holds another run)",
    )  # fmt: skip
    parser.add_argument(
        "--extends", type=str, default=None, metavar="FOLDER",
        help="of a run of fewer seeds, attackers or methods and else the same: what it found is "
        "taken up into --out, not done again",
    )  # fmt: skip


def run_folder(options: Namespace, default: str) -> RunFolder:
    """Return the folder that the options name, or the default, or one beside that."""
    path = Path(default if options.out is None else options.out)
    smaller = None if options.extends is None else Path(options.extends)
    return RunFolder(path, options.arguments, beside=options.out is None, extends=smaller)


def read_suite(options: Namespace) -> Suite:
    """Return the suite that the options describe."""
    suite = replace(_suite(options.suite), trial_limit=60 * options.trial_limit)
    if options.attackers is not None:
        suite = suite.with_attackers(options.attackers)
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


def _suite(name: str) -> Suite:
    """Return the suite of a name, or what a file of the user's calls so."""
    made = load_named(name)
    if made is None:
        return find_suite(name)
    suite = made() if callable(made) else made
    if not isinstance(suite, Suite):
        raise InputError(f"a rootbound.Suite from {name}", type(suite).__name__, "correct --suite")
    return suite


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
        raise InputError(f"{attribute} in {path}", "none of that name", "check the name")
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
