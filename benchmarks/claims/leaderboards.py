"""Gather the leaderboards of all splits from committed records, for the documentation.

python -m benchmarks.claims.leaderboards

Writes `benchmarks/results/leaderboards.json`, from which `docs/pages` makes the pages of methods,
attacks and the leaderboard; and the frontiers in `docs/images`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt

from rootbound.records import Evaluation
from rootbound.report.leaderboard.entries import Entry, gather_entries
from rootbound.report.leaderboard.frontier import NARROW, WIDE, draw_frontier
from rootbound.report.leaderboard.table import to_values
from rootbound.report.theme import styled, to_svg

RESULTS, IMAGES = Path("benchmarks/results"), Path("docs/images")
GATHERED = RESULTS / "leaderboards.json"
SPLITS = {
    "frontier": ("MNIST: 0-4 desirable, 5-9 not", "2026-11-30_ea4110c_all_quick-2"),
    "frontier-odd-even": (
        "MNIST: odd digits desirable, even ones not",
        "2026-11-30_ec1f5fa_all_quick-2_odd_even",
    ),
    "frontier-high-low": (
        "MNIST: 5-9 desirable, 0-4 not",
        "2026-11-30_d01b044_all_quick-2_high_low",
    ),
    "frontier-fashion": (
        "Fashion-MNIST: 0-4 desirable, 5-9 not",
        "2026-11-30_2c87251_all_quick-2_fashion",
    ),
    "frontier-photographs": (
        "CIFAR-10: animals desirable, vehicles not",
        "2026-11-26_6139bb6_animals_methods",
    ),
}
"""Title and folder of each run, by the name of its frontier."""
ATTACKED = "2026-11-26_e9f5538_standard-1"
"""The run in which most attacks met the same three arms."""


def main() -> None:
    """Gather the leaderboards, and draw the frontiers."""
    splits = []
    for figure, (title, folder) in SPLITS.items():
        evaluation = Evaluation.load(RESULTS / folder)
        rows = gather_entries(evaluation, [])
        _draw(rows, figure)
        about = {"title": title, "folder": folder, "figure": figure}
        splits.append(about | in_values(evaluation, rows))
    attacks = {"folder": ATTACKED, "reached": _by_attack(Evaluation.load(RESULTS / ATTACKED))}
    text = json.dumps({"splits": splits, "attacks": attacks}, indent=1, ensure_ascii=False)
    GATHERED.write_text(f"{text}\n")


def in_values(evaluation: Evaluation, rows: list[Entry]) -> dict[str, Any]:
    """Return a leaderboard as values that JSON can hold."""
    return {
        "suite": evaluation.context["suite"],
        "seeds": len({training.seed for training in evaluation.trainings}),
        "rows": [{"class": entry.kind} | to_values(entry) for entry in rows],
    }


def _draw(rows: list[Entry], name: str) -> None:
    with styled():
        for ending, size in (("", WIDE), ("-narrow", NARROW)):
            figure = draw_frontier(rows, size)
            assert figure is not None
            (IMAGES / f"{name}{ending}.svg").write_text(to_svg(figure))
            plt.close(figure)


def _by_attack(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Return what the best family of each class of attacks reaches, by labels and method."""
    found: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in evaluation.to_frame().to_dict("records"):
        scored = row["accuracy"] == row["accuracy"]  # no NaN
        if row["task"] == "undesirable" and row["arm"] != "control" and scored:
            cell = (row["attack_class"], str(row["labels"]), row["method"])
            found[cell][row["family"]].append(row["accuracy"])
    reached: dict[str, dict[str, dict[str, float]]] = {}
    for (attack, labels, method), families in sorted(found.items()):
        best = max(map(fmean, families.values()))
        reached.setdefault(attack, {}).setdefault(labels, {})[method] = round(100 * best, 1)
    return reached


if __name__ == "__main__":
    main()
