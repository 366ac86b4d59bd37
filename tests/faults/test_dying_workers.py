"""Attacks and trainings that end their process: each becomes a failed record, and nothing more."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

import rootbound as rb
from faults.small_run import RECIPE
from faults.test_trials import MARK, marked
from rootbound.attacks import Attack, Attacker, Budget, ExactLastLayer, LastLayer, Snapshot
from rootbound.data import TaskPair
from rootbound.evaluation import compare, evaluate
from rootbound.execution import Engine, InProcess, Pool
from rootbound.flags import flags
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.records import Configuration, Evaluation
from rootbound.suites import Suite

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Deadly(Attack):
    """Ends its process on the defended network, which it knows by its mark."""

    how: str = "killed"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        yield Snapshot(1, model)
        if any(bool((value == MARK).any()) for value in model.state_dict().values()):
            HARM[self.how]()
        yield Snapshot(attacker.steps, model)


def _kill() -> None:
    """As the system does where memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def _hang() -> None:
    """One compiled call that holds the interpreter: no alarm and no other thread is heard."""
    sum(range(10**15))


def _assert() -> None:
    """As a CUDA kernel's failed assertion is told; every later call on the device fails so, too."""
    raise torch.AcceleratorError("CUDA error: device-side assert triggered")


HARM = {
    "killed": _kill,
    "aborts": os.abort,
    "hangs": _hang,
    "leaves": lambda: os._exit(7),
    "asserts": _assert,
}
SAYS = {
    "killed": "was ended by SIGKILL, as the system does if memory runs out",
    "aborts": "was ended by SIGABRT",
    "hangs": "was ended, as happens if a single call exceeds the time limit",
    "leaves": "ended with exit code 7",
    "asserts": "ended because of an error of its accelerator",
}
ENTIRE = (LastLayer("adam", 0.1), LastLayer("adam", 0.2), ExactLastLayer(1e-3))
SUITE = Suite(
    "deadly", (*ENTIRE, *map(Deadly, HARM)), (Budget(5, 4), Budget(10, 4)), trial_limit=2.0
)


def _refuse() -> None:
    raise KeyError("in place of what would end the process of the test")


def test_trial_that_kills_its_process_becomes_a_failed_record(
    toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undefended = Plain(RECIPE).fit(toy_model, toy_tasks, seed=0)

    def found(engine: Engine, folder: Path) -> Evaluation:
        evaluate(
            marked(toy_model), toy_tasks, undefended=undefended, suite=SUITE, seeds=1,
            workers=engine, folder=folder,
        )  # fmt: skip
        return Evaluation.load(folder)

    dying = found(Pool(2, patience=0.25), tmp_path / "dying")
    for how in HARM:
        monkeypatch.setitem(HARM, how, _refuse)
    refusing = found(InProcess(), tmp_path / "refusing")

    assert dying.complete
    assert [_found(one) for one in dying.records] == [_found(one) for one in refusing.records]
    lost = {one.attack: one for one in dying.records if one.error is not None}
    assert len([one for one in dying.records if one.error is not None]) == 2 * len(HARM)
    for how, words in SAYS.items():
        record = lost[Configuration.of(Deadly(how))]
        assert (record.method, record.error) == ("defended", f"WorkerDied: its process {words}")
    raised = {(one.flag, one.method) for one in flags(dying)}
    assert ("fewer finished trials", "defended") in raised


def _found(record: Any) -> dict[str, Any]:
    """Return what does not depend on how a trial failed, nor on what it was divided from.

    Of the trials that a process carries out together only the best are judged on all test samples.
    """
    unlike = {"seconds", "flops", "steps", "test", "losses", "validation", "accuracy"}
    if record.error is None:
        unlike = {"seconds", "accuracy"}
    found = {name: value for name, value in vars(record).items() if name not in unlike}
    return {**found, "error": record.error is not None}


def once(job: int, marker: Path) -> int:
    """Kill the process of job 1, the first time."""
    if job == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * job


def test_work_killed_from_outside_is_done_again(tmp_path: Path) -> None:
    with Pool(2).open(once, (tmp_path / "marker",)) as crew:
        results: list[tuple[int, int]] = []
        crew.submit(0, 1, 2, 3)
        for job, result in crew.finished():
            results.append((job, result))
            if job == 1:
                crew.submit(5)
    assert sorted(results) == [(job, 10 * job) for job in (0, 1, 2, 3, 5)]
    assert results[-2:] == [(1, 10), (5, 50)]  # after all others, alone


@dataclass(frozen=True)
class Dying(Plain):
    """A method whose training ends its process."""

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        HARM["killed"]()


def test_names_a_training_that_dies_twice(toy_tasks: TaskPair, tmp_path: Path) -> None:
    model = rb.models.shallow_cnn(classes=3, shape=(1, 16, 16))
    suite = replace(SUITE, attacks=ENTIRE)
    with pytest.raises(RuntimeError, match=r"^Dying, seed 0, .* by SIGKILL[^\n]*$"):
        compare(
            (Dying(RECIPE),), toy_tasks, model, suite=suite, seeds=1, workers=Pool(2),
            folder=tmp_path,
        )  # fmt: skip
    kept = Evaluation.load(tmp_path)
    assert not kept.complete
    assert {one.method for one in kept.records} == {"scratch"}
