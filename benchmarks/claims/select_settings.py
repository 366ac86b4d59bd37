"""Choose every method's settings on held-out training samples; no test sample is used.

python -m benchmarks.claims.select_settings [NAME ...]

The last 10,000 training images of MNIST (0-4 | 5-9) take the test set's place. Each method gets the
same number of trials over its own main settings. A candidate is eligible if it loses at most one
point of desirable accuracy against `Plain`. Of those, the one is chosen that leaves a short attack
least: the mean over 10 and 100 labels a class of the strongest attack, as the attacker's own
validation picks it. Trials are saved to results/settings_search.jsonl, where an interrupted search
goes on; a Markdown table is printed.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from benchmarks.claims.candidates import CANDIDATES
from benchmarks.shared.held_out import held_out
from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.settings import settings_text
from rootbound.attacks import Budget, ExactLastLayer, FineTune, Reading
from rootbound.core.memory import keep_freed_memory
from rootbound.datasets import Dataset, mnist
from rootbound.evaluation import Subject, attack
from rootbound.methods import Method, Plain
from rootbound.networks import shallow_cnn
from rootbound.records import Configuration
from rootbound.suites import Suite
from rootbound.training import Recipe, TrainingDiverged, accuracy

ALLOWED = 1.0
"""Points of desirable accuracy that a setting may cost."""
SUITE = Suite(
    "short",
    attacks=(
        ExactLastLayer(1e-3, "whitened"),
        ExactLastLayer(1e-3, "whitened", reading=Reading(1)),
        *(FineTune(None, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
        FineTune(2, "kept", "adam", 2e-3),
        FineTune(2, "re-initialised", "adam", 2e-3),
    ),
    budgets=(Budget(10, 60), Budget(100, 80)),
)


@dataclass(frozen=True)
class Trial:
    """What one setting gave; accuracies in percent, the attacker's as a mean over its draws.

    Args:
        method: the settings, as Python would write them.
        desirable: accuracy on held-out desirable samples.
        exact: of the best last layer with 100 labels a class.
        few: of the strongest attack with 10 labels a class.
        more: of the strongest attack with 100 labels a class.
        error: why there is nothing else.
    """

    method: str
    desirable: float = math.nan
    exact: float = math.nan
    few: float = math.nan
    more: float = math.nan
    error: str = ""

    @property
    def attacked(self) -> float:
        """What is to be low."""
        return (self.few + self.more) / 2


TRIALS = KeptRows(
    Path(__file__).parents[1] / "results" / "settings_search.jsonl",
    Trial,
    lambda trial: trial.method,
)


def ends_with_test() -> Dataset:
    """Return MNIST with the end of its training set as the test set."""
    full = mnist()
    places = torch.arange(len(full.train))
    return held_out(full, places[:-10_000], places[-10_000:])


def tried(method: Method) -> Trial:
    """Train once and attack, three times over with other labels."""
    keep_freed_memory()
    torch.set_num_threads(1)
    tasks = ends_with_test().split(range(5), range(5, 10))
    try:
        model = method.fit(shallow_cnn(5), tasks)
    except TrainingDiverged as error:
        return Trial(settings_text(method), error=str(error))
    best: dict[int | None, list[float]] = {10: [], 100: []}
    exact: list[float] = []
    for draw in range(3):
        subject = Subject("defended", type(method).__name__, draw, model)
        records = attack(subject, tasks.undesirable, SUITE)
        for labels, found in best.items():
            own = [one for one in records if one.labels == labels and one.error is None]
            chosen = max(own, key=lambda one: one.preference)
            found.append(100 * chosen.test[chosen.selected])
        exact += [
            100 * one.test[one.selected]
            for one in records
            if one.labels == 100 and one.attack == Configuration.of(SUITE.attacks[0])
        ]
    few, more, last = (sum(one) / len(one) for one in (best[10], best[100], exact))
    desirable = 100 * accuracy(model, tasks.desirable.test)
    return Trial(settings_text(method), desirable, last, few, more)


def kept() -> dict[str, Trial]:
    """Return the trials made so far, by settings."""
    return {trial.method: trial for trial in TRIALS.rows()}


def varied(candidates: list[Method]) -> list[str]:
    """Return, for each candidate, the settings in which they differ."""
    names = [one.name for one in fields(candidates[0])]
    values = {name: [shown(getattr(one, name)) for one in candidates] for name in names}
    kept = [name for name in names if len(set(values[name])) > 1]
    return [
        ", ".join(f"{name}={values[name][place]}" for name in kept)
        for place in range(len(candidates))
    ]


def shown(value: object) -> str:
    """Return a setting in short: of a recipe, what the search varies."""
    return f"{value.learning_rate:g}" if isinstance(value, Recipe) else repr(value)


def lines(name: str, trials: list[Trial], reference: float) -> list[str]:
    """Return a method's table, the chosen setting in bold."""
    eligible = [one for one in trials if one.desirable >= reference - ALLOWED]
    best = min(eligible or trials, key=lambda one: one.attacked if eligible else -one.desirable)
    rows = [
        f"### {name}",
        "| settings | desirable | exact, 100 labels | strongest, 10 | strongest, 100 |",
        "|---|---|---|---|---|",
    ]
    for one, settings in zip(trials, varied(CANDIDATES[name]), strict=True):
        cells = [f"{value:.1f}" for value in (one.desirable, one.exact, one.few, one.more)]
        mark = "**" if one is best else ""
        rows.append(f"| {mark}{settings}{mark} | {' | '.join(cells)} |")
    return rows


def main(names: list[str]) -> None:
    """Make the trials that are missing, and print a table for each method."""
    done = kept()
    wanted = [Plain(), *(method for name in names for method in CANDIDATES[name])]
    missing = [method for method in wanted if settings_text(method) not in done]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for trial in pool.imap_unordered(tried, missing):
            TRIALS.add(trial)
    done = kept()
    for name in names:
        trials = [done[settings_text(method)] for method in CANDIDATES[name]]
        print("\n".join(lines(name, trials, done[settings_text(Plain())].desirable)), "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CANDIDATES))
