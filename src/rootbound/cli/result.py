"""What a command shows at its end: the report on disk, the headline on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rootbound import report
from rootbound.records import Evaluation, RunFolder, records_file
from rootbound.report.summary import summarise


def current(page: Path, *sources: Path) -> bool:
    """Return whether a page is there and newer than all that it is made of."""
    newest = max(source.stat().st_mtime_ns for source in sources)
    return page.is_file() and page.stat().st_mtime_ns > newest


def present(evaluation: Evaluation, folder: RunFolder) -> Path:
    """Write the report of a run, print its headline and where it is; return the folder.

    A report that is newer than the records is theirs: drawing it again takes longer than all else.
    """
    place = folder.of(evaluation.context["run"]).path
    page = place / "report.html"
    if not current(page, records_file(place)):
        page = report.write(place)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
    return page.parent
