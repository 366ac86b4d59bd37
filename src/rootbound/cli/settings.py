"""Resolving `--suite`, `--seeds`, `--workers`, `--out` and others to the settings of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from rootbound.attacks import Budget
from rootbound.cli.options import AttackOptions, FolderOptions
from rootbound.cli.tasks import TaskSource, UndesirableSource
from rootbound.core import distributed
from rootbound.core.devices import find_device
from rootbound.core.errors import InputError
from rootbound.core.user_code import load_named
from rootbound.execution import Engine, RayCluster, make_engine
from rootbound.records import RunFolder, has_spec
from rootbound.suites import Suite, find_suite


@dataclass(frozen=True)
class RunSettings:
    """How models are attacked in a run, where work is done, and where records are saved.

    Args:
        suite: Attacks and budgets.
        seeds: Number of seeds; None for the default.
        engine: The engine that runs the jobs.
        folder: The folder of the run.
    """

    suite: Suite
    seeds: int | None
    engine: Engine
    folder: RunFolder


def resolve_settings(
    attack: AttackOptions, folder: FolderOptions, minutes: float | None = None
) -> RunSettings:
    """Return the settings that the options describe; nothing is written yet.

    Args:
        attack: How to attack, and where.
        folder: The folder of the run.
        minutes: Total time of the attacks; None for no limit.

    Raises:
        InputError: There is no such suite, device or file, or options exclude each other.
    """
    suite = _read_suite(attack)
    if minutes is not None:
        if attack.attackers is not None:
            raise InputError(
                "either --minutes or --attackers",
                "both",
                "leave one out: in a limited time nothing is confirmed",
            )
        suite = suite.within(minutes)
    if folder.out is not None and not folder.out.strip():
        raise InputError("a folder in --out", "nothing", "name one, or leave it out")
    path = Path(folder.out if folder.out is not None else f"rootbound-{folder.command[0]}")
    smaller = None if folder.extends is None else Path(folder.extends)
    run = RunFolder(path, folder.command, beside=folder.out is None, extends=smaller)
    return RunSettings(suite, attack.seeds, _read_engine(attack), run)


def refuse_inside(source: UndesirableSource, folder: RunFolder) -> None:
    """Raise an `InputError` if a new run would be written among the files of its data."""
    names = {source.undesirable_data, source.data if isinstance(source, TaskSource) else ""}
    places = [Path(name).resolve() for name in names if name and Path(name).is_dir()]
    path = folder.path.resolve()
    if not has_spec(path) and not {path, *path.parents}.isdisjoint(places):
        raise InputError(
            "a folder for this run outside the data",
            f"{folder.path}, a place inside them",
            "pass another `folder`",
        )


def _read_suite(options: AttackOptions) -> Suite:
    found = load_named(options.suite)
    suite = find_suite(options.suite) if found is None else found() if callable(found) else found
    if not isinstance(suite, Suite):
        raise InputError(
            f"a rootbound.Suite from {options.suite}", type(suite).__name__, "correct --suite"
        )
    if options.trial_limit <= 0:
        raise InputError("minutes of --trial-limit above 0", str(options.trial_limit), "raise it")
    suite = replace(suite, trial_limit=60 * options.trial_limit)
    if options.attackers is not None:
        suite = suite.with_attackers(options.attackers)
    if options.labels is None and options.steps is None:
        return suite
    labels = [None if text == "all" else _read_whole(text) for text in _split(options.labels)]
    if options.steps is None:
        steps = [suite.steps_for(count) for count in labels]
    else:
        steps = [_read_whole(text) for text in _split(options.steps)]
    if len(labels) != len(steps):
        raise InputError(
            "as many --steps as --labels, or --labels alone",
            f"{len(steps)} and {len(labels)}",
            "correct one of the lists",
        )
    return suite.with_budgets(tuple(map(Budget, labels, steps)))


def _read_engine(options: AttackOptions) -> Engine:
    if distributed.count_started() > 1:
        raise InputError(
            "one process",
            f"{distributed.count_started()} started by torchrun",
            "use --workers or --ray: only `rootbound train` is for torchrun",
        )
    if options.ray is None:
        default = max(1, min(os.cpu_count() or 1, 8))
        workers = default if options.workers is None else options.workers
        return make_engine(workers, str(find_device(options.device)))
    if options.workers is not None:
        raise InputError("--workers or --ray", "both", "leave one out")
    return RayCluster(options.ray, device=options.device)


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _read_whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(
            "a whole number or 'all'", repr(text), "correct --labels or --steps"
        ) from None
