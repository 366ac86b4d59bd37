"""The style of figures, and their conversion to SVG text that depends only on the values."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from markupsafe import escape
from matplotlib.figure import Figure

INK, FAINT, PAPER = "#1c2024", "#8b9299", "#ffffff"
"""Colours of text, of grid and notes, and of the background; a page has its reader's own."""
SCRATCH, PUBLIC = "#4c8dd6", "#8c5a3c"
"""Colours of the arms that do not compete."""
PALETTE = ("#7d8790", "#a55fd0", "#e08a1e", "#12a150", "#d6455d", "#12a0a8", "#b58a00", "#5b6ee1")
"""Colours of methods, in their order; the undefended one comes first."""
DASHES = ("-", "-.", ":")
"""Line styles: the first is for methods until the colours are used up, then comes the next."""
OWN: dict[str, tuple[str, Any]] = {
    "scratch": (SCRATCH, "--"),
    "public": (PUBLIC, (0, (6, 2, 1, 2))),
}
"""Colours and line styles of scratch and the public model, which no other line has."""
CLASS_PALETTE = ("#4c8dd6", "#e08a1e", "#12a150", "#d6455d", "#a55fd0", "#12a0a8", "#b58a00")
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Letters that XML does not allow (https://www.w3.org/TR/xml/#charsets)."""
PIXELS_PER_POINT = 1.9
"""Most pixels on a page for a point of a figure."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rootbound",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style to figures that are made inside, and to no others."""
    # Before the first drawing this is not the name of a backend: there is nothing to restore.
    backend = dict.get(mpl.rcParams, "backend")
    try:
        with mpl.rc_context():
            mpl.rcParams.update(mpl.rcParamsDefault)
            mpl.use("svg")
            mpl.rcParams.update(STYLE)  # type: ignore[arg-type]  # keys are text here
            yield
    finally:
        if isinstance(backend, str):  # otherwise a notebook would show no more figures
            mpl.rcParams["backend"] = backend  # set this first: a notebook's own backend reads it
            with suppress(ImportError):  # there may be no screen for it
                plt.switch_backend(backend)


def assign_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return a colour for each method; scratch and the public model have their own."""
    known = [method for method in methods if method not in OWN]
    chosen = {method: PALETTE[i % len(PALETTE)] for i, method in enumerate(known)}
    return chosen | {name: colour for name, (colour, _) in OWN.items()}


def lines(methods: Sequence[str], doubtful: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Return how to draw each method's line; those that share a colour differ in their dashes.

    Args:
        methods: Names of all of them.
        doubtful: Names of the unreliable ones: their lines are thin and faint, and their names say
        so.
    """
    known = [method for method in methods if method not in OWN]
    dashes: dict[str, Any] = {name: dash for name, (_, dash) in OWN.items()}
    dashes |= {method: DASHES[i // len(PALETTE) % len(DASHES)] for i, method in enumerate(known)}
    colours = assign_colours(methods)
    return {
        method: {
            "color": colours[method],
            "linestyle": dashes[method],
            "linewidth": 0.9 if method in doubtful else 1.6,
            "alpha": 0.6 if method in doubtful else 1.0,
            "label": f"{method} (unreliable)" if method in doubtful else method,
        }
        for method in (*known, *(name for name in OWN if name in methods))
    }


@contextmanager
def missing_letters_allowed() -> Iterator[None]:
    """Allow letters that the fonts lack, as of some languages: a box is drawn in their place."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG text: no date, no random names."""
    buffer = io.StringIO()
    with missing_letters_allowed():
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None}
        )
    # Names may hold control characters, which XML does not allow.
    text = UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", buffer.getvalue())
    # Equal pictures would have the same name, which nobody uses.
    text = re.sub(r' id="image[0-9a-f]+"', "", text)
    # XML headers and trailing blanks mean nothing inside a page.
    return re.sub(r"[ \t]+\n", "\n", text[text.index("<svg") :])


def for_page(svg: str, name: str, title: str) -> str:
    """Return SVG text to put into a page: in the reader's colours, with names of its own."""
    for colour, follows in ((INK, "var(--ink)"), (FAINT, "var(--faint)"), (PAPER, "none")):
        svg = svg.replace(f": {colour}", f": {follows}")
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    width = re.search(r'<svg [^>]*?width="([\d.]+)pt"', svg)
    # A figure of few panels is not blown up, so that letters have one size on the page.
    most = f' style="max-width: {PIXELS_PER_POINT * float(width[1]):.0f}px"' if width else ""
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg height="[^"]*"', "<svg", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"{most}', 1)


def show_part(name: str, box: tuple[float, float, float, float]) -> str:
    """Return SVG text that shows a part of a figure that the page holds.

    Args:
        name: Name of the figure.
        box: Left, top, width and height of the part, in points.
    """
    most = f"max-width: {PIXELS_PER_POINT * box[2]:.0f}px"
    view = " ".join(f"{number:g}" for number in box)
    return f'<svg viewBox="{view}" style="{most}"><use href="#{name}-figure_1"/></svg>'
