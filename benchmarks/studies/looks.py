"""How often a gate ends where, and after how many draws, if draws are added until it is decided?

python -m benchmarks.studies.looks [--runs 20000]

A simulation with normal draws, one number of labels, a limit of one point and 5,000 test samples.
It takes a minute, and prints two Markdown tables: by the true advantage, and by the spread of draws
where the weights are worth nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from rootbound.metrics.gain import Gain
from rootbound.metrics.gate import RATE, End, show
from rootbound.metrics.looks import next_look, spend

LIMIT, SAMPLES, DEVIATION = 1.0, 5_000, 1.5
"""Points that the gate allows, test samples, and the standard deviation of a draw in points."""
FIRST = 5
"""Draws at the first look, as many as `quick-2` counts at least."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of many simulated runs.

    Args:
        shares: The share of runs that end in each way.
        draws: Mean number of draws when they end.
    """

    shares: dict[End, float]
    draws: float


def simulate(mean: float, *, deviation: float = DEVIATION, most: int = 40, runs: int) -> Outcome:
    """Simulate runs whose draws have this mean and deviation, in points; return how they end.

    Args:
        mean: The true advantage.
        deviation: Standard deviation of one draw.
        most: Largest number of draws of a run.
        runs: How many runs are simulated.
    """
    generator, looks = np.random.default_rng(2), [FIRST]
    while looks[-1] < most:
        looks.append(next_look(looks[-1], most))
    rates = spend(looks, most, RATE)
    ends: list[End] = []
    spent = []
    for _ in range(runs):
        drawn = generator.normal(mean, deviation, most).tolist()
        end: End = "undecided"
        for draws, rate in zip(looks, rates, strict=True):
            end, _, _ = show([Gain.of(drawn[:draws])], SAMPLES, LIMIT, (rate, rate))
            if end != "undecided":
                break
        ends.append(end)
        spent.append(draws)
    names: tuple[End, ...] = ("holds", "does not hold", "undecided")
    return Outcome({name: ends.count(name) / runs for name in names}, sum(spent) / runs)


def main() -> None:
    """Simulate and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20_000)
    runs = parser.parse_args().runs
    print("| true advantage | shown to hold | shown not to hold | undecided | draws, mean |")
    print("|---|---|---|---|---|")
    for mean in (0.0, 1.0, 7.0):
        found = simulate(mean, runs=runs)
        shares = " | ".join(f"{100 * share:.1f} %" for share in found.shares.values())
        print(f"| {mean:g} | {shares} | {found.draws:.0f} |")
    print("\n| deviation of a draw | at most 12 draws: shown to hold | at most 40 | draws, mean |")
    print("|---|---|---|---|")
    for deviation in (0.8, 1.0, 1.5):
        few, many = (simulate(0.0, deviation=deviation, most=most, runs=runs) for most in (12, 40))
        shares = " | ".join(f"{100 * one.shares['holds']:.0f} %" for one in (few, many))
        print(f"| {deviation:g} | {shares} | {many.draws:.0f} |")


if __name__ == "__main__":
    main()
