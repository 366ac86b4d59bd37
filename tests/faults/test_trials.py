"""Attacks that raise, answer NaN, hang or take all memory: a failed record; the run goes on."""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from faults.small_run import RECIPE
from rootbound.attacks import Attack, Attacker, Budget, ExactLastLayer, Snapshot
from rootbound.core import alarm
from rootbound.core.alarm import raise_after
from rootbound.data import TaskPair
from rootbound.evaluation import evaluate, limits
from rootbound.flags import flags
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.records import Configuration, Evaluation
from rootbound.report import write
from rootbound.suites import Suite

MARK = 7.0
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Fails(Attack):
    """Goes wrong on the defended network, which it knows by its mark, and is harmless elsewhere."""

    how: str = "raise"

    def transfer(self, model: Classifier, attacker: Attacker) -> Iterator[Snapshot]:
        yield Snapshot(1, model)
        weights = [value for value in model.state_dict().values() if value.numel()]
        if any(bool((value == MARK).any()) for value in weights):
            HARM[self.how](model)
        yield Snapshot(attacker.steps, model)


def _raise(_: nn.Module) -> None:
    raise KeyError("of its own\nand a second line")


def _exit(_: nn.Module) -> None:
    sys.exit("enough")


def _nan(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)


def _spin(_: nn.Module) -> None:
    while True:
        pass


def _sleep_whatever_comes(_: nn.Module) -> None:
    for _again in range(2):
        with contextlib.suppress(Exception):
            time.sleep(100)


def _eat(_: nn.Module) -> None:
    # Never written to, so that nothing but the limit is in the way.
    eaten = [torch.empty(GIBIBYTE, dtype=torch.uint8) for _ in range(100_000)]
    raise AssertionError(len(eaten))


def _eat_objects(_: nn.Module) -> None:
    bytearray(2**46)


HARM = {
    "raise": _raise,
    "exit": _exit,
    "nan": _nan,
    "spin": _spin,
    "sleep": _sleep_whatever_comes,
    "eat": _eat,
    "eat objects": _eat_objects,
}
SAYS = {
    "raise": "KeyError: 'of its own",
    "exit": "SystemExit: enough",
    "nan": "outputs are not finite at step 4",
    "spin": "TrialStopped: took longer than 2 s",
    "sleep": "TrialStopped: took longer than 2 s",
    "eat": "RuntimeError: ",
    "eat objects": "MemoryError: ",
}


def marked(model: Classifier) -> Classifier:
    """Return the model with one weight that attacks know it by."""
    found = copy.deepcopy(model)
    with torch.no_grad():
        next(found.blocks[-1].parameters()).view(-1)[0] = MARK
    return found


def test_every_failure_becomes_a_failed_record_and_the_run_goes_on(
    toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits.Limits, "memory", 0.2)
    suite = Suite(
        "failing", (ExactLastLayer(1e-3), *map(Fails, HARM), ExactLastLayer(1e-2)), (Budget(5, 4),),
        trial_limit=2.0,
    )  # fmt: skip
    undefended = Plain(RECIPE).fit(toy_model, toy_tasks, seed=0)
    started = time.monotonic()
    evaluate(
        marked(toy_model), toy_tasks, undefended=undefended, suite=suite, seeds=1, folder=tmp_path
    )
    assert time.monotonic() - started < 60
    found = Evaluation.load(tmp_path)
    assert found.complete
    assert len(found.records) == 3 * len(suite.attacks)
    failed = {one.attack: one for one in found.records if one.error is not None}
    assert set(failed) == {Configuration.of(Fails(how)) for how in HARM}
    for how, says in SAYS.items():
        record = failed[Configuration.of(Fails(how))]
        assert record.method == "defended" and record.error is not None
        assert record.error.startswith(says), record.error
        assert "\n" not in record.error
    assert len([one for one in found.records if one.error is not None]) == len(HARM)
    raised = {(one.flag, one.method) for one in flags(found)}
    assert ("fewer finished trials", "defended") in raised
    assert "fewer finished trials" in write(tmp_path).read_text()


@pytest.mark.parametrize(("outer", "inner"), [(0.05, 10.0), (10.0, 0.05), (0.1, 0.05)])
def test_nested_alarms_ring(outer: float, inner: float) -> None:
    called = {outer: "outer", inner: "inner"}
    with pytest.raises(TimeoutError, match=called[min(outer, inner)]):  # noqa: SIM117
        with raise_after(outer, TimeoutError("outer")):
            with raise_after(inner, TimeoutError("inner")):
                _spin(nn.Identity())


def test_outer_alarm_continues_after_an_inner_one() -> None:
    with pytest.raises(TimeoutError, match="outer"), raise_after(0.1, TimeoutError("outer")):
        for _ in range(3):
            with contextlib.suppress(TimeoutError), raise_after(0.01, TimeoutError("inner")):
                _spin(nn.Identity())
        _spin(nn.Identity())
    time.sleep(0.15)  # nothing rings any more


def test_swallowed_alarm_rings_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm, "AGAIN", 0.02)
    with pytest.raises(TimeoutError), raise_after(0.02, TimeoutError()):
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                time.sleep(1.0)
        time.sleep(1.0)


def test_outer_alarm_swallowed_inside_rings_afterwards() -> None:
    with pytest.raises(TimeoutError, match="outer"), raise_after(0.02, TimeoutError("outer")):
        with raise_after(10.0, TimeoutError("inner")), contextlib.suppress(TimeoutError):
            time.sleep(1.0)
        time.sleep(1.0)


def test_alarm_leaves_no_trace() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with raise_after(math.inf, TimeoutError()):
        assert signal.getsignal(signal.SIGALRM) is not before
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_time_spent_in_inner_alarm_counts_for_the_outer() -> None:
    with raise_after(60.0, TimeoutError()):
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        with raise_after(60.0, TimeoutError()):
            time.sleep(0.01)
        assert signal.getitimer(signal.ITIMER_REAL)[0] < left


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux")
def test_memory_reserve_leaves_room_for_a_mapped_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(2**16))
    status = Path("/proc/self/status").read_text()
    held = 1024 * int(status.split("VmData:")[1].split()[0])
    monkeypatch.setattr(limits, "count_kept_bytes", lambda: held // 2)
    with limits.Limits(memory=1e-3).enforce(1):
        assert len(np.memmap(path, mode="c")) == 2**16


def test_limits_end_with_their_trial() -> None:
    with pytest.raises(limits.TrialStopped), limits.Limits(seconds=0.05).enforce(1):
        _spin(nn.Identity())
    time.sleep(0.1)  # nothing rings any more
    with limits.Limits(seconds=0.05).enforce(trials=100):
        time.sleep(0.1)
    torch.empty(GIBIBYTE, dtype=torch.uint8)
    strict = replace(limits.Limits(), memory=0.001)
    with pytest.raises(RuntimeError), strict.enforce(1):
        torch.empty(GIBIBYTE, dtype=torch.uint8)
    torch.empty(GIBIBYTE, dtype=torch.uint8)
