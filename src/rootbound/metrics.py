"""Numbers that mean something, as pure functions of records.

Accuracies are in [0, 1]; differences and intervals of them are in percentage points.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from rootbound.records import Evaluation, Record

LEVEL = 0.95
"""Of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its two-sided 95 % interval (Student's t).

    Args:
        mean: over the seeds.
        low: end of the interval; minus infinity with one seed.
        high: end of the interval; infinity with one seed.
        seeds: how many there are.
        p_value: that the true mean is 0, for differences; None with one seed.
    """

    mean: float
    low: float
    high: float
    seeds: int
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean, 95 % t-interval and p-value (of mean 0) of one value a seed.

    Raises:
        ValueError: there are no values.
    """
    count, mean = len(values), statistics.fmean(values)
    if count == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    error = statistics.stdev(values) / math.sqrt(count)
    half = float(student.ppf(0.5 + LEVEL / 2, count - 1)) * error
    if error == 0.0:
        p_value = 1.0 if mean == 0.0 else 0.0
    else:
        p_value = 2 * float(student.sf(abs(mean) / error, count - 1))
    return Estimate(mean, mean - half, mean + half, count, p_value)


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Estimate | None:
    """Return the difference first - second in points, paired over the seeds both have.

    Test: paired t-test over seeds; a seed fixes initial weights, batches and labels, so
    what it shares cancels. None without a common seed.
    """
    common = sorted(set(first) & set(second))
    if not common:
        return None
    return estimate([100 * (first[seed] - second[seed]) for seed in common])


def points(values: Mapping[int, float]) -> Estimate | None:
    """Return the mean over seeds in percent, None without values."""
    return estimate([100 * value for value in values.values()]) if values else None


def methods(evaluation: Evaluation) -> list[str]:
    """Return the names of what was attacked, in order, scratch last."""
    return list(dict.fromkeys(training.method for training in evaluation.trainings))


def undefended(evaluation: Evaluation) -> str | None:
    """Return the name of the undefended arm, if there is one."""
    arms = {training.arm: training.method for training in evaluation.trainings}
    return arms.get("undefended")


def families(evaluation: Evaluation) -> list[str]:
    """Return the attack families, in order."""
    return list(dict.fromkeys(record.family for record in evaluation.records))


def budgets(evaluation: Evaluation) -> list[int | None]:
    """Return the labels per class of each budget, in order, None for all."""
    return list(dict.fromkeys(record.labels for record in evaluation.records))


def desirable(evaluation: Evaluation, method: str) -> dict[int, float]:
    """Return the desirable accuracy of each seed."""
    return {
        training.seed: training.desirable_accuracy
        for training in evaluation.trainings
        if training.method == method and training.desirable_accuracy is not None
    }


def strongest(records: Iterable[Record]) -> Record | None:
    """Return the trial that the attacker would pick, by validation alone; None if all failed."""
    judged = (record for record in records if record.accuracy is not None)
    return max(judged, key=lambda record: record.preference, default=None)


def trials(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[int, list[Record]]:
    """Return the records of one cell by seed; all families together when left out."""
    found: dict[int, list[Record]] = {}
    for record in evaluation.records:
        fits = record.method == method and record.labels == labels
        if fits and family in (None, record.family):
            found.setdefault(record.seed, []).append(record)
    return found


def selected(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[int, Record]:
    """Return the strongest trial of each seed in a cell."""
    picked = {
        seed: strongest(records)
        for seed, records in trials(evaluation, method, labels, family).items()
    }
    return {seed: record for seed, record in picked.items() if record is not None}


def attacked(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> dict[int, float]:
    """Return the attacker's test accuracy for each seed: of the validation-selected trial."""
    return {
        seed: record.accuracy
        for seed, record in selected(evaluation, method, labels, family).items()
        if record.accuracy is not None
    }


def advantage(
    evaluation: Evaluation, method: str, labels: int | None, family: str | None = None
) -> Estimate | None:
    """Return what the weights are worth to the attacker: accuracy minus scratch's, in points.

    Scratch is the strongest attack of any family on random weights with the same labels,
    since weights can always be thrown away. With a family left out both sides choose among
    all families, with equal trials.
    """
    return paired(
        attacked(evaluation, method, labels, family), attacked(evaluation, "scratch", labels)
    )


def steps_to_reach(
    evaluation: Evaluation, method: str, labels: int | None, family: str, share: float
) -> list[int | None]:
    """Return, by seed, the fewest steps to a share of what the undefended model reaches.

    The fastest trial counts, judged on the test curve: in the attacker's favour. None means
    not reached within the budget (censored: it is no number).
    """
    name = undefended(evaluation)
    if name is None:
        return []
    goals = attacked(evaluation, name, labels, family)
    reached: list[int | None] = []
    for seed, records in sorted(trials(evaluation, method, labels, family).items()):
        if seed in goals:
            steps = (_first_step(record, share * goals[seed]) for record in records)
            reached.append(min((step for step in steps if step is not None), default=None))
    return reached


def _first_step(record: Record, goal: float) -> int | None:
    curve = zip(record.steps, record.test, strict=True)
    return next((step for step, value in curve if value >= goal), None)


def median_steps(reached: Sequence[int | None]) -> float | None:
    """Return the median over seeds, counting `not reached` as above all; None if that is it."""
    if not reached:
        return None
    ordered = sorted(math.inf if step is None else step for step in reached)
    middle = statistics.median(ordered)
    return None if math.isinf(middle) else middle


def failures(evaluation: Evaluation, method: str) -> tuple[int, int]:
    """Return how many trials on a method's models failed, and how many there were."""
    records = [record for record in evaluation.records if record.method == method]
    return sum(record.error is not None for record in records), len(records)
