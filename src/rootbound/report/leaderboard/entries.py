"""The rows of the leaderboard: a method's standing, its flags, and challenges to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rootbound.flags import flags
from rootbound.metrics import Standing
from rootbound.metrics import measures as metrics
from rootbound.records import Configuration, Evaluation
from rootbound.report.cases import Case
from rootbound.report.doubts import DISQUALIFYING, explain_unreliable
from rootbound.report.head_start import LARGE, Word
from rootbound.report.leaderboard.claims import Challenge

Status = Literal["standard", "external", "unreliable"]


@dataclass(frozen=True)
class Entry:
    """One row.

    Args:
        standing: What this run measured.
        status: `standard` for the suite's numbers, `external` where another attack got
            more, `unreliable` where a flag says that a low advantage means nothing.
        flags: Flags that are raised for the method.
        challenge: The strongest challenge, if it beats the suite.
        word: The head start in a word.
    """

    standing: Standing
    status: Status
    flags: tuple[str, ...]
    challenge: Challenge | None
    word: Word

    @property
    def is_doubtful(self) -> bool:
        """Whether good news about it proves nothing, whichever attack was the strongest."""
        return self.status == "unreliable" or not set(DISQUALIFYING).isdisjoint(self.flags)

    @property
    def kind(self) -> str:
        """The method's class; for given weights, which have no method, their name."""
        settings = self.standing.settings
        return settings.kind if isinstance(settings, Configuration) else self.standing.method

    @property
    def loss(self) -> float:
        """Desirable accuracy lost against the undefended model, in points."""
        return 0.0 if self.standing.change is None else -self.standing.change.mean

    @property
    def worst(self) -> float | None:
        """The highest advantage over scratch that anyone has reached, in points."""
        if self.challenge is not None:
            return self.challenge.advantage
        return None if self.standing.worst is None else self.standing.worst.advantage.mean


def gather_entries(evaluation: Evaluation, challenges: Sequence[Challenge]) -> list[Entry]:
    """Return the rows: the least worst advantage first, unreliable ones last."""
    raised = flags(evaluation)
    rows = []
    for standing in metrics.standings(evaluation):
        names = tuple(dict.fromkeys(one.flag for one in raised if one.method == standing.method))
        own = [challenge for challenge in challenges if challenge.method == standing.method]
        strongest = max(own, key=lambda challenge: challenge.advantage, default=None)
        reached = -math.inf if standing.worst is None else standing.worst.advantage.mean
        word = Case(evaluation, standing.method, raised).word
        if strongest is not None and strongest.advantage > reached:
            beaten: Word = "large" if strongest.advantage >= LARGE else word
            rows.append(Entry(standing, "external", names, strongest, beaten))
        elif explain_unreliable(standing.method, raised):
            rows.append(Entry(standing, "unreliable", names, None, word))
        else:
            rows.append(Entry(standing, "standard", names, None, word))
    return sorted(
        rows,
        key=lambda row: (row.status == "unreliable", math.inf if row.worst is None else row.worst),
    )
