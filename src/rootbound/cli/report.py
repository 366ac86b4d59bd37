"""Make the report of a run folder again from its records."""

from __future__ import annotations

import sys

from jsonargparse import ArgumentParser, Namespace

from rootbound.report import write


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("folder", type=str, help="run folder with records.json")


def run(options: Namespace) -> int:
    """Write report, summary and figures into the folder."""
    sys.stdout.write(f"report: {write(options.folder)}\n")
    return 0
