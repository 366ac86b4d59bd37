"""Lists of names of weights for messages: the first few on one line, and the number of others."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 3
"""Number of names that are shown; the others are counted."""
LONGEST = 240
"""Most characters of one name, because foreign names may have any length."""


def shorten_name(name: str) -> str:
    """Return a name without line breaks, and cut if it is too long."""
    text = ascii(name)[1:-1] if not name.isprintable() else name
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def list_names(names: Sequence[str]) -> str:
    """Return the first three names, and how many others there are."""
    text = ", ".join(shorten_name(name) for name in names[:SHOWN])
    return f"{text} and {len(names) - SHOWN} more" if len(names) > SHOWN else text
