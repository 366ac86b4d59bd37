"""Means with their intervals: over seeds, or over attackers within seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes long to import

LEVEL = 0.95
"""Confidence level of every interval."""
Draw = tuple[int, int]
"""What a number was measured with: the model's seed and the attacker's."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its two-sided 95 % interval.

    Args:
        mean: Mean of all values.
        low: Lower end of the interval; minus infinity with one value.
        high: Upper end of the interval; infinity with one value.
        seeds: Number of values.
        p_value: Two-sided p-value of a true mean of 0, for differences; None with one value.
    """

    mean: float
    low: float
    high: float
    seeds: int
    p_value: float | None = None

    def __neg__(self) -> Estimate:
        """Return the estimate of the difference with the opposite sign."""
        return replace(self, mean=-self.mean, low=-self.high, high=-self.low)

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


def estimate(values: Sequence[float]) -> Estimate:
    """Return mean, 95 % t-interval and p-value (of mean 0) of independent values.

    Raises:
        ValueError: there are no values.
    """
    count, mean = len(values), statistics.fmean(values)
    if count == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    error = statistics.stdev(values) / math.sqrt(count)
    half = float(stdtrit(count - 1, 0.5 + LEVEL / 2)) * error
    if error == 0.0:
        p_value = 1.0 if mean == 0.0 else 0.0
    else:
        p_value = 2 * float(stdtr(count - 1, -abs(mean) / error))
    return Estimate(mean, mean - half, mean + half, count, p_value)


def over_draws(values: Mapping[Draw, float]) -> Estimate:
    """Return the mean over draws; draws of labels on one model say little of another model.

    Of one model every draw is a value. Of several models the mean of each is one: Student's
    interval over these is exact for normal values, whatever part of the noise is the models' and
    whatever part the draws'. A bootstrap of models and draws is narrower and wrong: with three
    models it holds the truth in 75 to 92 % of our simulations.

    Raises:
        ValueError: there are no values.
    """
    groups: dict[int, list[float]] = {}
    for (seed, _), value in sorted(values.items()):
        groups.setdefault(seed, []).append(value)
    if len(groups) == 1:
        return estimate(next(iter(groups.values())))
    return replace(
        estimate([statistics.fmean(group) for group in groups.values()]), seeds=len(values)
    )


def points(values: Mapping[Draw, float]) -> Estimate | None:
    """Return the mean over draws in percent, None without values."""
    if not values:
        return None
    return over_draws({draw: 100 * value for draw, value in values.items()})


def paired(first: Mapping[Draw, float], second: Mapping[Draw, float]) -> Estimate | None:
    """Return the difference first - second in points, paired over the draws both have.

    A seed fixes initial weights and batches, an attacker its labels: what two arms share
    cancels. None without a common draw.
    """
    common = sorted(set(first) & set(second))
    if not common:
        return None
    return over_draws({draw: 100 * (first[draw] - second[draw]) for draw in common})
