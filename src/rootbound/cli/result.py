"""What a command shows at its end: the report on disk, the headline on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rootbound import report
from rootbound.records import Evaluation
from rootbound.report.summary import summarise
from rootbound.runs import RunFolder


def present(evaluation: Evaluation, folder: RunFolder) -> Path:
    """Write the report of a run, print its headline and where it is; return the folder.

    A report that is newer than the records is theirs: drawing it again takes longer than all else.
    """
    place = folder.of(evaluation.context["run"]).path
    page, records = place / "report.html", place / "records.json"
    if not page.is_file() or page.stat().st_mtime_ns <= records.stat().st_mtime_ns:
        page = report.write(place)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
    return page.parent
