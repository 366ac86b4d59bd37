"""The verdict on the models of a run: in one sentence, and as plain values for machines.

The values keep to the schema in `verdict_schema.json` and are a pure function of records. No number
in them is NaN or infinite: what is not known is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rootbound import metrics
from rootbound.core.files import write_atomically
from rootbound.flags import Raised, flags
from rootbound.metrics import Estimate
from rootbound.records import Evaluation
from rootbound.report import gate
from rootbound.report.cells import in_words
from rootbound.report.doubts import doubts, no_verdict, scratch_doubts, why_unreliable
from rootbound.report.limits import limits

SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("verdict_schema.json").read_text(encoding="utf-8")
)
SCHEMA_NAME = "rootbound-verdict-1"
FILE = "verdict.json"
NAMED = 3
"""Families of attacks that a sentence names, at most."""


@dataclass(frozen=True)
class _Case:
    """One defended method of a run.

    Args:
        evaluation: Everything that was measured.
        method: Name of the method.
        raised: The flags of the evaluation.
    """

    evaluation: Evaluation
    method: str
    raised: Sequence[Raised]

    @cached_property
    def why_unreliable(self) -> list[str]:
        """Why a low advantage means nothing here; empty where it means what it says."""
        return why_unreliable(self.evaluation, self.method, self.raised)

    @cached_property
    def worst(self) -> tuple[int | None, Estimate] | None:
        """The labels with which the weights add most, and what; None where nothing is known."""
        found = [
            (labels, gain)
            for labels in metrics.budgets(self.evaluation)
            if (gain := metrics.marginal_advantage(self.evaluation, self.method, labels))
        ]
        return max(found, key=lambda pair: pair[1].mean, default=None)

    @property
    def price(self) -> Estimate | None:
        """Desirable accuracy lost against the undefended model, in points."""
        plain = metrics.undefended(self.evaluation)
        if plain is None:
            return None
        own, usual = (metrics.desirable(self.evaluation, name) for name in (self.method, plain))
        return metrics.paired(usual, own)

    def sentence(self, *, named: bool) -> str:
        """Return the verdict in one sentence; with the method's name where there are several."""
        name = self.method if named else ""
        if self.why_unreliable:
            return no_verdict(self.why_unreliable, on=name)
        if self.worst is None:
            return no_verdict(["no attack finished on every arm"], on=name)
        of = f" of {name}" if name else ""
        labels, gain = self.worst
        has_public = metrics.public(self.evaluation) is not None
        over = "the stronger of scratch and the public model" if has_public else "scratch"
        by = metrics.strongest_families(self.evaluation, self.method, labels)[:NAMED]
        parts = [
            f"Advantage{of}: {_signed(gain.mean)} points over {over} with {in_words(labels)} "
            f"({_interval(gain)}), by {' and '.join(f'{name!r}' for name in by)}"
        ]
        plain = metrics.undefended(self.evaluation)
        usual = plain and metrics.marginal_advantage(self.evaluation, plain, labels)
        if usual:
            parts.append(f"undefended {_signed(usual.mean)}")
        if self.price is not None:
            parts.append(f"price {self.price.mean + 0.0:.2f} points")
        return f"{'; '.join(parts)}."

    def to_values(self, limit: float | None, command: str, *, named: bool) -> dict[str, Any]:
        """Return all that the verdict says of the method."""
        evaluation, method = self.evaluation, self.method
        judgement = None
        if limit is not None:
            judgement = gate.judge(evaluation, method, limit, self.raised)
        about = {method, "scratch", metrics.public(evaluation)}
        weights = evaluation.context.get("weights", {}).get(method)
        return {
            "model": method,
            "sentence": self.sentence(named=named),
            "reliable": not self.why_unreliable,
            "doubts": [*self.why_unreliable, *_without(doubts(evaluation, method), scratch_doubts(
                evaluation))],
            "weights_sha256": weights,
            "cells": [self._cell(labels) for labels in metrics.budgets(evaluation)],
            "desirable": self._desirable(),
            "benign": [self._benign(labels) for labels in self._benign_labels()],
            "flags": [
                {"flag": one.flag, "model": one.method, "seed": one.seed, "evidence": one.evidence}
                for one in self.raised
                if one.method in about
            ],
            "gate": None if judgement is None else gate.to_values(judgement, evaluation, command),
        }  # fmt: skip

    def _cell(self, labels: int | None) -> dict[str, Any]:
        """Return what attackers with so many labels a class reach, and what the weights add."""
        evaluation, method = self.evaluation, self.method
        own = metrics.attacked(evaluation, method, labels)
        known, plain = metrics.public(evaluation), metrics.undefended(evaluation)
        usual = {} if plain is None else metrics.attacked(evaluation, plain, labels)
        median = metrics.median_attack(evaluation, method, labels)
        over_public = known and metrics.advantage(evaluation, method, labels, over=known)
        return {
            "labels": labels,
            "draws": len(own),
            "models": len({model for model, _ in own}),
            "advantage": _to_json(metrics.advantage(evaluation, method, labels)),
            "advantage_over_public": _to_json(over_public or None),
            "marginal_advantage": _to_json(metrics.marginal_advantage(evaluation, method, labels)),
            "against_undefended": _to_json(metrics.paired(own, usual)),
            "attacked": _to_json(metrics.points(own)),
            "scratch": _to_json(metrics.points(metrics.attacked(evaluation, "scratch", labels))),
            "realistic_attacker": _to_json(
                metrics.points(metrics.realistic(evaluation, method, labels))
            ),
            "upper_bound": _to_json(metrics.oracle(evaluation, method, labels)),
            "median_family": None if median is None else round(median, 4),
            "strongest_families": metrics.strongest_families(evaluation, method, labels),
        }

    def _desirable(self) -> dict[str, Any] | None:
        task = self.evaluation.context["desirable"]
        accuracy = metrics.points(metrics.desirable(self.evaluation, self.method))
        if task is None or accuracy is None:
            return None
        return {
            "name": task["name"],
            "accuracy": _to_json(self._of_models(accuracy)),
            "price": _to_json(self._of_models(self.price)),
        }

    def _of_models(self, value: Estimate | None) -> Estimate | None:
        """Return an estimate without interval where all its values are of one given model."""
        trainings = self.evaluation.trainings
        is_given = all(isinstance(one.settings, str) for one in trainings)
        if value is None or not is_given:
            return value
        return Estimate(value.mean, -math.inf, math.inf, 1)

    def _benign_labels(self) -> list[int | None]:
        records = (one for one in self.evaluation.records if one.task == "benign")
        return list(dict.fromkeys(record.labels for record in records))

    def _benign(self, labels: int | None) -> dict[str, Any]:
        own = metrics.benign(self.evaluation, self.method, labels)
        plain = metrics.undefended(self.evaluation)
        usual = {} if plain is None else metrics.benign(self.evaluation, plain, labels)
        return {
            "labels": labels,
            "accuracy": _to_json(metrics.points(own)),
            "change": _to_json(metrics.paired(own, usual)),
        }


