"""The rules of the architecture that a machine can check: imports point down, without circles."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import accumulate
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "rootbound"

# From the ground up. Folders on one floor (one tuple) do not know each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("core",),
    ("data", "records"),
    ("networks", "training", "datasets", "execution", "metrics"),
    ("attacks", "flags"),
    ("methods", "suites", "inspection"),
    ("evaluation", "report"),
    ("publishing",),
    ("api", "models", "cli"),
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
WITHOUT_TORCH = (
    "records",
    "metrics",
    "flags",
    "report",
    "publishing.card",
    "api.verdict",
    "core.errors",
    "core.files",
)
WITHOUT_NAMES = ("lambda", "listcomp", "setcomp", "dictcomp", "genexpr")
LONGEST = 300
"""Lines of a file, at most."""


def modules(package: Path) -> dict[str, Path]:
    """Return every module of a package by its dotted name."""
    names = {
        path: (package.name, *path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
    }
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in names.items()}


def named_imports(path: Path) -> Iterator[str]:
    """Yield what a file imports, wherever it does: `import_module("a.b")` counts, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def arrows(package: Path) -> dict[str, set[str]]:
    """Return, for each module of a package, the others of the package that it imports."""
    files = modules(package)
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        targets = set()
        for name in named_imports(path):
            # `from package.file import thing` names the thing, not the file.
            parents = accumulate(name.split("."), "{}.{}".format)
            targets.add(next((one for one in reversed(list(parents)) if one in files), ""))
        found[module] = targets - {"", module, package.name}
    return found


def upward(imports: dict[str, set[str]]) -> list[str]:
    """Return the arrows of a graph that lead to the same floor or to one above."""
    found = []
    for module, targets in imports.items():
        part = [*module.split("."), ""][1]
        if part in ("", "__main__", "errors"):  # what users see: above every floor
            continue
        others = {target: target.split(".")[1] for target in targets}
        found += [
            f"{module} -> {target}"
            for target, other in others.items()
            if other != part and FLOOR[other] >= FLOOR[part]
        ]
    return found


@cache
def graph() -> dict[str, set[str]]:
    """Return the arrows of the package: whoever asks first reads its files."""
    return arrows(PACKAGE)


def test_imports_point_down() -> None:
    assert not upward(graph())


def test_no_files_import_each_other_in_a_circle() -> None:
    TopologicalSorter(graph()).prepare()


def test_no_file_imports_the_init_of_its_own_folder() -> None:
    own = [
        f"{module} -> {target}"
        for module, targets in graph().items()
        for target in targets
        if module.startswith(f"{target}.")
    ]
    assert not own


def test_reports_need_no_torch() -> None:
    light = {
        path
        for module, path in modules(PACKAGE).items()
        if f"{module.removeprefix('rootbound.')}.".startswith(WITHOUT_TORCH)
    }
    heavy = {path for path in light for name in named_imports(path) if name.startswith("torch")}
    assert not heavy


def shadows(code: str) -> list[str]:
    """Return the locals of functions that have the name of what their file imports or defines."""
    tree = ast.parse(code)
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]  # no such name is there when the program runs
    file = symtable.symtable(ast.unparse(tree), "file", "exec")
    outer = {
        symbol.get_name()
        for symbol in file.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    found, scopes = [], file.get_children()
    while scopes:
        scope = scopes.pop()
        scopes += scope.get_children()
        # What a comprehension names is seen nowhere else.
        if isinstance(scope, symtable.Function) and scope.get_name() not in WITHOUT_NAMES:
            names = (name for name in scope.get_locals() if not name.startswith("_"))
            found += [f"{scope.get_name()}: {name}" for name in names if name in outer]
    return sorted(found)


def test_locals_do_not_shadow_file_names() -> None:
    found = {path.name: shadows(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert not {name: names for name, names in found.items() if names}


def test_detects_shadows() -> None:
    code = """
import a, b.c
from d import e as f
if TYPE_CHECKING: import m
g = 1
def h(a): b = 1; f: int = 2; m = 3
class i:
    g = 3
    def k(self):
        def l():
            for g in (): pass
        with b as h: [g for g in ()], lambda a: a
        global f
        f = l
"""
    assert shadows(code) == ["h: a", "h: b", "h: f", "k: h", "l: g"]


def test_files_are_short() -> None:
    lengths = {str(path): path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}
    assert not {path: lines for path, lines in lengths.items() if lines > LONGEST}


def test_arguments_are_described() -> None:
    """`seed: of the new weights` is no description; `seed: Seed of the new weights` is one."""
    fragments = [
        f"{path.name}: {line.strip()}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        for line in (ast.get_docstring(node) or "").splitlines()
        if re.match(r" {4}\w+: (of|as|to|by|for|in|with|that|whose|what) ", line)
    ]
    assert not fragments


def test_picture_has_the_same_floors() -> None:
    picture = Path(__file__).parents[1] / "docs" / "images" / "architecture.svg"
    boxes = re.findall(
        r'y="(\d+)" text-anchor="middle" font-weight[^>]*>(\w+)(?:/|\.py)<', picture.read_text()
    )
    drawn: dict[int, set[str]] = {}
    for height, part in boxes:
        drawn.setdefault(-int(height), set()).add(part)
    assert [drawn[height] for height in sorted(drawn)] == [set(parts) for parts in FLOORS]


@pytest.mark.parametrize(
    "line", ["import_module('rootbound.core.b')", "from rootbound.core import b"]
)
def test_detects_circles(tmp_path: Path, line: str) -> None:
    core = tmp_path / "rootbound" / "core"
    core.mkdir(parents=True)
    (core / "a.py").write_text(f"{line}\n")
    (core / "b.py").write_text("from rootbound.core.a import thing\n")
    with pytest.raises(CycleError):
        TopologicalSorter(arrows(core.parent)).prepare()


def test_detects_upward_imports() -> None:
    targets = {"rootbound.report.page", "rootbound.suites.b", "rootbound.core.c"}
    assert sorted(upward({"rootbound.methods.a": targets})) == [
        "rootbound.methods.a -> rootbound.report.page",
        "rootbound.methods.a -> rootbound.suites.b",
    ]
