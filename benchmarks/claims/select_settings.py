"""Choose every method's settings on held-out training samples; no test sample is used.

python -m benchmarks.claims.select_settings [NAME ...]

The last 10,000 training images of MNIST (0-4 | 5-9) take the test set's place. Each method gets the
same number of trials over its own main settings. A candidate is eligible if it loses at most one
point of desirable accuracy against `Plain`. Among those, the candidate is chosen that leaves least
to a short attack: the mean over 10 and 100 labels per class of the strongest attack, as the
attacker's own validation picks it. Trials are saved to results/settings_search.jsonl, where an
interrupted search goes on; a Markdown table is printed.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from benchmarks.claims.candidates import CANDIDATES
from benchmarks.shared.held_out import hold_out
from benchmarks.shared.kept_rows import KeptRows
from benchmarks.shared.settings import write_settings
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
    """What one setting gave, in percent; the attacker's accuracies are means over draws of labels.

    Args:
        method: The method and its settings, as text.
        desirable: Accuracy on held-out desirable samples.
        exact: Accuracy of the exact last layer with 100 labels per class.
        few: Accuracy of the strongest attack with 10 labels per class.
        more: Accuracy of the strongest attack with 100 labels per class.
        error: Why there are no numbers.
    """

    method: str
    desirable: float = math.nan
    exact: float = math.nan
    few: float = math.nan
    more: float = math.nan
    error: str = ""

    @property
    def attacked(self) -> float:
        """The number by which settings are chosen; lower is better."""
        return (self.few + self.more) / 2


TRIALS = KeptRows(
    Path(__file__).parents[1] / "results" / "settings_search.jsonl",
    Trial,
    lambda trial: trial.method,
)


def hold_out_end() -> Dataset:
    """Return MNIST with the end of its training set in the test set's place."""
    full = mnist()
    indices = torch.arange(len(full.train))
    return hold_out(full, indices[:-10_000], indices[-10_000:])


def run_trial(method: Method) -> Trial:
    """Train once, and attack with three draws of labels."""
    keep_freed_memory()
    torch.set_num_threads(1)
    tasks = hold_out_end().split(range(5), range(5, 10))
    try:
        model = method.fit(shallow_cnn(5), tasks)
    except TrainingDiverged as error:
        return Trial(write_settings(method), error=str(error))
    best: dict[int | None, list[float]] = {10: [], 100: []}
    exact: list[float] = []
    for draw in range(3):
        subject = Subject("defended", type(method).__name__, draw, model)
        records = attack(subject, tasks.undesirable, SUITE)
        for labels, accuracies in best.items():
            finished = [rec for rec in records if rec.labels == labels and rec.error is None]
            chosen = max(finished, key=lambda record: record.preference)
            accuracies.append(100 * chosen.test[chosen.selected])
        exact += [
            100 * record.test[record.selected]
            for record in records
            if record.labels == 100 and record.attack == Configuration.of(SUITE.attacks[0])
        ]
    few, more, last = map(statistics.fmean, (best[10], best[100], exact))
    desirable = 100 * accuracy(model, tasks.desirable.test)
    return Trial(write_settings(method), desirable, last, few, more)


def load_trials() -> dict[str, Trial]:
    """Return the trials made so far, by method and settings."""
    return {trial.method: trial for trial in TRIALS.rows()}


def find_varied_settings(candidates: list[Method]) -> list[str]:
    """Return, for each candidate, the settings in which they differ."""
    names = [field.name for field in fields(candidates[0])]
    values = {
        name: [format_setting(getattr(method, name)) for method in candidates] for name in names
    }
    differing = [name for name in names if len(set(values[name])) > 1]
    return [
        ", ".join(f"{name}={values[name][number]}" for name in differing)
        for number in range(len(candidates))
    ]


def format_setting(value: object) -> str:
    """Return a setting in short; of a recipe only the learning rate, which the search varies."""
    return f"{value.learning_rate:g}" if isinstance(value, Recipe) else repr(value)


def format_table(name: str, trials: list[Trial], reference: float) -> list[str]:
    """Return a method's table, the chosen setting in bold."""
    eligible = [trial for trial in trials if trial.desirable >= reference - ALLOWED]
    best = min(
        eligible or trials, key=lambda trial: trial.attacked if eligible else -trial.desirable
    )
    rows = [
        f"### {name}",
        "| settings | desirable | exact, 100 labels | strongest, 10 | strongest, 100 |",
        "|---|---|---|---|---|",
    ]
    for trial, settings in zip(trials, find_varied_settings(CANDIDATES[name]), strict=True):
        cells = [f"{value:.1f}" for value in (trial.desirable, trial.exact, trial.few, trial.more)]
        mark = "**" if trial is best else ""
        rows.append(f"| {mark}{settings}{mark} | {' | '.join(cells)} |")
    return rows


def main(names: list[str]) -> None:
    """Make the trials that are missing, and print a table for each method."""
    done = load_trials()
    wanted = [Plain(), *(method for name in names for method in CANDIDATES[name])]
    missing = [method for method in wanted if write_settings(method) not in done]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for trial in pool.imap_unordered(run_trial, missing):
            TRIALS.add(trial)
    done = load_trials()
    for name in names:
        trials = [done[write_settings(method)] for method in CANDIDATES[name]]
        print("\n".join(format_table(name, trials, done[write_settings(Plain())].desirable)), "\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(CANDIDATES))