def verdict(
    evaluation: Evaluation, limit: float | None = None, *, command: str = ""
) -> dict[str, Any]:
    """Return the verdict on every defended model of a run, as values that JSON can hold.

    Its schema is `rootbound-verdict-1.json` (`rootbound.report.verdicts.SCHEMA`).

    Args:
        evaluation: Everything that was measured.
        limit: What the marginal advantage may be at most, in points, where a gate is asked for;
            in a run that was to decide one, that.
        command: Command that makes further draws, to be named where the gate is undecided.

    Raises:
        InputError: The limit is not a finite number.
    """
    context = evaluation.context
    if limit is None and (until := context.get("until")) is not None:
        limit = until["limit"]
    cases = _find_cases(evaluation)
    models = [case.to_values(limit, command, named=len(cases) > 1) for case in cases]
    return {
        "schema": SCHEMA_NAME,
        "sentence": _summarise(cases),
        "complete": evaluation.complete,
        "attacker": "well-tuned" if metrics.is_well_tuned(evaluation) else "realistic",
        "models": models,
        "limits": limits(context),
        "undesirable": context["undesirable"]["name"],
        "suite": {"name": context["suite"], "digest": context["suite_digest"]},
        "seeds": context["seeds"],
        "run": context.get("run"),
        "date": context["date"],
        "versions": dict(context["versions"]),
    }


def first_sentence(evaluation: Evaluation) -> str:
    """Return the verdict on a run in one sentence: on the best of its models, if it has several.

    The best one is that whose weights add least, of those about which numbers are reliable.
    """
    return _summarise(_find_cases(evaluation))


def write_verdict(folder: Path, values: Mapping[str, Any]) -> None:
    """Write a verdict into the folder of its run."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / FILE, f"{text}\n")


def _find_cases(evaluation: Evaluation) -> list[_Case]:
    raised = flags(evaluation)
    arms = {training.method: training.arm for training in evaluation.trainings}
    return [_Case(evaluation, name, raised) for name, arm in arms.items() if arm == "defended"]


def _summarise(cases: Sequence[_Case]) -> str:
    if not cases:
        return "No verdict: no defended model was attacked."

    def order(case: _Case) -> tuple[bool, float]:
        unknown = bool(case.why_unreliable) or case.worst is None
        return unknown, math.inf if case.worst is None else case.worst[1].mean

    return min(cases, key=order).sentence(named=len(cases) > 1)


def _without(sentences: Sequence[str], known: Sequence[str]) -> list[str]:
    return [sentence for sentence in sentences if sentence not in known]


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _interval(value: Estimate) -> str:
    if math.isinf(value.low):
        return "one draw, so no interval"
    return f"{round(value.low, 1) + 0.0:.1f} to {round(value.high, 1) + 0.0:.1f}"


def _to_json(value: Estimate | None) -> dict[str, float | int | None] | None:
    """Return a mean with its interval; one value has none, which JSON could not hold either."""
    if value is None:
        return None
    low, high = (round(end, 4) if math.isfinite(end) else None for end in (value.low, value.high))
    return {"mean": round(value.mean, 4), "low": low, "high": high, "values": value.seeds}
