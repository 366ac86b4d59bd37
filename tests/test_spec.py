"""The spec of a run: with other data it is another run, whoever made the data and named them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rootbound as rb
from rootbound.data import TaskPair
from rootbound.evaluation.contenders import Contender
from rootbound.evaluation.context import build_specification
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.records import Spec
from rootbound.suites import Suite


def digest(tasks: TaskPair, suite: Suite, model: Classifier, *, trains: bool = True) -> str:
    method = Plain() if trains else None
    contenders = [
        Contender("defended", "it", model, method),
        Contender("scratch", "scratch", model),
    ]
    return build_specification(tasks, suite, 1, contenders).digest


def test_other_defender_samples_make_another_run(
    toy_tasks: TaskPair, toy_suite: Suite, toy_model: Classifier
) -> None:
    fewer = replace(toy_tasks, known_undesirable=toy_tasks.known_undesirable.subset(20))
    assert digest(fewer, toy_suite, toy_model) != digest(toy_tasks, toy_suite, toy_model)
    # They decide nothing where nobody is trained.
    given = [digest(one, toy_suite, toy_model, trains=False) for one in (fewer, toy_tasks)]
    assert given[0] == given[1]


@pytest.mark.parametrize("role", ["desirable", "undesirable"])
def test_other_samples_under_the_same_name_make_another_run(
    role: str, toy_tasks: TaskPair, toy_suite: Suite, toy_model: Classifier
) -> None:
    named = replace(
        toy_tasks,
        desirable=replace(toy_tasks.desirable, name="data"),
        undesirable=replace(toy_tasks.undesirable, name="data"),
    )
    task: rb.Task = getattr(named, role)
    changed: dict[str, Any] = {role: replace(task, train=task.train.subset(60))}
    fewer = replace(named, **changed)
    assert digest(fewer, toy_suite, toy_model) != digest(named, toy_suite, toy_model)


def test_spec_is_utf_8_in_any_locale(tmp_path: Path) -> None:
    # A byte of a path that is no UTF-8 is a lone surrogate in Python.
    spec = Spec({"data": "Käfer 甲虫"}, ("train", "--data", "K\udce4fer"), "/Bäume")
    assert spec.save(tmp_path)
    assert Spec.load(tmp_path) == spec
    program = (
        "from pathlib import Path; from rootbound.records import Spec; "
        f"spec = Spec.load(Path({str(tmp_path)!r})); print(ascii(spec))"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | ascii_only,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.stdout.strip() == ascii(spec), done.stderr
