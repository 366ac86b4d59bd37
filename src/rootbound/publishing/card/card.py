"""The card as plain values, by the schema in `schema.json`; a pure function of records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rootbound import metrics
from rootbound.core.errors import InputError
from rootbound.flags import flags
from rootbound.metrics import Estimate, Standing
from rootbound.records import EXACT, Evaluation
from rootbound.report.settings import UNKNOWN_PURPOSE, scaling_of_the_network, settings

SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("schema.json").read_text(encoding="utf-8")
)
NAME = "rootbound-card-1"


def resistance_card(evaluation: Evaluation, method: str, weights: str) -> dict[str, Any]:
    """Return the card of a model that was attacked.

    Args:
        evaluation: complete, with a scratch arm.
        method: the model's name in it.
        weights: SHA-256 of the model's weights.

    Raises:
        InputError: the run is not complete, or has no such model.
    """
    if not evaluation.complete:
        raise InputError("a run that is complete", "one that was interrupted", "repeat its command")
    standing = next((one for one in metrics.standings(evaluation) if one.method == method), None)
    if standing is None:
        raise InputError(
            f"a model called {method} in the run",
            ", ".join(metrics.methods(evaluation)),
            "audit it first",
        )
    context = evaluation.context
    return {
        "schema": NAME,
        "weights_sha256": weights,
        "model": {"architecture": context["model"], "parameters": context["parameters"]},
        **_inputs(context),
        **_tasks(evaluation, standing),
        "cells": [_cell(evaluation, method, labels) for labels in metrics.budgets(evaluation)],
        "benign_change": _plain(standing.benign),
        "flags": [
            {"flag": one.flag, "evidence": one.evidence}
            for one in flags(evaluation)
            if one.method == method
        ],
        "threat_model": dict(settings(evaluation)),
        "suite": {"name": context["suite"], "digest": context["suite_digest"]},
        **{name: context[name] for name in ("seeds", "run", "date")},
        "limits": _limits(evaluation, method),
    }


def _inputs(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the network was fed; nothing where a run of before does not say it."""
    wanted = context["desirable"] or context["undesirable"]
    return {"inputs": wanted["inputs"]} if "inputs" in wanted else {}


def _tasks(evaluation: Evaluation, standing: Standing) -> dict[str, Any]:
    context, names = evaluation.context, ("name", "classes")
    wanted, unwanted = context["desirable"], context["undesirable"]
    kept = {"accuracy": _plain(standing.desirable), "change": _plain(standing.change)}
    return {
        "desirable": wanted and {**{name: wanted[name] for name in names}, **kept},
        "undesirable": {
            **{name: unwanted[name] for name in names},
            "majority": 100 * unwanted["majority"],
        },
    }


def _cell(evaluation: Evaluation, method: str, labels: int | None) -> dict[str, Any]:
    measured = {
        "attacked": metrics.points(metrics.attacked(evaluation, method, labels)),
        "scratch": metrics.points(metrics.attacked(evaluation, "scratch", labels)),
        "advantage": metrics.advantage(evaluation, method, labels),
        "exact_last_layer": metrics.points(metrics.attacked(evaluation, method, labels, EXACT)),
    }
    return {"labels": labels, **{name: _plain(value) for name, value in measured.items()}}


def _plain(value: Estimate | None) -> dict[str, float | int | None] | None:
    """Return a mean with its interval; of one value there is none."""
    if value is None:
        return None
    ends = {"low": value.low, "high": value.high}
    known = {name: end if math.isfinite(end) else None for name, end in ends.items()}
    return {"mean": value.mean, **known, "seeds": value.seeds}


def _limits(evaluation: Evaluation, method: str) -> list[str]:
    """Return what the numbers do not say."""
    context = evaluation.context
    found = [
        f"No other attack than those of {context['suite']} was tried; a stronger one may get more.",
        f"Nothing is known of undesirable tasks other than {context['undesirable']['name']}.",
        "Anyone can throw the weights away and train from scratch: that is what they are held "
        "against.",
    ]
    if context["desirable"] is None:
        found.append(UNKNOWN_PURPOSE)
    found += scaling_of_the_network(context)
    if context.get("time", {}).get("stopped"):
        found.append("The time was over before all settings were tried.")
    if not context["adaptive"]:
        found.append("No attack that knows the method was tried: the result is not verified.")
    if context["seeds"] == 1 and not context["rules"]["attackers"]:
        found.append("One seed: differences of a few points mean nothing.")
    if metrics.undefended(evaluation) in (None, method):
        found.append("No undefended model was attacked beside it.")
    return found
