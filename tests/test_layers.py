"""The house rules that a machine can check: imports point down, files and functions are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "rootbound"

# From the ground up. Parts on one floor (one tuple) do not know each other, except below.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "mapped", "memory"),
    ("distributed", "devices", "scaling"),
    ("files", "data", "augmentation", "explained_variance", "user_code"),
    ("records", "tasks", "savepoints"),
    ("datasets", "models", "training", "runs"),
    ("attacks",),
    ("methods",),
    ("evaluation",),
    ("metrics",),
    ("flags",),
    ("report",),
    ("card",),
    ("cli",),
)
WITHOUT_TORCH = ("errors", "files", "records", "runs", "metrics", "flags", "report", "card")
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
SOURCES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_parts(path: Path) -> set[str]:
    found = {name.split(".")[1] for name in imports(path) if name.startswith("rootbound.")}
    return found - {part_of(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    assert part in FLOOR, f"give {part} a floor"
    upward = {other for other in own_parts(path) if FLOOR[other] >= FLOOR[part]}
    assert not upward, f"{path} imports {upward} from its own floor or above"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_reports_need_no_torch(path: Path) -> None:
    if part_of(path) in WITHOUT_TORCH:
        assert not [name for name in imports(path) if name.split(".")[0] == "torch"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            described = (ast.get_docstring(node) or "").count("\n") + 1
            assert (node.end_lineno or 0) - node.lineno - described <= 40, node.name


def test_the_picture_has_the_same_floors() -> None:
    picture = Path(__file__).parents[1] / "docs" / "images" / "architecture.svg"
    boxes = re.findall(
        r'y="(\d+)" text-anchor="middle" font-weight[^>]*>(\w+)(/|\.py)<', picture.read_text()
    )
    drawn: dict[int, set[str]] = {}
    for height, part, _ in boxes:
        drawn.setdefault(-int(height), set()).add(part)
    assert [drawn[height] for height in sorted(drawn)] == [set(parts) for parts in FLOORS]


def test_the_rule_can_fail(tmp_path: Path) -> None:
    sinner = tmp_path / "sinner.py"
    sinner.write_text("from rootbound.report import html\nimport torch\n")
    assert "rootbound.report.html" in set(imports(sinner))
    assert FLOOR["report"] > FLOOR["methods"]
