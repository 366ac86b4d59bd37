"""Show runs and what sets them apart, or go on with one that was interrupted."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.records import (
    Difference,
    Evaluation,
    RunFolder,
    Spec,
    compare_runs,
    find_runs,
    has_spec,
    read_spec_from_records,
)

SHOWN = 10
"""Number of different results that are listed; the others are counted."""


@dataclass(frozen=True)
class Options:
    """Options of `rootbound runs`."""

    action: str = field(metadata={"metavar": "{list,show,resume,diff}"})
    """list: the runs below a folder (default: this one); show: one run; resume: continue one with
    the command that began it; diff: the differences between two runs."""
    folders: list[str] = field(metadata={"type": str, "nargs": "*"})
    """Run folders."""


def run(options: Options) -> int | list[str]:
    """Run the action; return the exit code, or the command that resumes a run."""
    if options.action not in ACTIONS:
        raise unknown_name_error("command", options.action, ACTIONS)
    return ACTIONS[options.action]([Path(folder) for folder in options.folders])


def _list(folders: Sequence[Path]) -> int:
    (root,) = _require_count(1, folders or [Path()], "list")
    if not root.is_dir():
        raise InputError(f"a folder at {root}", "none", "check the path")
    for folder in find_runs(root):
        try:
            line = _describe_run(Evaluation.load(folder))
        except InputError as error:
            line = str(error)
        sys.stdout.write(f"{folder}  {line}\n")
    return 0


def _describe_run(evaluation: Evaluation) -> str:
    context = evaluation.context
    seeds = context.get("seeds", "?")
    return "  ".join(
        [
            f"{context.get('run', '?'):12}",
            "complete  " if evaluation.complete else "unfinished",
            str(context.get("date", "?")),
            f"{context.get('suite', '?')}, {seeds} seed{'' if seeds == 1 else 's'}, "
            f"{len(evaluation.trainings)} models, {len(evaluation.records)} trials",
        ]
    )


def _show(folders: Sequence[Path]) -> int:
    (folder,) = _require_count(1, folders, "show")
    spec, evaluation = _read(folder)
    lines = [_describe_run(evaluation)]
    if spec.command:
        lines.append(f"command: {shlex.join(['rootbound', *spec.command])}  (in {spec.directory})")
    lines += [f"{name}: {value}" for name, value, _ in spec.differs_from(Spec({}))]
    done = Counter((one.method, one.seed, one.error is None) for one in evaluation.records)
    lines += [
        f"{one.method}, seed {one.seed}: {done[one.method, one.seed, True]} trials finished, "
        f"{done[one.method, one.seed, False]} failed"
        for one in evaluation.trainings
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _resume(folders: Sequence[Path]) -> int | list[str]:
    """Return the command that resumes a run, and change to the directory where it was begun."""
    (folder,) = _require_count(1, folders, "resume")
    spec, page = Spec.load(folder), folder / "report.html"
    if page.is_file() and (whole := RunFolder(folder).read_complete()) and whole.complete:
        sys.stdout.write(f"complete, nothing is missing\nreport: {page}\n")
        return 0
    if not spec.command:
        raise InputError(
            f"a run in {folder} that a command began", "one of a program", "start that again"
        )
    if not Path(spec.directory).is_dir():
        raise InputError(
            f"the directory {spec.directory}, in which the run was begun", "none", "make it"
        )
    command = [*spec.command, "--out", str(folder.resolve())]
    sys.stderr.write(f"rootbound: {shlex.join(['rootbound', *command])}\n")
    os.chdir(spec.directory)  # paths in the command are relative to it
    return command


def _diff(folders: Sequence[Path]) -> int:
    one, other = _require_count(2, folders, "diff")
    runs = [Evaluation.load(folder) for folder in (one, other)]
    lines = [f"A: {one}", f"B: {other}"]
    bare = [name for name, path in zip("AB", (one, other), strict=True) if not has_spec(path)]
    if bare:  # published records have no spec beside them
        lines.append(f"no spec in {' and '.join(bare)}: below is what records say of it")
        specs = [read_spec_from_records(run) for run in runs]
    else:
        specs = [Spec.load(folder) for folder in (one, other)]
    found = compare_runs((specs[0], runs[0]), (specs[1], runs[1]))
    sys.stdout.write("\n".join([*lines, *_describe_difference(found)]) + "\n")
    return 0


def _describe_difference(found: Difference) -> Iterator[str]:
    yield from (f"{name}: A {here}, B {there}" for name, here, there in found.specs)
    if not found.specs:
        yield "the specs are the same"
    yield f"models, diagnoses and trials: {found.equal} the same but for the seconds, "
    yield f"  {len(found.unequal)} not, {found.only[0]} in A alone, {found.only[1]} in B alone"
    yield from (f"  {name}" for name in found.unequal[:SHOWN])
    if len(found.unequal) > SHOWN:
        yield f"  and {len(found.unequal) - SHOWN} more"
    if found.furthest:
        yield f"  accuracies are up to {found.furthest:.2f} points apart"


def _read(folder: Path) -> tuple[Spec, Evaluation]:
    return Spec.load(folder), Evaluation.load(folder)


def _require_count(count: int, folders: Sequence[Path], action: str) -> Sequence[Path]:
    if len(folders) != count:
        wanted = f"{count} folder{'s' if count > 1 else ''} after runs {action}"
        raise InputError(wanted, str(len(folders)), "name them")
    return folders


ACTIONS = {"list": _list, "show": _show, "resume": _resume, "diff": _diff}
