"""The harness: it runs the attacks of a suite on one model.

An attack yields models; the harness draws the labels and scores these models. So no attack sees
test data or grades itself, and every arm gets the same labels, steps and trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from rootbound.attacks import Attack, Attacker, Budget, StackedAttack
from rootbound.core import progress
from rootbound.core.compiler import load_compiler
from rootbound.data import Data, Task
from rootbound.evaluation.attacker import (
    CURVE_SAMPLES,
    NO_RESOURCES,
    AttackerResources,
    Draw,
    draw_labels,
    stable_seed,
)
from rootbound.evaluation.limits import Limits, TrialStopped
from rootbound.evaluation.operations import FlopCounter
from rootbound.evaluation.plan import Assignment, Subject, group_into_bundles, screen
from rootbound.evaluation.scoring import Score, score
from rootbound.networks import Classifier
from rootbound.records import Configuration, Record
from rootbound.records.configuration import plain
from rootbound.suites import Suite
from rootbound.training import seeded


@dataclass(frozen=True, eq=False)
class _Result:
    """A finished trial: its record so far, and its score with the selected model."""

    trial: Attack
    record: Record
    score: Score


def attack(
    subject: Subject, task: Task, suite: Suite, resources: AttackerResources = NO_RESOURCES
) -> list[Record]:
    """Screen a model: run every trial of a suite that applies to it, under every budget.

    Args:
        subject: The model and where it comes from; its seed is also the attacker's.
        task: The undesirable task, with the attacker's training data.
        suite: Attacks and budgets.
        resources: What attackers have besides labels.

    Returns:
        A record for each trial, in the suite's order.

    Raises:
        InputError: A budget asks for more labels than there are.
    """
    return [
        record
        for assignment in screen(subject, replace(suite, benign=(), finalists=0))
        for record in run_assignment(assignment, task, resources)
    ]


def run_assignment(
    assignment: Assignment, task: Task, resources: AttackerResources
) -> list[Record]:
    """Run the trials of one assignment and return a record for each."""
    curve = task.test.subset(CURVE_SAMPLES)
    draws = [draw_labels(task, curve, budget, assignment.attacker) for budget in assignment.budgets]
    trials = tuple(trial for trial in assignment.trials if resources.satisfy(trial.needs))
    if not trials:
        return []
    model = assignment.model
    try:
        frozen, trainable = trials[0].cut(model, task.train)
    except Exception as error:  # the network is the user's code
        return make_failed_records(replace(assignment, trials=trials), error)
    unlabelled = replace(task.train, labels=torch.zeros_like(task.train.labels))
    outputs: dict[Data, Data] = {}
    records: list[Record] = []
    for budget, drawn in zip(assignment.budgets, draws, strict=True):
        part = replace(assignment, trials=trials, budgets=(budget,))
        try:
            draw = drawn.pass_through(frozen, outputs)
        except Exception as error:
            records += make_failed_records(part, error)
            continue
        attacker = Attacker(
            train=draw.train,
            steps=budget.steps,
            generator=torch.Generator(),  # each bundle gets its own
            given_head=model.head,
            desirable=resources.desirable,
            unlabelled=unlabelled,
            sibling=resources.sibling,
        )
        bench = _Bench(part, trainable, len(task.classes), draw, attacker, resources.limits)
        finished: dict[Attack, Record] = {}
        best: dict[str, _Result] = {}  # by family; the models of all other trials can be freed
        for result in bench.run_all(group_into_bundles(trials)):
            record = finished[result.trial] = result.record
            if record.error is None:
                rivals = (best.get(record.family, result), result)
                best[record.family] = max(rivals, key=lambda rival: rival.record.preference)
        for result in best.values():
            finished[result.trial] = _score_on_test_set(result, draw.test)
        records += [finished[trial].as_written() for trial in trials]
    return records


def _score_on_test_set(result: _Result, test: Data) -> Record:
    """Return a trial's record with its accuracy on all test samples, or why its model fails."""
    try:
        return replace(result.record, **vars(result.score.score_selected(test)))
    except Exception as error:  # the network is the user's code, and may refuse some samples
        return replace(result.record, error=_describe_failure(error))


def make_failed_records(assignment: Assignment, error: Exception) -> list[Record]:
    """Return the records of trials that failed before they had begun, or with their process."""
    return [
        _make_record(assignment, budget, trial, Score(error=_describe_failure(error)))
        for budget in assignment.budgets
        for trial in assignment.trials
    ]


@dataclass(frozen=True, eq=False)
class _Bench:
    """Runs the trials that share one frozen part and one budget."""

    assignment: Assignment
    trainable: Classifier
    classes: int
    draw: Draw
    attacker: Attacker
    limits: Limits

    def run_all(self, several: Sequence[Sequence[Attack]]) -> Iterator[_Result]:
        """Run bundles of trials, one after the other."""
        (budget,) = self.assignment.budgets
        labels = "all labels" if budget.labels is None else f"{budget.labels} labels per class"
        with progress.step(f"settings with {labels}", len(several)) as shown:
            for bundle in several:
                yield from self.run(bundle)
                shown.advance()

    def run(self, bundle: Sequence[Attack]) -> list[_Result]:
        """Run trials together; if that fails, each alone, so that one failure fails one trial."""
        if any(trial.loads_compiler for trial in bundle):
            load_compiler()
        started = time.perf_counter()
        (budget,), first = self.assignment.budgets, bundle[0]
        # The seed does not depend on the arm: every arm's new head starts from the same weights.
        seed = stable_seed(str(plain(first.bundle)), budget, self.assignment.attacker)
        model = self.trainable.with_head(self.classes, seed)
        for weight in model.parameters():  # an attacker can unfreeze whatever was frozen
            weight.requires_grad_(weight.is_floating_point())
        counter = FlopCounter()
        try:
            with self.limits.enforce(len(bundle)), seeded(seed) as generator:
                attacker = replace(self.attacker, generator=generator)
                if isinstance(first, StackedAttack):
                    snapshots = first.transfer_together(bundle, model, attacker)  # type: ignore[arg-type]
                else:
                    snapshots = first.transfer(model, attacker)
                scores = score(counter.count(snapshots), len(bundle), self.draw, budget.steps)
        except (Exception, SystemExit, TrialStopped) as error:  # an attack is the user's code
            reason = _describe_failure(error)
            if len(bundle) > 1:
                return [result for trial in bundle for result in self.run((trial,))]
            scores = [Score(error=reason)]
        seconds = (time.perf_counter() - started) / len(bundle)
        flops = counter.flops / len(bundle)
        return [
            _Result(
                trial, _make_record(self.assignment, budget, trial, points, seconds, flops), points
            )
            for trial, points in zip(bundle, scores, strict=True)
        ]


def _describe_failure(error: BaseException) -> str:
    """Return one line that says why a trial failed.

    Raises:
        torch.AcceleratorError: The error is one; nothing would work in this process afterwards.
    """
    if isinstance(error, torch.AcceleratorError):
        raise error
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def _make_record(
    assignment: Assignment,
    budget: Budget,
    trial: Attack,
    points: Score,
    seconds: float = 0.0,
    flops: float = 0.0,
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
        attack=Configuration.of(trial),
        labels=budget.labels,
        steps=points.steps,
        validation=points.validation,
        test=points.test,
        selected=points.selected,
        validation_loss=points.loss,
        accuracy=None,
        seconds=seconds,
        flops=flops,
        certificate=points.certificate,
        error=points.error,
        task=assignment.task,
        losses=points.losses,
        rung=assignment.rung,
    )
