"""What a flag is: a condition that is checked for every model, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rootbound.records import Evaluation, Record, Training


@dataclass(frozen=True)
class Case:
    """The model of one method and seed, and the model that it is compared with.

    Args:
        evaluation: Everything that was measured.
        training: The model, with its arm, method and seed.
    """

    evaluation: Evaluation
    training: Training

    @cached_property
    def records(self) -> list[Record]:
        """The model's trials on the undesirable task."""
        model = self.training.method, self.training.seed
        return [
            record
            for record in self.evaluation.records
            if (record.method, record.seed) == model and record.task == "undesirable"
        ]

    @cached_property
    def values(self) -> Mapping[str, float]:
        """The model's diagnosis; empty if there is none."""
        model = self.training.method, self.training.seed
        diagnoses = self.evaluation.diagnoses
        return next((one.values for one in diagnoses if (one.method, one.seed) == model), {})

    @cached_property
    def undefended(self) -> Case | None:
        """The undefended model of the same seed, or the first one if that seed has none.

        None for the undefended model itself, and for the public one, which is another network.
        """
        if self.training.arm in ("undefended", "public"):
            return None
        trainings = [model for model in self.evaluation.trainings if model.arm == "undefended"]
        same_seed = [model for model in trainings if model.seed == self.training.seed]
        return Case(self.evaluation, (same_seed or trainings)[0]) if trainings else None

    @property
    def reference(self) -> Mapping[str, float]:
        """The undefended model's diagnosis; empty if there is none.

        Scratch is not a reference: a gate in a defended architecture is in its scratch arm too.
        """
        return self.undefended.values if self.undefended else {}

    def screened(self) -> dict[int | None, list[Record]]:
        """Return, by labels, the trials in which everything was tried on the first draw of labels.

        In a limited time, and with one label per class, everything meets all draws: the best of one
        draw against the best of another would say more of the draws than of attacks.
        """
        by_labels: dict[int | None, list[Record]] = {}
        for record in self.records:
            is_first = record.attacker == record.seed
            if is_first and record.stage in ("screen", "search") and record.tier != "control":
                by_labels.setdefault(record.labels, []).append(record)
        return by_labels


@dataclass(frozen=True)
class Flag:
    """A condition that is checked for every model, and what it means.

    Args:
        name: Name in a few words.
        raised_if: The condition, with its numbers.
        means: What may be the cause.
        do_this: What to do about it.
        check: Yields the evidence in words with numbers; nothing if the condition is not met.
        once: Whether the flag is about a method as a whole, and is checked with one seed only.
        of_public: Whether the public model is checked too. It has no defence that hides anything,
            but attacks on it may have been too weak.
    """

    name: str
    raised_if: str
    means: str
    do_this: str
    check: Callable[[Case], Iterator[str]]
    once: bool = False
    of_public: bool = False


@dataclass(frozen=True)
class Raised:
    """A flag that was raised.

    Args:
        flag: Name of the flag.
        method: Name of the method that trained the model.
        seed: Seed of the model; None if the flag is about all models of the method.
        evidence: The evidence, in words with numbers.
    """

    flag: str
    method: str
    seed: int | None
    evidence: str


def find_best_trial(records: Iterable[Record]) -> Record | None:
    """Return the finished trial that validation prefers, even if its test score is partial."""
    finished = (record for record in records if record.error is None and record.test)
    return max(finished, key=lambda record: record.preference, default=None)


def measure_lead(first: Sequence[Record], second: Sequence[Record]) -> float | None:
    """Return by how many points the best of some trials leads the best of others.

    The two are compared on the same test samples. None if all trials of one group failed.
    """
    one, other = find_best_trial(first), find_best_trial(second)
    if one is None or other is None:
        return None
    if one.accuracy is not None and other.accuracy is not None:
        return 100 * (one.accuracy - other.accuracy)
    return 100 * (one.test[one.selected] - other.test[other.selected])


def with_labels(labels: int | None) -> str:
    """Return the budget in words."""
    if labels is None:
        return "with all labels"
    return f"with {labels} label{'' if labels == 1 else 's'} per class"


def find_share_above(case: Case, name: str, words: str, limit: float) -> Iterator[str]:
    """Yield the evidence if a share is above a limit, and as far above the undefended share."""
    value, usual = case.values.get(name, 0.0), case.reference.get(name, 0.0)
    if value > limit and value > usual + limit:
        known = f", undefended {100 * usual:.0f} %" if name in case.reference else ""
        yield f"{100 * value:.0f} % {words}{known}"
