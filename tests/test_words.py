"""Errors speak the language of the caller: arguments in Python, options on the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import rootbound as rb
from rootbound.cli import audit, options
from rootbound.cli.words import OPTIONS, name_options
from rootbound.core.errors import InputError

PACKAGE = Path(__file__).parents[1] / "src" / "rootbound"
OPTION = re.compile(r"(^|[\s(`'])--[a-z]+")
OTHERS = {"start one with `ray start --head`"}
"""Options of other programs."""


def texts_of_errors(path: Path) -> Iterator[str]:
    """Yield the texts that are written where an `InputError` is made."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "InputError":
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def test_python_errors_name_no_option() -> None:
    spoken = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in PACKAGE.rglob("*.py")
        if "cli" not in path.relative_to(PACKAGE).parts
        for text in texts_of_errors(path)
        if OPTION.search(text) and text not in OTHERS
    ]
    assert not spoken


def test_every_option_named_in_errors_exists() -> None:
    groups: list[Any] = [
        options.TaskOptions, options.NetworkOptions, options.FolderOptions, options.RecipeOptions,
        options.AttackOptions, audit.Options,
    ]  # fmt: skip
    known = {f"--{part.name.replace('_', '-')}" for group in groups for part in fields(group)}
    assert known >= {option.split()[0] for option in OPTIONS.values()}


def test_command_line_errors_name_options() -> None:
    error = InputError("a share", "2", "correct `holdout`, or `something`")
    assert name_options(str(error)).endswith("correct --holdout, or `something`")


def test_python_errors_name_arguments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="correct `holdout`"):
        rb.load_data("mnist", holdout=2)
    with pytest.raises(InputError, match="widen `undesirable`: MNIST has 0-9"):
        rb.load_data("mnist").split("0-4", "5")
    with pytest.raises(InputError, match="pass another `path`"):
        rb.Evaluation({}, (), ()).save("/dev/null/x")
