"""Seeds that depend on values alone, not on the process, the order or the arm."""

from __future__ import annotations

import hashlib


def stable_seed(*parts: object) -> int:
    """Return a seed below 2**31 made of the parts' representations."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) >> 1
