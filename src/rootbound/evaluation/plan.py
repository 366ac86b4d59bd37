"""Assignments, the unit of work of an evaluation; and plans, which decide what comes next."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from rootbound.attacks import Attack, Budget, StackedAttack
from rootbound.evaluation.attacker import stable_seed
from rootbound.metrics.attackers import finalists
from rootbound.networks import Classifier
from rootbound.records import Arm, Configuration, Record, Stage, TaskName
from rootbound.suites import Suite

BETWEEN_DRAWS = 10_000
"""Step between the attacker numbers of two draws, so large that other models' fit in between."""
BUNDLES_PER_ASSIGNMENT = 8
"""Most bundles of trials in one assignment: so few that processes can share the work."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained model under attack, and where it comes from."""

    arm: Arm
    method: str
    seed: int
    model: Classifier


@dataclass(frozen=True, eq=False)
class Assignment:
    """Trials of one attacker on one model that share a frozen part: the unit of work.

    If `weights` is a seed, the worker draws random weights with it; if it is None, the subject's
    own weights are attacked.
    """

    subject: Subject
    trials: tuple[Attack, ...]
    budgets: tuple[Budget, ...]
    attacker: int
    stage: Stage = "screen"
    task: TaskName = "undesirable"
    rung: int = 0
    weights: int | None = None

    @property
    def size(self) -> int:
        """Number of trials, counted for each budget."""
        return len(self.trials) * len(self.budgets)

    @property
    def model(self) -> Classifier:
        """The model that is attacked."""
        model = self.subject.model
        return model if self.weights is None else model.reinitialised(self.weights)


class Plan(Protocol):
    """Decides from records what comes next.

    It learns about each subject once, when its model is ready, and about each assignment once,
    when its records are there. It makes no difference whether an earlier run made them.
    """

    def begin(self, subject: Subject) -> Sequence[Assignment]:
        """Take a new subject; return the assignments to run next."""

    def advance(self, done: Assignment, records: Sequence[Record]) -> Sequence[Assignment]:
        """Take the records of an assignment; return the assignments to run next."""

    def expected_trials(self) -> int:
        """Return how many trials are still to be assigned, as far as that can be foreseen."""

    def unfinished(self) -> Sequence[Record]:
        """Return records that do not count, because time ran out before all arms had them."""

    def summary(self) -> dict[str, Any]:
        """Return the plan's entries in the context of the finished run."""


def group_into_bundles(trials: Iterable[Attack]) -> list[tuple[Attack, ...]]:
    """Group trials that can be trained together."""
    groups: dict[Hashable, list[Attack]] = {}
    for trial in trials:
        key = trial.bundle if isinstance(trial, StackedAttack) else trial
        groups.setdefault(key, []).append(trial)
    return [tuple(group) for group in groups.values()]


def assign(
    subject: Subject,
    trials: Iterable[Attack],
    budgets: Sequence[Budget],
    *,
    attacker: int | None = None,
    stage: Stage = "screen",
    task: TaskName = "undesirable",
    rung: int = 0,
) -> list[Assignment]:
    """Group the trials that apply to a subject by where they cut it, a few bundles at a time.

    The attacker is the one with the subject's seed, unless another is named. Each attacker meets
    random weights of its own.
    """
    groups: dict[Hashable, list[Attack]] = {}
    for trial in trials if budgets else ():
        # A control has no network to train: only new heads on its outputs make sense.
        if subject.arm == "control" and trial.cut_key(subject.model) != 0:
            continue
        # An attacker who starts from the public model has no sibling of our weights.
        if subject.arm == "public" and "sibling" in trial.needs:
            continue
        if trial.applies_to(subject.model):
            groups.setdefault(trial.cut_key(subject.model), []).append(trial)
    seed = subject.seed if attacker is None else attacker
    weights = seed if subject.arm == "scratch" and seed != subject.seed else None
    assignments = []
    for group in map(group_into_bundles, groups.values()):
        for start in range(0, len(group), BUNDLES_PER_ASSIGNMENT):
            chosen = tuple(sum(group[start : start + BUNDLES_PER_ASSIGNMENT], ()))
            assignments.append(
                Assignment(subject, chosen, tuple(budgets), seed, stage, task, rung, weights)
            )
    return assignments


def vary_scratch(assignments: Iterable[Assignment]) -> list[Assignment]:
    """Give each family of attacks random weights of its own.

    The attacker's accuracy from scratch is a mean over families, so it then covers more weights.
    """
    varied = []
    for one in assignments:
        if one.subject.arm != "scratch":
            varied.append(one)
            continue
        for family in dict.fromkeys(trial.family for trial in one.trials):
            trials = tuple(trial for trial in one.trials if trial.family == family)
            weights = stable_seed("scratch", family, one.attacker)
            varied.append(replace(one, trials=trials, weights=weights))
    return varied


