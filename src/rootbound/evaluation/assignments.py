"""Who is attacked with what, and in which order: the plan of an evaluation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rootbound.attacks import Attack, Budget, StackedAttack
from rootbound.evaluation.seeds import stable_seed
from rootbound.networks import Classifier
from rootbound.records import EXACT, PRACTICAL, Arm, Record, Stage, TaskName
from rootbound.suites import Suite

AT_ONCE = 8
"""Bundles of trials in one assignment, at most: small enough to share among processes."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under attack, and where it comes from."""

    arm: Arm
    method: str
    seed: int
    model: Classifier

    def meets(self, attacker: int) -> Subject:
        """Return the model that this attacker meets: random weights are drawn anew for each."""
        if self.arm != "scratch" or attacker == self.seed:
            return self
        return replace(self, model=self.model.reinitialised(attacker))


@dataclass(frozen=True, eq=False)
class Assignment:
    """Trials of one attacker on one model that share a frozen part: the unit of work."""

    subject: Subject
    trials: tuple[Attack, ...]
    budgets: tuple[Budget, ...]
    attacker: int
    stage: Stage = "screen"
    task: TaskName = "undesirable"
    rung: int = 0


def bundles(trials: Iterable[Attack]) -> list[tuple[Attack, ...]]:
    """Group trials that can be trained together."""
    groups: dict[Hashable, list[Attack]] = {}
    for trial in trials:
        key = trial.bundle if isinstance(trial, StackedAttack) else trial
        groups.setdefault(key, []).append(trial)
    return [tuple(group) for group in groups.values()]


def divided(assignment: Assignment) -> list[Assignment]:
    """Return one assignment for each bundle and budget; of one bundle, for each trial.

    What is a single trial already cannot be divided: then none.
    """
    parts = bundles(assignment.trials)
    if len(parts) == len(assignment.budgets) == 1:
        parts = [(trial,) for trial in assignment.trials]
    found = [
        replace(assignment, trials=part, budgets=(budget,))
        for budget in assignment.budgets
        for part in parts
    ]
    return found if len(found) > 1 else []


Tried = Mapping[str, Attack]
"""The trials so far, by the text that their records name them with."""


def screening(subject: Subject, suite: Suite, *, benign: bool = False) -> list[Assignment]:
    """Return the assignments that try every trial of a suite on a model, one attacker seed.

    Args:
        subject: the model.
        suite: attacks and budgets.
        benign: whether there is a third task that the model should be able to learn.
    """
    blind = tuple(budget for budget in suite.budgets if budget.labels == 1)
    seeing = tuple(budget for budget in suite.budgets if budget.labels != 1)
    some = tuple(budget for budget in seeing if budget.labels is not None) if benign else ()
    harmless = _assignments(subject, suite.benign, some, subject.seed, "screen")
    return [
        *_assignments(subject, suite.attacks, seeing, subject.seed, "screen"),
        *_assignments(subject, suite.blind, blind, subject.seed, "screen"),
        *(replace(assignment, task="benign") for assignment in harmless),
    ]


def once(subject: Subject, suite: Suite, *, benign: bool = False) -> list[Assignment]:
    """Return those assignments of a screening in which no setting is chosen by how well it does.

    They are the settings for one label a class, and the harmless third task.
    """
    return [
        one
        for one in screening(subject, suite, benign=benign)
        if one.task == "benign" or all(budget.labels == 1 for budget in one.budgets)
    ]


def rung(
    subject: Subject, trials: Sequence[Attack], budgets: tuple[Budget, ...], number: int
) -> list[Assignment]:
    """Return the assignments that give settings the steps of these budgets, on one rung."""
    found = _assignments(subject, trials, budgets, subject.seed, "screen")
    return [replace(one, rung=number) for one in found]


