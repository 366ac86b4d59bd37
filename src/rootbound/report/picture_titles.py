"""Titles of pictures: each says what to see in it, and is computed from the picture's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rootbound.report.cells import capitalise
from rootbound.report.portraits import CAMS, Array, Pictures
from rootbound.report.words import GROUPS

FAINT_TILE = 0.01
"""A tile below this share of the strongest one counts as blank."""
MOST_TILES = 16
"""Tiles of a row that are shown."""


class Names(NamedTuple):
    """The defended method, what it is called in a sentence, and the undefended one if any."""

    method: str
    called: str
    undefended: str | None = None


def write_grad_cam_title(pictures: Pictures, names: Names, task: str) -> str:
    """Return in how many images a retrained head finds any evidence."""
    return _compare(
        pictures, names, CAMS[-1][1],
        lambda cams: int((cams.reshape(len(cams), -1).max(axis=1) > 0).sum()),
        f"Retrained for {task}, {{name}} finds evidence in {{own}} of {{all}} images",
        ", the undefended model in {usual}",
        otherwise="Where the models look",
    )  # fmt: skip


def write_filters_title(pictures: Pictures, names: Names) -> str:
    """Return how many filters of the first layer do anything."""
    return _compare(
        pictures, names, "filters", _count_strong,
        "{name} uses {own} of {all} filters of the first layer", ", the undefended model {usual}",
        otherwise="Filters of the first layer",
    )  # fmt: skip


def write_maps_title(pictures: Pictures, names: Names) -> str:
    """Return how many channels answer to an undesirable image."""
    return _compare(
        pictures, names, "maps", _count_strong,
        "In {name}, {own} of {all} channels answer to an undesirable image",
        ", in the undefended model {usual}",
        otherwise="Outputs of a late convolution",
    )  # fmt: skip


def write_view_title(pictures: Pictures, names: Names) -> str:
    """Return how much of the spread of features the undesirable classes explain."""
    shares = {
        name: _measure_explained(parts["view"].astype(float), parts["view_labels"])
        for name, parts in pictures.items()
        if name in names and "view" in parts
    }
    name, called, plain = names
    if name not in shares:
        return "Undesirable samples as the models see them"
    beside = f", {100 * shares[plain]:.0f} % in the undefended model" if plain in shares else ""
    said = f"Undesirable classes explain {100 * shares[name]:.0f} % of the spread in {called}"
    return f"{said}{beside}"


def write_words_title(pictures: Pictures, names: Names) -> str:
    """Return how often the retrained heads of two models rest on the same word."""
    tops = [
        np.abs(pictures[name][GROUPS[-1][1]].astype(float)).argmax(axis=1)
        for name in (names.method, names.undefended)
        if name is not None and name in pictures and GROUPS[-1][1] in pictures[name]
    ]
    if len(tops) < 2:
        return "Which words count"
    same, count = int((tops[0] == tops[1]).sum()), len(tops[0])
    called = names.called
    return f"Retrained, {called} rests on the undefended model's word in {same} of {count} texts"


def _compare(
    pictures: Pictures, names: Names, kind: str, count: Callable[[Array], int], said: str,
    beside: str, *, otherwise: str,
) -> str:  # fmt: skip
    """Return a sentence on how many tiles of a kind count, beside the undefended model's."""
    tiles = {
        name: parts[kind] for name, parts in pictures.items() if name in names and kind in parts
    }
    method, called, plain = names
    if method not in tiles:
        return otherwise
    shown = {one: tiles[one] if kind == CAMS[-1][1] else tiles[one][:MOST_TILES] for one in tiles}
    sentence = said.format(name=called, own=count(shown[method]), all=len(shown[method]))
    if called != method:  # a method's name is written as it is
        sentence = capitalise(sentence)
    return sentence + beside.format(usual=count(shown[plain])) if plain in shown else sentence


def _count_strong(tiles: Array) -> int:
    heights = np.abs(tiles.astype(float)).reshape(len(tiles), -1).max(axis=1)
    return int((heights > FAINT_TILE * max(heights.max(), 1e-12)).sum())


def _measure_explained(points: Array, labels: Array) -> float:
    """Return the share of the variance of points that lies between classes."""
    whole = float(((points - points.mean(axis=0)) ** 2).sum())
    middles: Sequence[Array] = [points[labels == one] for one in np.unique(labels)]
    between = sum(
        len(own) * float(((own.mean(axis=0) - points.mean(axis=0)) ** 2).sum()) for own in middles
    )
    return between / whole if whole else 0.0
