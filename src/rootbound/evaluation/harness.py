"""The harness: every attack of a suite on one model.

An attack yields models; the harness draws the labels and scores what it yields. So no
attack sees test data or grades itself, and every arm gets the same labels, steps and trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from rootbound.attacks import Attack, Budget, Snapshot, StackedAttack, Suite
from rootbound.data import Data
from rootbound.evaluation.labels import CURVE_SAMPLES, Labelled, draw
from rootbound.evaluation.scoring import Score, measure, score
from rootbound.evaluation.seeds import stable_seed
from rootbound.models import Classifier
from rootbound.records import Arm, Record
from rootbound.tasks import Task
from rootbound.training import seeded


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under attack, and where it comes from."""

    arm: Arm
    method: str
    seed: int
    model: Classifier


@dataclass(frozen=True, eq=False)
class _Trial:
    """A finished trial: its attack, its record so far, and what it offers."""

    attack: Attack
    record: Record
    score: Score
    stacked: int


def attack(subject: Subject, task: Task, suite: Suite) -> list[Record]:
    """Run every trial of a suite that applies to the model, under every budget.

    Args:
        subject: the model and where it comes from; its seed is also the attacker's.
        task: the undesirable task, with the attacker's training data.
        suite: attacks and budgets.

    Returns:
        A record for each trial, in the suite's order.

    Raises:
        InputError: a budget asks for more labels than there are.
    """
    model = subject.model
    trials = [trial for trial in suite.attacks if trial.applies_to(model)]
    curve = task.test.subset(CURVE_SAMPLES)
    labelled = {budget: draw(task, curve, budget, subject.seed) for budget in suite.budgets}
    found: dict[tuple[Attack, Budget], Record] = {}
    # One depth after the other: the outputs of the frozen blocks are computed once for all
    # attacks that leave them frozen, and only one depth's are held in memory.
    for depth in sorted({trial.trained_blocks(model) for trial in trials}):
        chosen = [trial for trial in trials if trial.trained_blocks(model) == depth]
        prefix, _ = model.split(depth)
        passed: dict[Data, Data] = {}
        for budget in suite.budgets:
            seen = labelled[budget].through(prefix, passed)
            finished = [
                trial
                for bundle in _bundles(chosen)
                for trial in _run(bundle, subject, depth, seen, budget)
            ]
            for trial in finished:
                found[trial.attack, budget] = trial.record
            for trial in _selected(finished):
                found[trial.attack, budget] = _judged(trial, seen.test)
    return [found[trial, budget] for budget in suite.budgets for trial in trials]


def _bundles(trials: Sequence[Attack]) -> Iterator[list[Attack]]:
    """Group trials that can be trained together."""
    groups: dict[object, list[Attack]] = {}
    for trial in trials:
        key = trial.bundle if isinstance(trial, StackedAttack) else trial
        groups.setdefault(key, []).append(trial)
    yield from groups.values()


def _run(
    bundle: list[Attack], subject: Subject, depth: int, seen: Labelled, budget: Budget
) -> list[_Trial]:
    """Run trials together; when that fails, each alone, so that one failure stays one."""
    started = time.perf_counter()
    # The arm has no part in the seed: every arm's new head starts from the same weights.
    seed = stable_seed(str(bundle[0].bundle), budget, subject.seed)
    classes = int(seen.test.labels.max()) + 1
    _, rest = subject.model.with_head(classes, seed).split(depth)
    try:
        with seeded(seed) as generator:
            snapshots = _transfer(bundle, rest, seen.train, budget.steps, generator)
            scores = score(snapshots, len(bundle), seen, budget.steps)
    except (RuntimeError, ValueError, ArithmeticError) as error:
        if len(bundle) > 1:
            alone = ([trial] for trial in bundle)
            return [done for one in alone for done in _run(one, subject, depth, seen, budget)]
        reason = (str(error).splitlines() or [""])[0][:200]
        scores = [Score(0, error=f"{type(error).__name__}: {reason}")]
    seconds = (time.perf_counter() - started) / len(bundle)
    return [
        _Trial(trial, _record(trial, subject, budget, one, seconds), one, len(bundle))
        for trial, one in zip(bundle, scores, strict=True)
    ]


def _transfer(
    bundle: list[Attack], model: Classifier, train: Data, steps: int, generator: torch.Generator
) -> Iterator[Snapshot]:
    first = bundle[0]
    if isinstance(first, StackedAttack):
        return first.transfer_together(bundle, model, train, steps, generator)  # type: ignore[arg-type]
    return first.transfer(model, train, steps, generator)


def _record(trial: Attack, subject: Subject, budget: Budget, one: Score, seconds: float) -> Record:
    return Record(
        arm=subject.arm,
        method=subject.method,
        seed=subject.seed,
        family=trial.family,
        attack=repr(trial),
        labels=budget.labels,
        steps=one.steps,
        validation=one.validation,
        test=one.test,
        selected=one.selected,
        validation_loss=one.loss,
        accuracy=None,
        seconds=seconds,
        certificate=one.certificate,
        error=one.error,
    )


def _selected(trials: Sequence[_Trial]) -> list[_Trial]:
    """Return the trial of each family that the attacker's validation samples prefer."""
    best: dict[str, _Trial] = {}
    for trial in trials:
        held = best.get(trial.record.family)
        if trial.record.error is None and (
            held is None or trial.record.preference > held.record.preference
        ):
            best[trial.record.family] = trial
    return list(best.values())


def _judged(trial: _Trial, test: Data) -> Record:
    """Return the record with the accuracy on the whole test set."""
    assert trial.score.model is not None  # a trial without error has one
    accuracies, _ = measure(trial.score.model, test, trial.stacked)
    return replace(trial.record, accuracy=accuracies[trial.score.position])