def split_assignment(assignment: Assignment) -> list[Assignment]:
    """Split an assignment by bundle and budget; if there is one of each, by trial.

    The list is empty where there is a single trial, which cannot be split.
    """
    groups = group_into_bundles(assignment.trials)
    if len(groups) == len(assignment.budgets) == 1:
        groups = [(trial,) for trial in assignment.trials]
    parts = [
        replace(assignment, trials=group, budgets=(budget,))
        for budget in assignment.budgets
        for group in groups
    ]
    return parts if len(parts) > 1 else []


def screen(subject: Subject, suite: Suite) -> list[Assignment]:
    """Return the assignments that try every trial of a suite on a subject, draw by draw.

    Where a suite has finalists, only trials that need no choosing meet the draws after the first.
    """
    assignments = []
    for draw, attacker in enumerate(list_draws(subject, suite)):
        drawn = replace(suite, budgets=suite.budgets_of(draw), draws=(), finalists=0)
        if draw == 0 or not suite.finalists:
            budgets = [budget for budget in drawn.budgets if budget.labels != 1]
            assignments += assign(subject, suite.attacks, budgets, attacker=attacker)
        assignments += screen_blind(subject, drawn, attacker)
        assignments += screen_benign(subject, drawn, attacker)
    return vary_scratch(assignments) if suite.draws else assignments


def list_draws(subject: Subject, suite: Suite) -> list[int]:
    """Return the attackers of a subject, one for each draw of labels."""
    return [subject.seed + draw * BETWEEN_DRAWS for draw in range(max(suite.draws, default=1))]


def draw_again(
    subject: Subject,
    suite: Suite,
    budget: Budget,
    draw: int,
    records: Iterable[Record],
    tried: Mapping[Configuration, Attack],
) -> list[Assignment]:
    """Return the assignments of one more draw of labels: with the finalists, if a suite has some.

    The draw that chose the finalists does not count, so these draws confirm them.

    Args:
        subject: The model under attack.
        suite: The suite of the trials.
        budget: The number of labels and steps.
        draw: Number of the draw; the first is 0.
        records: The subject's records, at least those of the first draw.
        tried: The attacks of these records, by their settings.
    """
    if subject.arm == "control":  # no claim about controls needs several draws
        return []
    trials = suite.blind if budget.labels == 1 else suite.attacks
    stage: Stage = "screen"
    if suite.finalists and budget.labels != 1:
        own = [one for one in records if one.attacker == subject.seed and counts_for(budget, one)]
        trials = tuple(tried[setting] for setting in finalists(own, suite.finalists))
        stage = "confirm"
    attacker = subject.seed + draw * BETWEEN_DRAWS
    assignments = assign(subject, trials, (budget,), attacker=attacker, stage=stage)
    return vary_scratch(assignments) if suite.draws else assignments


def screen_blind(subject: Subject, suite: Suite, attacker: int | None = None) -> list[Assignment]:
    """Return the part of a screening with one label per class, where validation is impossible."""
    blind = [budget for budget in suite.budgets if budget.labels == 1]
    return assign(subject, suite.blind, blind, attacker=attacker)


def screen_benign(subject: Subject, suite: Suite, attacker: int | None = None) -> list[Assignment]:
    """Return the part of a screening on the benign task."""
    some = [budget for budget in suite.budgets if budget.labels not in (1, None)]
    return assign(subject, suite.benign, some, attacker=attacker, task="benign")


def select_best(
    trials: Sequence[Attack], records: Sequence[Record], budget: Budget, count: int
) -> list[Attack]:
    """Return the settings with the highest mean preference over attackers."""
    by_setting = {Configuration.of(trial): trial for trial in trials}
    preferences: dict[Configuration, list[tuple[float, float]]] = {}
    for record in records:
        if counts_for(budget, record) and record.attack in by_setting:
            preferences.setdefault(record.attack, []).append(record.preference)
    means = {
        setting: tuple(sum(part) / len(part) for part in zip(*values, strict=True))
        for setting, values in preferences.items()
    }
    # Sorting is stable: settings that tie stay in the suite's order.
    known = [setting for setting in by_setting if setting in means]
    order = sorted(known, key=lambda setting: means[setting], reverse=True)
    return [by_setting[setting] for setting in order[:count]]


def counts_for(budget: Budget, record: Record) -> bool:
    """Return whether a record says how well an attack does with a budget's labels."""
    same = record.labels == budget.labels and record.task == "undesirable"
    return same and record.error is None
