"""How well models do the desirable task, and how much of that a defence costs.

Where several models were trained, intervals are over models. Where a single model was given, they
are over the test samples, on each of which both models are right or wrong.
"""

from __future__ import annotations

import math

from scipy.special import betaincinv, ndtri

from rootbound.metrics.cells import desirable, is_given, undefended
from rootbound.metrics.estimates import LEVEL, Estimate, paired, points
from rootbound.records import Evaluation


def desirable_accuracy(evaluation: Evaluation, method: str) -> Estimate | None:
    """Return the desirable accuracy in percent; None where it is not known.

    The interval over test samples is the exact one (C. J. Clopper and E. S. Pearson, Biometrika
    26, 1934).
    """
    accuracy = points(desirable(evaluation, method))
    wrong = _find_wrong(evaluation, method)
    if accuracy is None or wrong is None:
        return accuracy
    misses, tail = len(wrong), (1 - LEVEL) / 2
    hits = _count_samples(evaluation) - misses
    low = float(betaincinv(hits, misses + 1, tail)) if hits else 0.0
    high = float(betaincinv(hits + 1, misses, 1 - tail)) if misses else 1.0
    return Estimate(accuracy.mean, 100 * low, 100 * high, 1)


def desirable_change(evaluation: Evaluation, method: str) -> Estimate | None:
    """Return the desirable accuracy minus that of the undefended arm, in points.

    None where there is none. The interval over test samples is Wald's for matched pairs with half a
    sample added to each of the four counts (A. Agresti and Y. Min, "Simple improved confidence
    intervals for comparing matched proportions", Statistics in Medicine 24, 2005).
    """
    plain = undefended(evaluation)
    if plain in (None, method):
        return None
    change = paired(desirable(evaluation, method), desirable(evaluation, str(plain)))
    own, usual = _find_wrong(evaluation, method), _find_wrong(evaluation, str(plain))
    if change is None or own is None or usual is None:
        return change
    gained, lost = len(usual - own) + 0.5, len(own - usual) + 0.5
    samples = _count_samples(evaluation) + 2
    mean = (gained - lost) / samples
    error = math.sqrt(((gained + lost) / samples - mean**2) / samples)
    half = float(ndtri(0.5 + LEVEL / 2)) * error
    return Estimate(change.mean, 100 * (mean - half), 100 * (mean + half), 1)


def _find_wrong(evaluation: Evaluation, method: str) -> frozenset[int] | None:
    """Return which test samples a given model gets wrong; None for several models or if unknown."""
    if not is_given(evaluation):
        return None
    errors = (one.desirable_errors for one in evaluation.trainings if one.method == method)
    known = next(errors, None)
    return None if known is None else frozenset(known)


def _count_samples(evaluation: Evaluation) -> int:
    return int(evaluation.context["desirable"]["test_samples"])
