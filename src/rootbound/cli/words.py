"""Rewriting errors for the command line: names of Python arguments become options."""

from __future__ import annotations

import re

OPTIONS = {
    "axes": "--layout",
    "compiled": "--compile",
    "desirable": "--desirable",
    "device": "--device",
    "extends": "--extends",
    "folder": "--out",
    "fresh": "--model file.py:function",
    "holdout": "--holdout",
    "in_memory": "--in-memory",
    "inputs": "--input-column",
    "key": "--weights",
    "label": "--label-column",
    "label_names": "--label-names",
    "length": "--length",
    "module": "--model",
    "path": "--out",
    "public": "--public file.py:function",
    "share_undesirable": "--share-undesirable",
    "skip_unreadable": "--skip-unreadable",
    "test_split": "--test-split",
    "train_split": "--train-split",
    "undesirable": "--undesirable",
}
"""The option for each argument that errors of the floors below name, such as `holdout`."""
QUOTED = re.compile("`([a-z_]+)`")


def name_options(text: str) -> str:
    """Return an error message with options instead of the arguments that it names."""
    return QUOTED.sub(lambda match: OPTIONS.get(match[1], match[0]), text)
