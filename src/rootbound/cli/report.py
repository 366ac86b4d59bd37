"""Make the report of a run folder again from its records."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rootbound.core import progress
from rootbound.records import Evaluation, RunFolder, records_file
from rootbound.report import write
from rootbound.report.summary import summarise


@dataclass(frozen=True)
class Options:
    """Options of `rootbound report`."""

    folder: str
    """Run folder with its records."""


def run(options: Options) -> int:
    """Write report, summary and figures into the folder."""
    sys.stdout.write(f"report: {write(options.folder)}\n")
    return 0


def present(evaluation: Evaluation, folder: RunFolder) -> Path:
    """Write the report of a run that has ended, and print its headline and where it is.

    A report newer than the records is not made again: to draw it takes longer than all else.

    Returns:
        The folder with the report.
    """
    path = folder.for_run(evaluation.context["run"]).path
    page = path / "report.html"
    if not is_current(page, records_file(path)):
        with progress.step("drawing the report"):
            page = write(path)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
    return page.parent


def is_current(page: Path, *sources: Path) -> bool:
    """Return whether a page is there and newer than everything that it is made from.

    Args:
        page: A file that may exist.
        sources: Files that exist.
    """
    newest = max(source.stat().st_mtime_ns for source in sources)
    return page.is_file() and page.stat().st_mtime_ns > newest
