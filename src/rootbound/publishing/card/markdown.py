"""The card as Markdown: the README of a folder of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rootbound.report.markdown import as_words
from rootbound.report.settings import inputs_in_words

HEAD = """---
library_name: {library}
tags: [rootbound, transfer-resistance]
---
"""
USE = """```python
import rootbound as rb

model = rb.load("{place}"{module})
```
"""
OWN = """`network` is one as it was trained. Without rootbound:
`network.load_state_dict(safetensors.torch.load_file("model.safetensors"))`."""
WITHOUT = 'Without rootbound: `safetensors.torch.load_file("model.safetensors")` is a state dict.'
LIBRARY = 'Without rootbound: `transformers.{reader}.from_pretrained("{place}")`.'


def to_markdown(card: Mapping[str, Any], place: str, reader: str = "") -> str:
    """Return the card in words and tables.

    Args:
        card: as `resistance_card` returns it.
        place: folder or hub name that the weights are loaded from.
        reader: the class of `transformers` that reads them, where there is one; `torch` where
            it is a network of somebody's own.
    """
    wanted, unwanted = card["desirable"], card["undesirable"]
    good = "" if wanted is None else f"{wanted['name']}, "
    title = f"{card['model']['architecture']}: {good}resisting {unwanted['name']}"
    library = {"": "rootbound", "torch": "pytorch"}.get(reader, "transformers")
    parts = [
        HEAD.format(library=library) + f"# {as_words(title)}",
        _use(as_words(place), reader),
        *([f"Inputs: {as_words(inputs_in_words(card['inputs']))}."] if "inputs" in card else []),
        "## What the weights are worth to somebody else",
        as_words(_kept(wanted)),
        _cells(card["cells"]),
        as_words(f"The most frequent class is {unwanted['majority']:.1f} %. {_benign(card)}"),
        "## Warnings",
        _list(f"**{one['flag']}**: {one['evidence']}" for one in card["flags"]) or "None.",
        "## Limits",
        _list(card["limits"]),
        "## How it was measured",
        _list(f"{name}: {text}" for name, text in card["threat_model"].items()),
        f"Weights: SHA-256 `{card['weights_sha256']}`. All numbers: `card.json`.",
    ]
    return "\n\n".join(parts) + "\n"


def _use(place: str, reader: str) -> str:
    if reader == "torch":
        return USE.format(place=place, module=", network") + OWN
    without = LIBRARY.format(reader=reader, place=place) if reader else WITHOUT
    return USE.format(place=place, module="") + without


def _kept(wanted: Mapping[str, Any] | None) -> str:
    if wanted is None:
        return "What the model is for was not said: of what it does well nothing is known."
    accuracy = f"Accuracy on {wanted['name']}: {_number(wanted['accuracy'], ' %')}"
    if wanted["change"] is not None:
        accuracy += f"; against the undefended model {_number(wanted['change'], ' points')}"
    return accuracy + "."


def _benign(card: Mapping[str, Any]) -> str:
    change = card["benign_change"]
    if change is None:
        return "No harmless third task was tried."
    return f"A harmless third task changes by {_number(change, ' points')} at worst."


def _cells(cells: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "| labels a class | strongest attack, % | from scratch, % | advantage, points | "
        "new last layer, solved exactly, % |",
        "|---|---|---|---|---|",
    ]
    for cell in cells:
        labels = "all" if cell["labels"] is None else str(cell["labels"])
        names = ("attacked", "scratch", "advantage", "exact_last_layer")
        lines.append(f"| {labels} | {' | '.join(_number(cell[name]) for name in names)} |")
    return "\n".join(lines)


def _number(value: Mapping[str, Any] | None, unit: str = "") -> str:
    if value is None:
        return "not measured"
    text = f"{value['mean']:.2f}{unit}"
    if value["low"] is None:
        return f"{text} (one seed)"
    # Of one model the seeds draw attackers alone: on what it is for there is one number.
    if value["low"] == value["high"]:
        return text
    return f"{text} ({value['low']:.2f} to {value['high']:.2f})"


def _list(texts: Any) -> str:
    return "\n".join(f"- {as_words(text)}" for text in texts)
