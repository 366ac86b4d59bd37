"""What two runs do not share: their specs, and what they found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from rootbound.records.evaluation import Evaluation
from rootbound.records.record import Diagnosis, Record, Training
from rootbound.records.run_spec import Spec

UNEQUAL_BY_NATURE = ("seconds",)
"""Fields of records and trainings that no two runs share."""


@dataclass(frozen=True)
class Difference:
    """How two runs differ.

    Args:
        specs: names and both values of what the specs do not share.
        only: how many models and trials the first alone has, and the second alone.
        equal: how many are in both and the same, all but the seconds.
        unequal: names of those that are in both and not the same.
        furthest: largest difference of accuracy in a trial of both, in points; None without any.
    """

    specs: tuple[tuple[str, str, str], ...]
    only: tuple[int, int]
    equal: int
    unequal: tuple[str, ...]
    furthest: float | None


def difference(one: tuple[Spec, Evaluation], other: tuple[Spec, Evaluation]) -> Difference:
    """Return in what two runs differ."""
    here, there = _results(one[1]), _results(other[1])
    both = [key for key in here if key in there]
    unequal = [key for key in both if here[key] != there[key]]
    gaps = [
        100 * abs(first - second)
        for key in both
        for first, second in [(here[key].get("accuracy"), there[key].get("accuracy"))]
        if isinstance(first, float) and isinstance(second, float)
    ]
    return Difference(
        specs=tuple(one[0].differs_from(other[0])),
        only=(len(here) - len(both), len(there) - len(both)),
        equal=len(both) - len(unequal),
        unequal=tuple(" ".join(str(word) for word in key) for key in unequal),
        furthest=max(gaps, default=None),
    )


def _results(evaluation: Evaluation) -> dict[tuple[Hashable, ...], Mapping[str, Any]]:
    """Return what was found, each by what tells it from all others of its run."""
    results: dict[tuple[Hashable, ...], Training | Diagnosis | Record] = {}
    results |= {("model", one.method, one.seed): one for one in evaluation.trainings}
    results |= {("diagnosis", one.method, one.seed): one for one in evaluation.diagnoses}
    results |= {("trial", *one.key): one for one in evaluation.records}
    return {
        key: {name: value for name, value in vars(entry).items() if name not in UNEQUAL_BY_NATURE}
        for key, entry in results.items()
    }
