"""How far the mean of a few differences of accuracies may be off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv, stdtrit


@dataclass(frozen=True)
class Gain:
    """Independent values of an advantage in points, in short.

    Args:
        mean: Their mean.
        deviation: Their standard deviation; 0 of one value.
        draws: Their number.
    """

    mean: float
    deviation: float
    draws: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Gain:
        """Return values in short."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), deviation, len(values))

    def half_width(self, samples: int, rate: float) -> float:
        """Return how far the mean may be off, on one side, in points.

        There are two sources of doubt, independent of each other, so that their squares add up: the
        draws, by Student's t; and the test samples, see `least_doubt`. Without the second, draws
        that tie would show anything.

        Args:
            samples: Number of test samples.
            rate: Error rate of this side.
        """
        of_draws = -float(stdtrit(self.draws - 1, rate)) * self.deviation / math.sqrt(self.draws)
        return math.hypot(of_draws, least_doubt(self.mean, samples, rate))


def least_doubt(gain: float, samples: int, rate: float) -> float:
    """Return how far a difference of two accuracies may be off at least, in points, on one side.

    A difference of `d` needs models that disagree on a share of `d` of the test samples, or more:
    the least doubt is where they disagree on no others. Then `d` is a share of independent samples,
    and its interval the exact one (C. J. Clopper and E. S. Pearson, "The use of confidence or
    fiducial limits", Biometrika 26, 1934). Models that agree on all of 60 samples may so differ by
    6 points on others, on all of 5,000 by less than a tenth.
    """
    share = min(1.0, abs(gain) / 100)
    hits = min(share, 1 - share) * samples
    return 100 * (float(betaincinv(hits + 1, samples - hits, 1 - rate)) - hits / samples)
