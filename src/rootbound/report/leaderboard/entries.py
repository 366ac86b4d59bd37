"""The rows of the leaderboard: standings, flags and challenges put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rootbound import metrics
from rootbound.flags import flags
from rootbound.metrics import Standing
from rootbound.records import Configuration, Evaluation
from rootbound.report.leaderboard.claims import Challenge

Status = Literal["standard", "external", "unreliable"]

DISQUALIFYING = ("desirable accuracy lost", "fewer finished trials", "failed trials")
"""Flags under which a low advantage means nothing."""


@dataclass(frozen=True)
class Entry:
    """One row.

    Args:
        standing: what this run measured.
        status: `standard` for the suite's numbers, `external` where somebody's attack got
            more, `unreliable` where a flag says that a low advantage means nothing.
        flags: raised for the method.
        challenge: the strongest one, if it beats the suite.
    """

    standing: Standing
    status: Status
    flags: tuple[str, ...]
    challenge: Challenge | None

    @property
    def kind(self) -> str:
        """The method's class; the name of weights that were given, which have none."""
        settings = self.standing.settings
        return settings.kind if isinstance(settings, Configuration) else self.standing.method

    @property
    def worst(self) -> float | None:
        """The highest advantage over scratch that anyone has reached, in points."""
        if self.challenge is not None:
            return self.challenge.advantage
        return None if self.standing.worst is None else self.standing.worst.advantage.mean


def entries(evaluation: Evaluation, challenges: Sequence[Challenge]) -> list[Entry]:
    """Return the rows: the least worst advantage first, unreliable ones last."""
    raised: dict[str, list[str]] = {}
    for one in flags(evaluation):
        raised.setdefault(one.method, []).append(one.flag)
    found = [
        _entry(standing, tuple(dict.fromkeys(raised.get(standing.method, ()))), challenges)
        for standing in metrics.standings(evaluation)
    ]
    return sorted(found, key=_order)


def _entry(standing: Standing, named: tuple[str, ...], challenges: Sequence[Challenge]) -> Entry:
    own = [one for one in challenges if one.method == standing.method]
    strongest = max(own, key=lambda one: one.advantage, default=None)
    reached = standing.worst.advantage.mean if standing.worst is not None else float("-inf")
    beaten = strongest is not None and strongest.advantage > reached
    status: Status = "external" if beaten else "standard"
    if not beaten and set(named) & set(DISQUALIFYING):
        status = "unreliable"
    return Entry(standing, status, named, strongest if beaten else None)


def _order(entry: Entry) -> tuple[bool, float]:
    worst = entry.worst
    return entry.status == "unreliable", float("inf") if worst is None else worst
