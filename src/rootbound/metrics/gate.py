"""The gate: does the data show that the marginal advantage is within a limit, or above it?

With few draws of labels it shows neither, and the gate says "undecided". Each of the other two
outcomes is wrong in at most 2.5 % of cases, over all numbers of labels and all looks.

A limit *holds* if the upper end of the interval is at or below it with every number of labels. All
of them must agree, so each may have the whole error rate. A limit *does not hold* if a lower end is
above it with some number of labels. Any one of them is enough, and could be so by chance, so they
share the error rate equally (Bonferroni). The same reasoning applies to the two comparisons. The
marginal advantage is the smaller of those over scratch and over the public model: both lower ends
have to be above the limit, but one upper end below it is enough, so the upper ends share.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rootbound.core.errors import InputError
from rootbound.metrics.attackers import attacked
from rootbound.metrics.cells import budgets, public, trials
from rootbound.metrics.gain import Gain
from rootbound.metrics.looks import LEAST_DRAWS, spend
from rootbound.records import Evaluation

End = Literal["holds", "does not hold", "undecided"]
RATE = 0.025
"""Error rate of "holds", and of "does not hold"."""
MOST_NEEDED = 10_000
"""Largest number of draws that the gate proposes; beyond it, it says that none would do."""


@dataclass(frozen=True)
class CellEnd:
    """The gate's outcome for one number of labels.

    Args:
        labels: Labels per class, None for all.
        end: Whether the limit holds with so many labels.
        mean: Marginal advantage in points; None where nothing was measured.
        low: Lower end of the gate's interval; None where there is none.
        high: Upper end of the gate's interval; None where there is none.
        draws: Number of independent values: draws of labels, or models where there are several.
        needed: Number of values that would decide it if mean and spread stay; None if none would.
        low_rate: Error rate of the lower end.
        high_rate: Error rate of the upper end.
    """

    labels: int | None
    end: End
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    draws: int = 0
    needed: int | None = None
    low_rate: float = RATE
    high_rate: float = RATE


@dataclass(frozen=True)
class Decision:
    """The gate's outcome for one method.

    Args:
        method: Name of the method.
        limit: Largest allowed marginal advantage, in points.
        end: Whether the data shows that the limit holds, shows that it does not, or neither.
        cells: The outcome for each number of labels.
        looks: Whether draws were added until it was decided; the ends then allow for several looks.
        of_models: Whether `draws` and `needed` count models, because several were trained.
    """

    method: str
    limit: float
    end: End
    cells: tuple[CellEnd, ...]
    looks: bool = False
    of_models: bool = False

    @property
    def needed(self) -> int | None:
        """Number of draws that would decide it if means and spreads stay.

        None if no number would, and where it is decided already.
        """
        if self.end != "undecided":
            return None
        undecided = [cell for cell in self.cells if cell.end == "undecided"]
        above = [one.needed for one in undecided if one.mean is not None and one.mean > self.limit]
        if above:  # one cell above the limit is enough
            return min((draws for draws in above if draws is not None), default=None)
        every = [cell.needed for cell in undecided]
        known = [draws for draws in every if draws is not None]
        return max(known, default=None) if len(known) == len(every) else None


def decide(evaluation: Evaluation, method: str, limit: float) -> Decision:
    """Return whether the marginal advantage of a method's weights is within a limit.

    A run that adds draws until this is decided had several looks at the data. They are repeated
    in order, each with the draws it had, and the first that decides counts.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        limit: Largest allowed marginal advantage, in points; it may be negative.

    Raises:
        InputError: The limit is not a finite number.
    """
    check_limit(limit)
    looked = _list_looks(evaluation)
    labels = budgets(evaluation)
    cells = tuple(
        _decide_cell(evaluation, method, one, limit, len(labels), looked) for one in labels
    )
    ends = {cell.end for cell in cells}
    end: End = "undecided"
    if "does not hold" in ends:
        end = "does not hold"
    elif ends == {"holds"}:
        end = "holds"
    draws = (draw for one in labels for draw in trials(evaluation, method, one))
    models = {model for model, _ in draws}
    return Decision(method, limit, end, cells, looked is not None, len(models) > 1)


def check_limit(limit: float) -> None:
    """Raise an `InputError` where a limit is not a finite number of points."""
    if not isinstance(limit, int | float) or not math.isfinite(limit):
        raise InputError("a number of points", str(limit), "correct the limit of the advantage")


def _list_looks(evaluation: Evaluation) -> Mapping[int | None, Sequence[tuple[int, float]]] | None:
    """Return, by labels, the draws and the share of the error rate of each look.

    None if the run was not made to look more than once.
    """
    until: Mapping[str, Any] | None = evaluation.context.get("until")
    if until is None:
        return None
    return {
        one["labels"]: list(
            zip(one["draws"], spend(one["draws"], until["draws"], 1.0), strict=True)
        )
        for one in until["looks"]
    }


def _decide_cell(
    evaluation: Evaluation,
    method: str,
    labels: int | None,
    limit: float,
    cells: int,
    looked: Mapping[int | None, Sequence[tuple[int, float]]] | None,
) -> CellEnd:
    """Return the outcome of the first look that decides a cell, else that of the last one."""
    if looked is None:
        return _look(evaluation, method, labels, limit, cells, 1.0)
    found = CellEnd(labels, "undecided")
    for draws, share in looked.get(labels, ()):
        seen = _keep_first_draws(evaluation, method, labels, draws)
        found = _look(seen, method, labels, limit, cells, share)
        if found.end != "undecided":
            break
    return found


def _look(
    evaluation: Evaluation, method: str, labels: int | None, limit: float, cells: int, share: float
) -> CellEnd:
    """Return the outcome of one look at a cell, with this share of the error rate."""
    names = [name for name in ("scratch", public(evaluation)) if name is not None]
    values = [_list_values(evaluation, method, labels, over=name) for name in names]
    rates = share * RATE / cells, share * RATE / len(names)
    found = CellEnd(labels, "undecided", low_rate=rates[0], high_rate=rates[1])
    if not all(values):
        return found
    gains = [Gain.of(one) for one in values]
    draws = min(gain.draws for gain in gains)
    found = replace(found, mean=min(gain.mean for gain in gains), draws=draws)
    if draws < LEAST_DRAWS:
        return replace(found, needed=LEAST_DRAWS)
    samples = int(evaluation.context["undesirable"]["test_samples"])
    end, low, high = show(gains, samples, limit, rates)
    needed = _count_needed(gains, samples, limit, rates) if end == "undecided" else None
    return replace(found, end=end, low=low, high=high, needed=needed)


def _list_values(
    evaluation: Evaluation, method: str, labels: int | None, *, over: str
) -> list[float]:
    """Return the independent values of an advantage in points.

    Where there is one model, these are its draws of labels. Where there are several, each model is
    one value, because draws on one of them say little about the others.
    """
    first, second = attacked(evaluation, method, labels), attacked(evaluation, over, labels)
    models: dict[int, list[float]] = {}
    for draw in sorted(first.keys() & second.keys()):
        models.setdefault(draw[0], []).append(100 * (first[draw] - second[draw]))
    if len(models) == 1:
        return next(iter(models.values()))
    return [statistics.fmean(values) for values in models.values()]


def show(
    gains: Sequence[Gain], samples: int, limit: float, rates: tuple[float, float]
) -> tuple[End, float, float]:
    """Return what the advantages show, and the interval of the smaller one.

    Args:
        gains: The advantage over scratch, and over the public model where there is one.
        samples: Number of test samples.
        limit: Largest allowed value of the smaller advantage, in points.
        rates: Error rates of each lower end, and of each upper end.
    """
    low = min(gain.mean - gain.half_width(samples, rates[0]) for gain in gains)
    high = min(gain.mean + gain.half_width(samples, rates[1]) for gain in gains)
    if high <= limit:
        return "holds", low, high
    return "does not hold" if low > limit else "undecided", low, high


def _count_needed(
    gains: Sequence[Gain], samples: int, limit: float, rates: tuple[float, float]
) -> int | None:
    """Return how many draws would decide a cell if means and spreads stay; None if none would."""

    def is_decided(draws: int) -> bool:
        more = [replace(gain, draws=draws) for gain in gains]
        return show(more, samples, limit, rates)[0] != "undecided"

    # Intervals get narrower with every draw: if some number of draws decides, so does a larger one.
    there = min(gain.draws for gain in gains)
    counts = range(there + 1, max(there + 2, MOST_NEEDED))
    place = bisect.bisect_left(counts, True, key=is_decided)
    return counts[place] if place < len(counts) else None


def _keep_first_draws(
    evaluation: Evaluation, method: str, labels: int | None, count: int
) -> Evaluation:
    """Return the evaluation with only the first `count` draws of each seed with these labels."""
    attackers: dict[int, set[int]] = {}
    for records in trials(evaluation, method, labels).values():
        for record in records:
            attackers.setdefault(record.seed, set()).add(record.attacker)
    later = {(seed, one) for seed, several in attackers.items() for one in sorted(several)[count:]}
    return replace(
        evaluation,
        records=tuple(
            record
            for record in evaluation.records
            if record.labels != labels or (record.seed, record.attacker) not in later
        ),
    )
