"""The uncertainty of a mean of a few differences of accuracies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import betaincinv, stdtrit


@dataclass(frozen=True)
class Gain:
    """Summary of independent values of an advantage in points.

    Args:
        mean: Their mean.
        deviation: Their standard deviation; 0 for one value.
        draws: Their number.
    """

    mean: float
    deviation: float
    draws: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Gain:
        """Summarise values."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), deviation, len(values))

    def half_width(self, samples: int, rate: float) -> float:
        """Return how far the mean may be off, on one side, in points.

        There are two independent sources of uncertainty, whose squares add up: the draws, by
        Student's t; and the test samples, see `least_doubt`. Without the second, draws that happen
        to agree exactly would leave no uncertainty at all.

        Args:
            samples: Number of test samples.
            rate: Error rate of this side.
        """
        of_draws = -float(stdtrit(self.draws - 1, rate)) * self.deviation / math.sqrt(self.draws)
        return math.hypot(of_draws, least_doubt(self.mean, samples, rate))


def least_doubt(gain: float, samples: int, rate: float) -> float:
    """Return the least uncertainty of a difference of two accuracies, in points, on one side.

    For a difference of `d`, two models disagree on at least a share `d` of the test samples. The
    uncertainty is least where they disagree on no others. Then `d` is a share of independent
    samples, with the exact interval (C. J. Clopper and E. S. Pearson, "The use of confidence or
    fiducial limits", Biometrika 26, 1934). So models that agree on all of 60 samples may still
    differ by 6 points on others; if they agree on all of 5,000, by less than a tenth of a point.
    """
    share = min(1.0, abs(gain) / 100)
    hits = min(share, 1 - share) * samples
    return 100 * (float(betaincinv(hits + 1, samples - hits, 1 - rate)) - hits / samples)
