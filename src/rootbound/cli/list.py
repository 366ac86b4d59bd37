"""Show methods, attacks, models, data sets and suites by name."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from rootbound.attacks import ATTACKS
from rootbound.datasets import DATASETS
from rootbound.methods import METHODS
from rootbound.networks import MODELS
from rootbound.suites import SUITES


@dataclass(frozen=True)
class Options:
    """`rootbound list` has no options."""


def run(_options: Options) -> int:
    """Print all names, each with a short description."""
    suites = {
        name: f"{len(suite.attacks)} trials, {len(suite.budgets)} budgets, {suite.digest}"
        for name, suite in SUITES.items()
    }
    for title, entries in (
        ("methods", _list_first_lines(METHODS)),
        ("attacks", _list_first_lines(ATTACKS)),
        ("models", _list_first_lines(MODELS)),
        ("data sets", _list_first_lines(DATASETS)),
        ("suites", suites),
    ):
        sys.stdout.write(f"{title}\n")
        for name, text in entries.items():
            sys.stdout.write(f"  {name:22}{text}\n")
    return 0


def _list_first_lines(entries: Mapping[str, object]) -> dict[str, str]:
    return {name: (inspect.getdoc(entry) or "").split("\n")[0] for name, entry in entries.items()}
