"""Claims of others: what papers report of their own methods, and attacks that reached more."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from rootbound.core.errors import InputError


@dataclass(frozen=True)
class Claim:
    """What a paper reports of its method, in its own setting: not comparable, and not checked.

    Args:
        method: Class name of the method.
        claim: The number, and how it was measured.
        source: The paper.
    """

    method: str
    claim: str
    source: str


@dataclass(frozen=True)
class Challenge:
    """An external attack that gains more from a method's weights than the suite did.

    Args:
        method: Name of the method.
        advantage: Advantage over scratch with the same labels, in points.
        attack: The attack, in a few words.
        link: An https address where it can be checked.
    """

    method: str
    advantage: float
    attack: str
    link: str


def read_claims() -> list[Claim]:
    """Return what the papers of known methods report."""
    text = resources.files(__package__).joinpath("claims.json").read_text("utf-8")
    return [Claim(**entry) for entry in json.loads(text)]


def read_challenges(path: Path) -> list[Challenge]:
    """Read a JSON list of challenges.

    Raises:
        InputError: The file is missing or damaged, or an entry is not as it should be.
    """
    try:
        entries = json.loads(path.read_text("utf-8"))
        return [_read_challenge(entry) for entry in entries]
    except FileNotFoundError:
        raise InputError(f"challenges at {path}", "no such file", "check the path") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        names = ", ".join(part.name for part in fields(Challenge))
        raise InputError(
            f"a JSON list of objects with {names} in {path}",
            f"{type(error).__name__}: {error}"[:160],
            "correct the file",
        ) from None


def _read_challenge(entry: dict[str, object]) -> Challenge:
    advantage = entry["advantage"]
    if isinstance(advantage, bool) or not isinstance(advantage, int | float):
        raise TypeError(f"advantage {advantage!r} is not a number")
    if not math.isfinite(advantage):
        raise ValueError(f"advantage {advantage!r} is not finite")
    texts = {name: entry[name] for name in ("method", "attack", "link")}
    if not all(isinstance(text, str) and len(text) <= 500 for text in texts.values()):
        raise TypeError("method, attack and link must be texts of at most 500 characters")
    if not str(entry["link"]).startswith("https://"):
        raise ValueError(f"link {entry['link']!r} does not begin with https://")
    return Challenge(
        str(entry["method"]), float(advantage), str(entry["attack"]), str(entry["link"])
    )
