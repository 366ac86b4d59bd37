"""Names of weights in messages: whole, on one line, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 3
"""Names that are told; the rest is counted."""
LONGEST = 240
"""Characters of one name at most: a stranger's may be of any length."""


def shown(name: str) -> str:
    """Return a name without characters that would break a line, cut where it is endless."""
    text = ascii(name)[1:-1] if not name.isprintable() else name
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def list_names(names: Sequence[str]) -> str:
    """Return the first three names, and how many others there are."""
    text = ", ".join(shown(name) for name in names[:SHOWN])
    return f"{text} and {len(names) - SHOWN} more" if len(names) > SHOWN else text
