"""The examples run, and those that promise to be short are."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import rootbound as rb
from rootbound.attacks import Budget
from rootbound.data import TaskPair
from rootbound.networks import Classifier
from rootbound.suites import Suite
from rootbound.training import Recipe, accuracy

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    monkeypatch.syspath_prepend(EXAMPLES)  # as Python does for a script
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, name, module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["own_method", "own_attack", "own_data_and_model"])
def test_examples_are_under_thirty_lines(name: str) -> None:
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith('"""')]
    assert len(code) < 30


def test_own_method_example_runs(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    method: rb.Method = load("own_method", monkeypatch).Flatten(Recipe(epochs=8, batch_size=30))
    assert accuracy(method.fit(toy_model, toy_tasks), toy_tasks.desirable.test) > 0.6


def test_own_attack_example_runs(
    toy_model: Classifier, toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite: Suite = load("own_attack", monkeypatch).suite(steps=20)
    small = suite.with_budgets((Budget(5, 20),))
    found = rb.evaluate(toy_model, toy_tasks, suite=small, seeds=1)
    assert {record.error for record in found.records} == {None}


def test_own_data_and_model_example_runs(toy_suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("own_data_and_model", monkeypatch)
    found = module.main(toy_suite.with_budgets((Budget(5, 10),))).evaluation
    assert {record.method for record in found.records} == {"defended", "scratch"}
    assert {record.error for record in found.records} == {None}


LESS = """
import runpy, sys
from dataclasses import replace
import rootbound as rb

def a_twentieth(mnist=rb.datasets.mnist):
    whole = mnist()
    train, test = (
        replace(part, inputs=part.inputs[::20], labels=part.labels[::20])
        for part in (whole.train, whole.test)
    )
    return replace(whole, train=train, test=test)

rb.datasets.DATASETS["mnist"] = a_twentieth
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.slow
def test_quickstart_runs(tmp_path: Path) -> None:
    """As a user runs it: another process, real MNIST (a part of it), two workers, less time."""
    text = (EXAMPLES / "quickstart.py").read_text()
    assert "minutes=1," in text
    # Where other programs keep the processors busy, the first time is over when workers begin.
    for minutes in ("0.2", "1"):
        (folder := tmp_path / minutes).mkdir()
        (folder / "shorter.py").write_text(text.replace("minutes=1,", f"minutes={minutes},"))
        done = subprocess.run(
            [sys.executable, "-c", LESS, "shorter.py"],
            cwd=folder,
            check=minutes == "1",
            timeout=200,
            capture_output=True,
            text=True,
        )
        if done.returncode == 0 and rb.load(folder / "quickstart").evaluation.records:
            break
    assert (folder / "quickstart" / "report.html").stat().st_size > 100_000
    verdict = rb.load(folder / "quickstart")
    assert verdict.evaluation.complete
    assert done.stdout.startswith(str(verdict))


@pytest.mark.slow
def test_notebook_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    less = "".join(LESS.splitlines(keepends=True)[:-1])  # all but that it runs a file
    cells[0].source = less + cells[0].source
    (timed,) = (cell for cell in cells if "minutes=0.5)" in cell.source)
    timed.source = timed.source.replace("minutes=0.5)", "minutes=0.2)")
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=200, resources=resources).execute()
    said = [str(one) for cell in cells for one in cell.outputs]
    assert any("points over scratch" in one for one in said)
    assert any("<strong>" in one and "<img" in one for one in said)
    assert not any("Traceback" in one for one in said)