def searching(
    subject: Subject, suite: Suite, screened: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments with the settings that are proposed from what was screened."""
    if suite.space is None:
        return []
    found: list[Assignment] = []
    for budget in suite.budgets:
        if budget.labels == 1:
            continue
        known = [
            (tried[record.attack], record.preference[0])
            for record in screened
            if _of(budget, record) and record.attack in tried
        ]
        proposed = suite.space.propose(known, stable_seed("search", budget, subject.seed) % 2**32)
        found += _assignments(subject, proposed, (budget,), subject.seed, "search")
    return found


def confirming(
    subject: Subject, suite: Suite, screened: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments that show the best settings to new attacker seeds.

    Args:
        subject: what has been screened.
        suite: whose rules say how many settings and seeds.
        screened: the records of it, of both screening and search.
        tried: their trials.
    """
    if not suite.confirmed:
        return []
    return [
        assignment
        for budget in suite.budgets
        for trials in [_best_of_tiers(tried, screened, budget, suite.confirmed)]
        for attacker in range(subject.seed + 1, subject.seed + 1 + suite.attackers)
        for assignment in _assignments(
            subject.meets(attacker), trials, (budget,), attacker, "confirm"
        )
    ]


def lengthening(
    subject: Subject, suite: Suite, records: Sequence[Record], tried: Tried
) -> list[Assignment]:
    """Return the assignments that give the best confirmed setting many times the steps."""
    if not suite.longer:
        return []
    confirmed = [record for record in records if record.stage == "confirm"] or records
    found: list[Assignment] = []
    trained = [one for one in tried.values() if one.tier in ("fine-tuning", "repair")]
    for budget in suite.budgets:
        trials = best(trained, confirmed, budget, 1)
        longer = replace(budget, steps=budget.steps * suite.longer)
        attacker = subject.seed + 1
        found += _assignments(subject.meets(attacker), trials, (longer,), attacker, "longer")
    return found


def _best_of_tiers(
    tried: Tried, records: Sequence[Record], budget: Budget, count: int
) -> list[Attack]:
    """Return the best settings of each tier, and of the last layer alone.

    The last layer's are confirmed though others may be better: reports single them out.
    """
    trials = list(tried.values())
    groups = [
        ([one for one in trials if one.tier == tier], count)
        for tier in dict.fromkeys(trial.tier for trial in trials)
        if tier != "control"
    ]
    groups += [([one for one in trials if one.family == name], 1) for name in (PRACTICAL, EXACT)]
    chosen = (trial for group, most in groups for trial in best(group, records, budget, most))
    return list(dict.fromkeys(chosen))


def best(
    trials: Sequence[Attack], records: Sequence[Record], budget: Budget, count: int
) -> list[Attack]:
    """Return the settings with the highest mean preference over attackers."""
    by_setting = {repr(trial): trial for trial in trials}
    found: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        if _of(budget, record) and record.attack in by_setting:
            found.setdefault(record.attack, []).append(record.preference)
    means = {
        setting: tuple(sum(part) / len(part) for part in zip(*values, strict=True))
        for setting, values in found.items()
    }
    # Sorting is stable: what ties stays in the suite's order.
    known = [setting for setting in by_setting if setting in means]
    order = sorted(known, key=lambda setting: means[setting], reverse=True)
    return [by_setting[setting] for setting in order[:count]]


def _of(budget: Budget, record: Record) -> bool:
    """Return whether a record says how well an attack does with a budget's labels."""
    same = record.labels == budget.labels and record.task == "undesirable"
    return same and record.error is None


def _assignments(
    subject: Subject,
    trials: Sequence[Attack],
    budgets: tuple[Budget, ...],
    attacker: int,
    stage: Stage,
) -> Iterator[Assignment]:
    """Group the trials that apply by where they cut the model, a few bundles at a time."""
    if not budgets:
        return
    groups: dict[Hashable, list[Attack]] = {}
    for trial in trials:
        # A control has no network to train: only new heads on what it shows make sense.
        if subject.arm == "control" and trial.cut_key(subject.model) != 0:
            continue
        if trial.applies_to(subject.model):
            groups.setdefault(trial.cut_key(subject.model), []).append(trial)
    for group in groups.values():
        together = bundles(group)
        for start in range(0, len(together), AT_ONCE):
            chosen = tuple(
                trial for bundle in together[start : start + AT_ONCE] for trial in bundle
            )
            yield Assignment(subject, chosen, budgets, attacker, stage)
