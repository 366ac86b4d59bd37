"""Make the report of a run folder again from its records."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rootbound.core import progress
from rootbound.records import Evaluation, RunFolder, records_file
from rootbound.report import verdict, write
from rootbound.report.headline import describe_run
from rootbound.report.verdicts import write_verdict


@dataclass(frozen=True)
class Options:
    """Options of `rootbound report`."""

    folder: str
    """Run folder with its records."""


def run(options: Options) -> int:
    """Write report, summary and figures into the folder."""
    sys.stdout.write(f"report: {write(options.folder)}\n")
    return 0


def present(
    evaluation: Evaluation, folder: RunFolder, limit: float | None = None, command: str = ""
) -> Path:
    """Write the report of a finished run; print its verdict, its headline and its path.

    A report that is newer than the records is not made again, because drawing takes long.

    Args:
        evaluation: The run.
        folder: Its folder.
        limit: Largest allowed marginal advantage in points, if there is a gate.
        command: The command for further draws, if the gate is undecided.

    Returns:
        The folder with the report.
    """
    path = folder.for_run(evaluation.context["run"]).path
    page = path / "report.html"
    if not is_current(page, records_file(path)):
        with progress.step("drawing the report"):
            page = write(path)
    values = verdict(evaluation, limit, command=command)
    write_verdict(path, values)
    # Where there is no verdict on any model, the headline repeats the sentence.
    lines = [*dict.fromkeys([values["sentence"], *describe_run(evaluation)]), f"report: {page}"]
    sys.stdout.write("\n".join(lines) + "\n")
    return page.parent


def is_current(page: Path, *sources: Path) -> bool:
    """Return whether a page exists and is newer than all of its sources.

    Args:
        page: A file that may exist.
        sources: Files that exist.
    """
    newest = max(source.stat().st_mtime_ns for source in sources)
    return page.is_file() and page.stat().st_mtime_ns > newest
