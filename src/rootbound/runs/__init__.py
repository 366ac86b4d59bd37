"""Runs: a frozen spec, hashed to a folder that only runs of this spec write into."""

from __future__ import annotations

from rootbound.runs.difference import Difference, difference
from rootbound.runs.folder import RunFolder, find_runs
from rootbound.runs.spec import Spec

__all__ = ["Difference", "RunFolder", "Spec", "difference", "find_runs"]
