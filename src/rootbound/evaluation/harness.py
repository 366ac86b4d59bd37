"""The harness: attacks of a suite on one model.

An attack yields models; the harness draws the labels and scores what it yields. So no
attack sees test data or grades itself, and every arm gets the same labels, steps and trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from rootbound.attacks import Attack, Attacker, Budget, Snapshot, StackedAttack
from rootbound.core.errors import InputError
from rootbound.data import Data, Task
from rootbound.evaluation.assignments import Assignment, Subject, bundles, screening
from rootbound.evaluation.flops import Meter
from rootbound.evaluation.labels import CURVE_SAMPLES, Labelled, draw
from rootbound.evaluation.limits import Limits, TrialStopped
from rootbound.evaluation.scoring import Score, measure, score
from rootbound.evaluation.seeds import stable_seed
from rootbound.networks import Classifier
from rootbound.records import Record
from rootbound.suites import Suite
from rootbound.training import seeded


@dataclass(frozen=True, eq=False)
class Holdings:
    """What attackers hold besides labels, where they hold it, and what a trial may take."""

    desirable: Data | None = None
    sibling: Classifier | None = None
    limits: Limits = Limits()

    def meet(self, needs: Sequence[str]) -> bool:
        """Return whether an attack with these needs can be run."""
        return all(need == "unlabelled" or getattr(self, need) is not None for need in needs)


NOTHING = Holdings()


@dataclass(frozen=True, eq=False)
class _Trial:
    """A finished trial: its record so far, and what it offers."""

    record: Record
    score: Score
    stacked: int


def attack(
    subject: Subject, task: Task, suite: Suite, holdings: Holdings = NOTHING
) -> list[Record]:
    """Screen a model: run every trial of a suite that applies to it, under every budget.

    Args:
        subject: the model and where it comes from; its seed is also the attacker's.
        task: the undesirable task, with the attacker's training data.
        suite: attacks and budgets.
        holdings: what attackers hold besides labels.

    Returns:
        A record for each trial, in the suite's order.

    Raises:
        InputError: a budget asks for more labels than there are.
    """
    return [
        record
        for assignment in screening(subject, suite)
        for record in carry_out(assignment, task, holdings)
    ]


def carry_out(assignment: Assignment, task: Task, holdings: Holdings) -> list[Record]:
    """Run the trials of one assignment and return a record for each."""
    curve = task.test.subset(CURVE_SAMPLES)
    labelled = {
        budget: draw(task, curve, budget, assignment.attacker) for budget in assignment.budgets
    }
    trials = [trial for trial in assignment.trials if holdings.meet(trial.needs)]
    if not trials:
        return []
    frozen, rest = trials[0].cut(assignment.subject.model, task.train)
    passed: dict[Data, Data] = {}
    records: list[Record] = []
    for budget in assignment.budgets:
        try:
            seen = labelled[budget].through(frozen, passed)
        except (InputError, RuntimeError) as error:
            left = replace(assignment, trials=tuple(trials), budgets=(budget,))
            records += failed(left, error)
            continue
        held = _attacker(task, seen, budget, holdings)
        classes, limits = len(task.classes), holdings.limits
        run = _Run(assignment, rest, classes, seen, budget, held, limits)
        records += run.all(trials)
    return records


def failed(assignment: Assignment, error: Exception) -> list[Record]:
    """Return the records of trials that failed before they had begun, or with their process."""
    lost = Score(0, error=_reason(error))
    return [
        _record(trial, assignment, budget, lost, 0.0, 0.0)
        for budget in assignment.budgets
        for trial in assignment.trials
    ]


def _attacker(task: Task, seen: Labelled, budget: Budget, holdings: Holdings) -> Attacker:
    """Return what the attacker holds; its generator is set for each trial."""
    unlabelled = replace(task.train, labels=torch.zeros_like(task.train.labels))
    return Attacker(
        train=seen.train,
        steps=budget.steps,
        generator=torch.Generator(),
        desirable=holdings.desirable,
        unlabelled=unlabelled,
        sibling=holdings.sibling,
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """Trials with one frozen part and one budget."""

    assignment: Assignment
    rest: Classifier
    classes: int
    seen: Labelled
    budget: Budget
    attacker: Attacker
    limits: Limits

    def all(self, trials: Sequence[Attack]) -> list[Record]:
        """Return a record for each trial, in order, the best of each family judged."""
        finished: dict[Attack, _Trial] = {}
        for bundle in bundles(trials):
            for trial, done in zip(bundle, self._together(bundle), strict=True):
                finished[trial] = done
        for trial in _selected(finished):
            finished[trial] = self._judged(finished[trial])
        return [finished[trial].record.as_written() for trial in trials]

    def _together(self, bundle: Sequence[Attack]) -> list[_Trial]:
        """Run trials together; when that fails, each alone, so that one failure stays one."""
        started = time.perf_counter()
        subject = self.assignment.subject
        # The arm has no part in the seed: every arm's new head starts from the same weights.
        seed = stable_seed(str(bundle[0].bundle), self.budget, self.assignment.attacker)
        model = self.rest.with_head(self.classes, seed)
        meter: Meter | None = None
        try:
            with self.limits.kept(len(bundle)), seeded(seed) as generator:
                held = replace(self.attacker, generator=generator, given_head=subject.model.head)
                meter = Meter(_transfer(bundle, model, held))
                scores = score(iter(meter), len(bundle), self.seen, self.budget.steps)
        except torch.AcceleratorError:  # nothing that follows in this process would work
            raise
        except (Exception, SystemExit, TrialStopped) as error:  # an attack is anybody's code
            if len(bundle) > 1:
                return [done for trial in bundle for done in self._together((trial,))]
            scores = [Score(0, error=_reason(error))]
        seconds = (time.perf_counter() - started) / len(bundle)
        flops = meter.flops / len(bundle) if meter is not None else 0.0
        return [
            _Trial(
                _record(trial, self.assignment, self.budget, one, seconds, flops),
                one,
                len(bundle),
            )
            for trial, one in zip(bundle, scores, strict=True)
        ]

    def _judged(self, trial: _Trial) -> _Trial:
        """Return the trial with its accuracy on the whole test set."""
        assert trial.score.model is not None  # a trial without error has one
        accuracies, _ = measure(trial.score.model, self.seen.test, trial.stacked)
        record = replace(trial.record, accuracy=accuracies[trial.score.position])
        return replace(trial, record=record)


def _transfer(
    bundle: Sequence[Attack], model: Classifier, attacker: Attacker
) -> Iterator[Snapshot]:
    first = bundle[0]
    if isinstance(first, StackedAttack):
        return first.transfer_together(bundle, model, attacker)  # type: ignore[arg-type]
    return first.transfer(model, attacker)


def _selected(trials: dict[Attack, _Trial]) -> list[Attack]:
    """Return the trial of each family that the attacker's validation samples prefer."""
    best: dict[str, Attack] = {}
    for attack, trial in trials.items():
        held = best.get(trial.record.family)
        if trial.record.error is None and (
            held is None or trial.record.preference > trials[held].record.preference
        ):
            best[trial.record.family] = attack
    return list(best.values())


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def _record(
    trial: Attack,
    assignment: Assignment,
    budget: Budget,
    one: Score,
    seconds: float,
    flops: float,
) -> Record:
    subject = assignment.subject
    return Record(
        arm=subject.arm,
        method=subject.method,
        seed=subject.seed,
        attacker=assignment.attacker,
        stage=assignment.stage,
        tier=trial.tier,
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
        flops=flops,
        certificate=one.certificate,
        error=one.error,
        task=assignment.task,
        losses=one.losses,
        rung=assignment.rung,
    )
