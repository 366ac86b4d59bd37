"""What a command shows at its end: the report on disk, the headline on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rootbound import report
from rootbound.records import Evaluation
from rootbound.report.summary import summarise
from rootbound.runs import RunFolder


def present(evaluation: Evaluation, folder: RunFolder) -> Path:
    """Write the report of a run, print its headline and where it is; return the folder."""
    page = report.write(folder.of(evaluation.context["run"]).path)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
    return page.parent
