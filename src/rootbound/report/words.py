"""Texts in which each word is coloured by how much a prediction depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rootbound.report.portraits import Array, Pictures
from rootbound.report.theme import FAINT

GROUPS = (
    ("desirable", "shares_original_desirable", "desirable, original head"),
    ("undesirable", "shares_original_undesirable", "undesirable, original head"),
    ("undesirable", "shares_retrained_undesirable", "undesirable, retrained head"),
)
GROUP_SIZE = 5
"""Number of texts in a group."""
LINE_LENGTH = 96
"""Most letters in a line; longer texts are cut."""
FOR, AGAINST = "#12a150", "#d6455d"
"""Colours of words that speak for a class, and against it."""
LINE_HEIGHT, LETTER_WIDTH = 0.19, 0.067
"""Distance of lines and width of a letter, in inches."""


def draw_words(pictures: Pictures, classes: Mapping[str, list[str]]) -> Figure | None:
    """Return texts, a line for each method, words coloured by how much they count.

    Args:
        pictures: Arrays of each method.
        classes: Names of the `desirable` and the `undesirable` classes, where they are known.
    """
    shown = {name: parts for name, parts in pictures.items() if GROUPS[-1][1] in parts}
    if not shown:
        return None
    groups = [group for group in GROUPS if group[0] in classes]
    names = [*shown, *(f"  {name}" for several in classes.values() for name in several)]
    margin = 2 + max(map(len, names))
    count = min(GROUP_SIZE, len(next(iter(shown.values()))[groups[0][1]]))
    rows = sum(1 + count * (1 + len(shown)) for _ in groups)
    wide = margin + _find_longest(shown, count, classes)
    figure = plt.figure(figsize=(LETTER_WIDTH * wide, LINE_HEIGHT * (rows + 1)))
    panel = figure.add_axes((0, 0, 1, 1), xlim=(0, wide), ylim=(rows + 0.5, -0.5))
    panel.set_axis_off()
    line = 0
    for role, shares, title in groups:
        _write(panel, 0, line, title, weight="bold")
        line += 1
        for position in range(count):
            _write(panel, 0, line, f"  {_name(shown, classes, role, position)}", color=FAINT)
            line += 1
            for name, parts in shown.items():
                _write(panel, 0, line, name)
                _write_text(
                    panel, margin, line, parts[f"words_{role}"][position], parts[shares][position]
                )
                line += 1
    return figure


def _find_longest(shown: Pictures, count: int, roles: Iterable[str]) -> int:
    """Return the number of letters and blanks of the longest text, at most those of a line."""
    texts = (
        text
        for parts in shown.values()
        for role in roles
        for text in parts[f"words_{role}"][:count]
    )
    return min(LINE_LENGTH, max(sum(len(word) + 1 for word in text if word) for text in texts))


def _name(shown: Pictures, classes: Mapping[str, list[str]], role: str, position: int) -> str:
    """Return the class of a text; of letters, some never come next and have no text."""
    labels = next(iter(shown.values())).get(f"labels_{role}")
    name = classes[role][position if labels is None else int(labels[position])]
    return name if name.strip() and name.isprintable() else repr(name)


def _write_text(panel: Axes, start: int, line: int, text: Array, shares: Array) -> None:
    """Write a text word by word, each on a background that shows its share."""
    strongest = float(np.abs(shares.astype(float)).max()) or 1.0
    column = start
    for word, share in zip(text, shares.astype(float), strict=False):
        if not word or column + len(word) > start + LINE_LENGTH:
            break
        colour = FOR if share > 0 else AGAINST
        box = {"facecolor": colour, "alpha": 0.6 * abs(share) / strongest, "linewidth": 0, "pad": 1}
        _write(panel, column, line, str(word), bbox=box)
        column += len(word) + 1


def _write(panel: Axes, column: int, line: int, text: str, **style: object) -> None:
    panel.text(
        column + 0.5, line, text, family="DejaVu Sans Mono", fontsize=7.5, va="center",
        parse_math=False, **style,  # type: ignore[arg-type]
    )  # fmt: skip
