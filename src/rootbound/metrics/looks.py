"""Looking at a result more than once: how often, and with how little doubt each time.

Who adds draws of labels until something is shown has more than one chance of being wrong. The
error rate is therefore divided among the looks, as Lan and DeMets do it ("Discrete sequential
boundaries for clinical trials", Biometrika 70, 1983): a function says how much of it may be spent
by the time that a share of the draws is there. Ours is their second one, which spends early, after
Pocock. Errors of single looks are added up, so that t-intervals of normal draws keep to the rate
exactly; it costs a few draws against boundaries that know how looks depend on each other, and
those are wrong with as few draws as there are here (3.2 in place of 2.5 %, in our simulation).

Looks at a run of a fixed number of draws do not count here. Whoever judges such a run with its
whole error rate, and goes on with the same draws because it is undecided, is wrong more often: in
up to twice as many cases (3.8 %, in our simulation of three draws that go on to forty).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_DRAWS = 3
"""Draws below which nothing is shown: of one the spread is not known, and of two hardly."""
FIRST_LOOK = 5
"""Draws at the first of several looks: with fewer, t-intervals are so wide that it is wasted."""
GROWTH = 1.5
"""How many times as many draws there are at the next look."""


def next_look(draws: int, most: int) -> int:
    """Return at how many draws to look next, given those that there are and the most allowed."""
    return min(most, max(FIRST_LOOK, draws + 1, math.ceil(GROWTH * draws)))


def is_look(draws: int, most: int) -> bool:
    """Return whether so many draws are enough to look at."""
    return draws >= min(FIRST_LOOK, most)


def spend(looks: Sequence[int], most: int, rate: float) -> list[float]:
    """Return the error rate of each look, given the draws at each; they add up to `rate` at most.

    Args:
        looks: Number of draws at each look, rising.
        most: Number of draws at which it ends at the latest.
        rate: Error rate over all looks.
    """
    spent = [rate * math.log1p((math.e - 1) * min(1.0, draws / most)) for draws in looks]
    return [now - before for now, before in zip(spent, [0.0, *spent], strict=False)]
