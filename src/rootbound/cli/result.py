"""What a command shows at its end: the report on disk, the headline on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rootbound import report
from rootbound.records import Evaluation
from rootbound.report.summary import summarise


def present(evaluation: Evaluation, folder: Path) -> None:
    """Write the report of a run folder, and print its headline and where it is.

    A report that is newer than the records is theirs: drawing it again takes longer than all else.
    """
    page = folder / "report.html"
    records = folder / "records.json"
    if not page.is_file() or page.stat().st_mtime_ns <= records.stat().st_mtime_ns:
        page = report.write(folder)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
