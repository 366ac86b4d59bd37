"""Differences between two runs: in their specs, models and results of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rootbound.records.evaluation import LATER, Evaluation
from rootbound.records.record import Diagnosis, Record, Training
from rootbound.records.run_spec import Spec

UNEQUAL_BY_NATURE = ("seconds",)
"""Fields of records and trainings that are different in any two runs."""
LATER_FIELDS = (*LATER, "losses")
"""Fields that older records do not have."""
UNSAID = (None, ())
"""Values of a field that say nothing."""


@dataclass(frozen=True)
class Difference:
    """How two runs differ.

    Args:
        specs: Name and both values of each difference between the specs.
        only: Numbers of models and trials that only the first run has, and only the second.
        equal: Number of common ones with equal results, apart from seconds.
        unequal: Names of common ones with different results.
        furthest: Largest difference of accuracy in a common trial, in points; None if there is no
            common trial.
    """

    specs: tuple[tuple[str, str, str], ...]
    only: tuple[int, int]
    equal: int
    unequal: tuple[str, ...]
    furthest: float | None


def read_spec_from_records(evaluation: Evaluation) -> Spec:
    """Return the part of a run's spec that its records tell; published records have no other."""
    context = evaluation.context
    tasks = {name: context.get(name) or {} for name in ("desirable", "undesirable")}
    return Spec(
        {
            "versions": context.get("versions"),
            "suite": {"name": context.get("suite"), "digest": context.get("suite_digest")},
            "budgets": [str(budget) for budget in context.get("budgets", ())],
            "seeds": context.get("seeds"),
            "arms": {
                training.method: {"arm": training.arm, "method": training.settings}
                for training in evaluation.trainings
            },
            "shared_undesirable": context.get("shared_undesirable"),
            "tasks": {
                name: {key: task.get(key) for key in ("name", "training_samples", "test_samples")}
                for name, task in tasks.items()
            },
        }
    )


def compare_runs(first: tuple[Spec, Evaluation], second: tuple[Spec, Evaluation]) -> Difference:
    """Return how two runs differ."""
    results, others = _list_results(first[1]), _list_results(second[1])
    both = [key for key in results if key in others]
    unequal = [key for key in both if _differ(results[key], others[key])]
    pairs = [(results[key].get("accuracy"), others[key].get("accuracy")) for key in both]
    gaps = [
        100 * abs(accuracy - other)
        for accuracy, other in pairs
        if isinstance(accuracy, float) and isinstance(other, float)
    ]
    return Difference(
        specs=tuple(first[0].differs_from(second[0])),
        only=(len(results) - len(both), len(others) - len(both)),
        equal=len(both) - len(unequal),
        unequal=tuple(" ".join(str(word) for word in key) for key in unequal),
        furthest=max(gaps, default=None),
    )


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two results differ in a field that both have; older records have fewer."""
    for name, here in one.items():
        there = other[name]
        is_unsaid = name in LATER_FIELDS and (here in UNSAID or there in UNSAID)
        if not is_unsaid and _restrict_to_common(here, there) != _restrict_to_common(there, here):
            return True
    return False


def _restrict_to_common(one: Any, other: Any) -> Any:
    """Return a value; if it is a table, only the entries for which another has a value too."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return one
    return {key: value for key, value in one.items() if key in other}


def _list_results(evaluation: Evaluation) -> dict[tuple[object, ...], Mapping[str, Any]]:
    """Return the fields of each entry, by a key that is unique in its run."""
    entries: dict[tuple[object, ...], Training | Diagnosis | Record] = {}
    entries |= {("model", model.method, model.seed): model for model in evaluation.trainings}
    entries |= {("diagnosis", model.method, model.seed): model for model in evaluation.diagnoses}
    entries |= {("trial", *record.key): record for record in evaluation.records}
    return {
        key: {name: value for name, value in vars(entry).items() if name not in UNEQUAL_BY_NATURE}
        for key, entry in entries.items()
    }
