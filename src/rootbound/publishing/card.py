"""The resistance card of published weights: as plain values for machines, as Markdown for people.

The values keep to the schema in `card_schema.json` and are a pure function of records.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rootbound.core.errors import InputError
from rootbound.flags import flags
from rootbound.metrics import Estimate
from rootbound.metrics import measures as metrics
from rootbound.records import EXACT, Evaluation
from rootbound.report.balance import describe_balanced
from rootbound.report.cells import as_words
from rootbound.report.doubts import list_doubts
from rootbound.report.public import ONE_PUBLIC
from rootbound.report.settings import (
    UNKNOWN_PURPOSE,
    describe_settings,
    explain_own_scaling,
    inputs_in_words,
)

SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("card_schema.json").read_text(encoding="utf-8")
)
SCHEMA_NAME = "rootbound-card-1"
COLUMNS = {
    "attacked": "strongest attack, %",
    "scratch": "from scratch, %",
    "advantage": "advantage, points",
    "public": "from the public model, %",
    "advantage_over_public": "advantage over that, points",
    "exact_last_layer": "new last layer, solved exactly, %",
}
"""Columns of a card's table, with their titles; those without values are left out."""
FRONT_MATTER = """---
library_name: {library}
tags: [rootbound, transfer-resistance]
---
"""
USE = """```python
import rootbound as rb

model = rb.load("{name}"{module})
```
"""
USE_OF_OWN_NETWORK = """`network` is a network like the one that was trained. Without rootbound:
`network.load_state_dict(safetensors.torch.load_file("model.safetensors"))`."""
USE_OF_STATE_DICT = (
    'Without rootbound: `safetensors.torch.load_file("model.safetensors")` is a state dict.'
)
USE_BY_TRANSFORMERS = 'Without rootbound: `transformers.{reader}.from_pretrained("{name}")`.'


def resistance_card(evaluation: Evaluation, method: str, weights: str) -> dict[str, Any]:
    """Return the card of an attacked model.

    Args:
        evaluation: A complete evaluation with a scratch arm.
        method: Name of the model in it.
        weights: SHA-256 of the model's weights.

    Raises:
        InputError: The evaluation is not complete, or has no such model.
    """
    if not evaluation.complete:
        raise InputError("a run that is complete", "one that was interrupted", "repeat its command")
    standings = {standing.method: standing for standing in metrics.standings(evaluation)}
    if method not in standings:
        raise InputError(
            f"a model called {method} in the run",
            ", ".join(metrics.methods(evaluation)),
            "audit it first",
        )
    context, standing = evaluation.context, standings[method]
    desirable, undesirable = context["desirable"], context["undesirable"]
    network_inputs = (desirable or undesirable).get("inputs")  # older runs do not say
    return {
        "schema": SCHEMA_NAME,
        "weights_sha256": weights,
        "model": {"architecture": context["model"], "parameters": context["parameters"]},
        **({} if network_inputs is None else {"inputs": network_inputs}),
        "desirable": desirable
        and {
            "name": desirable["name"],
            "classes": desirable["classes"],
            "accuracy": _to_json(standing.desirable),
            "change": _to_json(standing.change),
        },
        "undesirable": {
            "name": undesirable["name"],
            "classes": undesirable["classes"],
            "majority": 100 * undesirable["majority"],
        },
        **_describe_public(evaluation),
        "cells": [
            _describe_cell(evaluation, method, labels) for labels in metrics.budgets(evaluation)
        ],
        "benign_change": _to_json(standing.benign),
        "flags": [
            {"flag": flag.flag, "evidence": flag.evidence}
            for flag in flags(evaluation)
            if flag.method == method
        ],
        "threat_model": dict(describe_settings(evaluation)),
        "suite": {"name": context["suite"], "digest": context["suite_digest"]},
        **{name: context[name] for name in ("seeds", "run", "date")},
        "limits": _list_limits(evaluation, method),
    }


def _describe_public(evaluation: Evaluation) -> dict[str, Any]:
    """Return the public model that was attacked beside the weights; nothing if there was none."""
    context, name = evaluation.context, metrics.public(evaluation)
    if name is None:
        return {}
    model = context["public"]
    return {
        "public": {
            "architecture": model["model"],
            "parameters": model["parameters"],
            "weights_sha256": context["weights"][name],
        }
    }


def _describe_cell(evaluation: Evaluation, method: str, labels: int | None) -> dict[str, Any]:
    """Return what attackers reach with this number of labels per class."""
    estimates = {
        "attacked": metrics.points(metrics.attacked(evaluation, method, labels)),
        "scratch": metrics.points(metrics.attacked(evaluation, "scratch", labels)),
        "advantage": metrics.advantage(evaluation, method, labels),
        "exact_last_layer": metrics.points(metrics.attacked(evaluation, method, labels, EXACT)),
    }
    if (known := metrics.public(evaluation)) is not None:
        estimates |= {
            "public": metrics.points(metrics.attacked(evaluation, known, labels)),
            "advantage_over_public": metrics.advantage(evaluation, method, labels, over=known),
            "marginal_advantage": metrics.marginal_advantage(evaluation, method, labels),
        }
    return {"labels": labels, **{name: _to_json(value) for name, value in estimates.items()}}


