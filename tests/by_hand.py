"""Records of a run in which every number is known by hand, and differs from arm to arm.

The committed records of `golden/` are measured: there the undefended model, the defended ones and
scratch often reach the same. Here no two arms do, so that a number of the wrong arm shows.
"""

from __future__ import annotations

import math
from typing import Any

from rootbound.records import EXACT, PRACTICAL, Arm, Configuration, Evaluation, Record, Training

ARMS: dict[str, Arm] = {
    "Plain": "undefended",
    "Good": "defended",
    "Weak": "defended",
    "public": "public",
    "scratch": "scratch",
}
LEVELS: dict[str, dict[int | None, float]] = {
    "Plain": {10: 0.80, None: 0.90},
    "Good": {10: 0.62, None: 0.75},
    "Weak": {10: 0.70, None: 0.85},
    "public": {10: 0.61, None: 0.78},
    "scratch": {10: 0.60, None: 0.76},
}
"""What the strongest attack reaches on the second of three seeds, by labels."""
SPREADS = {"Plain": 0.01, "Good": 0.002, "Weak": 0.004, "public": 0.006, "scratch": 0.005}
"""By how much the first seed reaches less, and the third more."""
DESIRABLE = {"Plain": (0.98,) * 3, "Good": (0.975, 0.974, 0.973), "Weak": (0.989, 0.99, 0.991)}
BENIGN = {"Plain": 0.70, "Good": 0.65, "Weak": 0.72, "public": 0.66, "scratch": 0.60}
LOSSES = {"Plain": 0.5, "Good": 1.25, "Weak": 1.0, "public": 0.9, "scratch": 0.75}
SECONDS = {"Plain": 10.0, "Good": 25.0, "Weak": 15.0, "public": 0.0, "scratch": 0.0}
BELOW = {PRACTICAL: 0.3, EXACT: 0.2, "last 2 layers": 0.03, "all layers": 0.0}
"""By how much a family of attacks reaches less than the strongest one."""
REALISTIC = "last 2 layers"
"""The family that the attacker's own validation prefers; 0.03 above its end lies its best step."""
HALF_WIDTH = 4.302653 / math.sqrt(3)
"""Half of a 95 % interval over three values, in their standard deviations: Student's t over
three."""


def interval(mean: float, deviation: float) -> tuple[float, float, float]:
    """Return a mean and the ends of its interval, given the deviation of three values."""
    return mean, mean - HALF_WIDTH * deviation, mean + HALF_WIDTH * deviation


def trial(method: str, seed: int, labels: int | None, family: str) -> Record:
    reached = LEVELS[method][labels] + SPREADS[method] * (seed - 1) - BELOW[family]
    peak = 0.06 if family == REALISTIC else -0.005
    return Record(
        ARMS[method], method, seed, seed, "screen",
        "probe" if family in (PRACTICAL, EXACT) else "fine-tuning",
        family, Configuration(family, {}), labels, (3, 10, 30),
        (0.4, 0.4, 0.9 if family == REALISTIC else 0.5), (reached - 0.15, reached + peak, reached),
        2, 1.0, reached, 1.0, 1e6, losses=(3.0, 2.0, LOSSES[method]), halves=(reached, reached),
    )  # fmt: skip


def benign(method: str, seed: int) -> Record:
    reached = BENIGN[method] + SPREADS[method] * (seed - 1)
    return Record(
        ARMS[method], method, seed, seed, "screen", "fine-tuning", "all layers",
        Configuration("benign", {}), 10, (30,), (0.5,), (reached,), 0, 1.0, reached, 1.0, 1e6,
        task="benign", halves=(reached, reached),
    )  # fmt: skip


def longer(method: str, reached: float) -> Record:
    return Record(
        ARMS[method], method, 0, 0, "longer", "fine-tuning", "all layers",
        Configuration("longer", {}), 10, (300,), (0.5,), (reached,), 0, 1.0, reached, 1.0, 1e6,
        halves=(reached, reached),
    )  # fmt: skip


def evaluation(*, public: bool = False, **context: Any) -> Evaluation:
    """Return the run, with a public model or without, and more in its context if asked for."""
    names = [name for name in ARMS if public or name != "public"]
    given = {name: f"{place:x}" * 64 for place, name in enumerate(names)}
    beside = {"public": {"model": "resnet", "parameters": 70, "arm": "public"}} if public else {}
    about = {
        "adaptive": 0,
        "budgets": [{"labels": 10, "steps": 30}, {"labels": None, "steps": 30}],
        "curve_samples": 500,
        "date": "2026-11-23",
        "defender_undesirable_samples": 90,
        "desirable": {
            "name": "cats", "classes": ["a", "b"], "majority": 0.5, "test_samples": 4000,
            "training_samples": 300,
        },
        "layers": 4,
        "machine": "one",
        "model": "deep_cnn",
        "parameters": 50,
        "rules": {"attackers": 0, "confirmed": 0, "longer": 10, "proposals": 0},
        "run": "68a3d8433c82",
        "seeds": 3,
        "shared_undesirable": False,
        "suite": "by-hand-1",
        "suite_digest": "0a1dcab3d31b",
        "trials": 4,
        "undesirable": {
            "name": "dogs", "classes": ["c", "d"], "majority": 0.5, "test_samples": 5000,
            "training_samples": 200,
        },
        "validation_limit": 100,
        "validation_share": 0.2,
        "versions": {"rootbound": "0.1.0"},
        "weights": given,
        **beside,
        **context,
    }  # fmt: skip
    trainings = tuple(
        Training(
            ARMS[name], name,
            Configuration(name, {}) if name in DESIRABLE else f"{name} weights", seed,
            DESIRABLE[name][seed] if name in DESIRABLE else None, SECONDS[name],
        )
        for name in names
        for seed in range(3)
    )  # fmt: skip
    records = [
        trial(name, seed, labels, family)
        for name in names
        for seed in range(3)
        for labels in (10, None)
        for family in BELOW
    ]
    records += [benign(name, seed) for name in names for seed in range(3)]
    return Evaluation(about, trainings, (*records, longer("Good", 0.68)))
