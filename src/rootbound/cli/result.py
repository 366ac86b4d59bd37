"""What a command shows at its end: the report on disk, the headline on stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rootbound import report
from rootbound.records import Evaluation
from rootbound.report.summary import summarise


def present(evaluation: Evaluation, folder: Path) -> None:
    """Write the report of a run folder, and print its headline and where it is."""
    page = report.write(folder)
    sys.stdout.write("\n".join([*summarise(evaluation).headline, f"report: {page}"]) + "\n")
