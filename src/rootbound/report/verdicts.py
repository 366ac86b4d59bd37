"""The verdict on the models of a run: in one sentence, and as plain values for machines.

The values keep to the schema in `verdict_schema.json` and are a pure function of records. No number
in them is NaN or infinite: what is not known is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rootbound.core.files import write_atomically
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.records import Evaluation
from rootbound.report import gate
from rootbound.report.cases import Case, choose_best, find_cases
from rootbound.report.doubts import (
    list_doubts,
    list_scratch_doubts,
    say_no_verdict,
    say_why_nothing,
)
from rootbound.report.limits import list_limits

SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("verdict_schema.json").read_text(encoding="utf-8")
)
SCHEMA_NAME = "rootbound-verdict-1"
FILE = "verdict.json"


def verdict(
    evaluation: Evaluation, limit: float | None = None, *, command: str = ""
) -> dict[str, Any]:
    """Return the verdict on every defended model of a run, as values that JSON can hold.

    Its schema is `rootbound-verdict-1.json` (`rootbound.report.verdicts.SCHEMA`).

    Args:
        evaluation: Everything that was measured.
        limit: Largest allowed marginal advantage, in points, if a gate is asked for; by default the
            limit that the run should decide, if any.
        command: Command that makes further draws, to be named where the gate is undecided.

    Raises:
        InputError: The limit is not a finite number.
    """
    context = evaluation.context
    if limit is None and (until := context.get("until")) is not None:
        limit = until["limit"]
    cases = find_cases(evaluation)
    models = [_to_values(case, limit, command, named=len(cases) > 1) for case in cases]
    return {
        "schema": SCHEMA_NAME,
        "sentence": _summarise(evaluation, cases),
        "complete": evaluation.complete,
        "attacker": "well-tuned" if metrics.is_well_tuned(evaluation) else "realistic",
        "models": models,
        "limits": list_limits(context),
        "undesirable": context["undesirable"]["name"],
        "suite": {"name": context["suite"], "digest": context["suite_digest"]},
        "seeds": context["seeds"],
        "run": context.get("run"),
        "date": context["date"],
        "versions": dict(context["versions"]),
    }


def first_sentence(evaluation: Evaluation) -> str:
    """Return the verdict on a run in one sentence; if it has several models, on the best one.

    The best one is the reliable one whose weights add least.
    """
    return _summarise(evaluation, find_cases(evaluation))


def write_verdict(folder: Path, values: Mapping[str, Any]) -> None:
    """Write a verdict into the folder of its run."""
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / FILE, f"{text}\n")


def _to_values(case: Case, limit: float | None, command: str, *, named: bool) -> dict[str, Any]:
    """Return everything that the verdict says about the method."""
    evaluation, method = case.evaluation, case.method
    judgement = None
    if limit is not None:
        judgement = gate.judge(evaluation, method, limit, case.raised)
    about = {method, "scratch", metrics.public(evaluation)}
    weights = evaluation.context.get("weights", {}).get(method)
    return {
        "model": method,
        "sentence": case.sentence(named=named),
        "head_start": case.word,
        "reliable": not case.why_unreliable,
        "doubts": [
            *case.why_unreliable,
            *_leave_out(
                list_doubts(evaluation, method, case.raised), list_scratch_doubts(case.raised)
            ),
        ],
        "weights_sha256": weights,
        "cells": [_describe_cell(case, labels) for labels in metrics.budgets(evaluation)],
        "desirable": _describe_desirable(case),
        "benign": [_describe_benign(case, labels) for labels in _list_benign_labels(case)],
        "flags": [
            {"flag": one.flag, "model": one.method, "seed": one.seed, "evidence": one.evidence}
            for one in case.raised
            if one.method in about
        ],
        "gate": None if judgement is None else gate.to_values(judgement, evaluation, command),
    }  # fmt: skip


def _describe_cell(case: Case, labels: int | None) -> dict[str, Any]:
    """Return what attackers with so many labels per class reach, and what the weights add."""
    evaluation, method = case.evaluation, case.method
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
        "upper_bound": _to_json(metrics.upper_bound(evaluation, method, labels)),
        "median_family": None if median is None else round(median, 4),
        "strongest_families": metrics.strongest_families(evaluation, method, labels),
    }


def _describe_desirable(case: Case) -> dict[str, Any] | None:
    task = case.evaluation.context["desirable"]
    accuracy = metrics.desirable_accuracy(case.evaluation, case.method)
    if task is None or accuracy is None:
        return None
    return {
        "name": task["name"],
        "accuracy": _to_json(accuracy),
        "price": _to_json(case.price),
    }


def _list_benign_labels(case: Case) -> list[int | None]:
    records = (one for one in case.evaluation.records if one.task == "benign")
    return list(dict.fromkeys(record.labels for record in records))


def _describe_benign(case: Case, labels: int | None) -> dict[str, Any]:
    own = metrics.benign(case.evaluation, case.method, labels)
    plain = metrics.undefended(case.evaluation)
    usual = {} if plain is None else metrics.benign(case.evaluation, plain, labels)
    return {
        "labels": labels,
        "accuracy": _to_json(metrics.points(own)),
        "change": _to_json(metrics.paired(own, usual)),
    }


def _summarise(evaluation: Evaluation, cases: Sequence[Case]) -> str:
    best = choose_best(cases)
    if best is None:
        return say_no_verdict([say_why_nothing(evaluation)])
    return best.sentence(named=len(cases) > 1)


def _leave_out(sentences: Sequence[str], known: Sequence[str]) -> list[str]:
    return [sentence for sentence in sentences if sentence not in known]


def _to_json(value: Estimate | None) -> dict[str, float | int | None] | None:
    """Return a mean with its interval; one value has none, which JSON could not hold either."""
    if value is None:
        return None
    low, high = (round(end, 4) if math.isfinite(end) else None for end in (value.low, value.high))
    return {"mean": round(value.mean, 4), "low": low, "high": high, "values": value.seeds}