def _to_json(estimate: Estimate | None) -> dict[str, float | int | None] | None:
    """Return a mean with its interval; a single value has no interval."""
    if estimate is None:
        return None
    low, high = (end if math.isfinite(end) else None for end in (estimate.low, estimate.high))
    return {"mean": estimate.mean, "low": low, "high": high, "seeds": estimate.seeds}


def _list_limits(evaluation: Evaluation, method: str) -> list[str]:
    """Return sentences on what the numbers do not show."""
    context = evaluation.context
    limits = [
        f"Only the attacks of {context['suite']} were tried; a stronger one may get more.",
        f"Nothing is known about undesirable tasks other than {context['undesirable']['name']}.",
        "Anyone can throw the weights away and train from scratch, so they are compared with that.",
    ]
    if metrics.public(evaluation) is not None:
        limits.append(ONE_PUBLIC)
    if context["desirable"] is None:
        limits.append(UNKNOWN_PURPOSE)
    limits += describe_balanced(evaluation, method)
    limits += explain_own_scaling(context) + list_doubts(evaluation, method)
    if context.get("time", {}).get("stopped"):
        limits.append("The time was over before all settings were tried.")
    if not context["adaptive"]:
        limits.append("No attack that knows the method was tried: the result is not verified.")
    budgets = metrics.budgets(evaluation)
    draws = [len(metrics.attacked(evaluation, method, labels)) for labels in budgets]
    if context["seeds"] == 1 and max(draws, default=1) <= 1:
        limits.append("One seed: differences of a few points mean nothing.")
    if metrics.undefended(evaluation) in (None, method):
        limits.append("No undefended model was attacked beside it.")
    return limits


def to_markdown(card: Mapping[str, Any], name: str, reader: str = "") -> str:
    """Return the card in words and tables: the README of a folder of weights.

    Args:
        card: The card, as `resistance_card` returns it.
        name: Folder or hub name that the weights are loaded from.
        reader: Class of `transformers` that reads them, if there is one; `torch` if the network is
            the user's own.
    """
    desirable, undesirable = card["desirable"], card["undesirable"]
    purpose = "" if desirable is None else f"{desirable['name']} "
    title = f"{card['model']['architecture']}: {purpose}against {undesirable['name']}"
    library = {"": "rootbound", "torch": "pytorch"}.get(reader, "transformers")
    benign = (
        "No harmless third task was tried."
        if card["benign_change"] is None
        else f"A harmless third task changes by {_in_words(card['benign_change'], ' points')} at "
        "worst."
    )
    majority = f"The most frequent class is {undesirable['majority']:.1f} %. {benign}"
    parts = [
        FRONT_MATTER.format(library=library) + f"# {as_words(title)}",
        _describe_use(as_words(name), reader),
        *([f"Inputs: {as_words(inputs_in_words(card['inputs']))}."] if "inputs" in card else []),
        "## What the weights are worth to an attacker",
        as_words(_desirable_in_words(desirable)),
        _write_table(card["cells"]),
        as_words(majority),
        "## Warnings",
        _list(f"**{flag['flag']}**: {flag['evidence']}" for flag in card["flags"]) or "None.",
        "## Limits",
        _list(card["limits"]),
        "## How it was measured",
        _list(f"{topic}: {text}" for topic, text in card["threat_model"].items()),
        f"Weights: SHA-256 `{card['weights_sha256']}`. All numbers: `card.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def _describe_use(name: str, reader: str) -> str:
    """Return how to load the weights, with `rootbound` and without it."""
    if reader == "torch":
        return USE.format(name=name, module=", network") + USE_OF_OWN_NETWORK
    without = USE_BY_TRANSFORMERS.format(reader=reader, name=name) if reader else USE_OF_STATE_DICT
    return USE.format(name=name, module="") + without


def _desirable_in_words(desirable: Mapping[str, Any] | None) -> str:
    if desirable is None:
        return "It was not said what the model is for: nothing is known about what it does well."
    accuracy = f"Accuracy on {desirable['name']}: {_in_words(desirable['accuracy'], ' %')}"
    if desirable["change"] is not None:
        accuracy += f"; against the undefended model {_in_words(desirable['change'], ' points')}"
    return accuracy + "."


def _write_table(cells: Sequence[Mapping[str, Any]]) -> str:
    if not cells:
        return "No attack was made."
    columns = {name: title for name, title in COLUMNS.items() if name in cells[0]}
    lines = [
        f"| labels per class | {' | '.join(columns.values())} |",
        "|---" * (1 + len(columns)) + "|",
    ]
    for cell in cells:
        labels = "all" if cell["labels"] is None else str(cell["labels"])
        lines.append(f"| {labels} | {' | '.join(_in_words(cell[name]) for name in columns)} |")
    return "\n".join(lines)


def _in_words(estimate: Mapping[str, Any] | None, unit: str = "") -> str:
    if estimate is None:
        return "not measured"
    text = f"{estimate['mean']:.2f}{unit}"
    if estimate["low"] is None:
        return f"{text} (one value)"
    # Seeds of a single model only draw attackers, so its desirable accuracy is one number.
    if estimate["low"] == estimate["high"]:
        return text
    return f"{text} ({estimate['low']:.2f} to {estimate['high']:.2f})"


def _list(texts: Iterable[str]) -> str:
    return "\n".join(f"- {as_words(text)}" for text in texts)
