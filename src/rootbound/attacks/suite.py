"""Suites: frozen, named lists of attacks and budgets. A change makes a new name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rootbound.attacks.base import Attack, Budget
from rootbound.attacks.exact_last_layer import ExactLastLayer
from rootbound.attacks.fine_tune import FineTune
from rootbound.attacks.last_layer import LastLayer
from rootbound.errors import InputError, unknown_name


@dataclass(frozen=True)
class Suite:
    """What every arm is put through.

    Args:
        name: with its version.
        attacks: the trials.
        budgets: what may be spent on each of them.
    """

    name: str
    attacks: tuple[Attack, ...]
    budgets: tuple[Budget, ...]

    def __post_init__(self) -> None:
        if not self.attacks or not self.budgets:
            raise InputError("a suite with attacks and budgets", repr(self.name), "add some")

    def with_budgets(self, budgets: tuple[Budget, ...]) -> Suite:
        """Return the same attacks with other budgets, under a name that says so."""
        return Suite(f"{self.name} with own budgets", self.attacks, budgets)

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with any setting."""
        return hashlib.sha256(repr((self.attacks, self.budgets)).encode()).hexdigest()[:12]


def _rates(lowest: float, count: int) -> list[float]:
    """Return a log grid: 1 and 3 times each power of ten."""
    return [round(lowest * 10 ** (i // 2) * (1, 3)[i % 2], 10) for i in range(count)]


def _last(layers: int) -> list[FineTune]:
    """Return a small grid for the last layers; SGD likes fresh weights at the higher rate."""
    return [
        *(FineTune(layers, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "kept", "sgd", 0.03),
        *(FineTune(layers, "re-initialised", "adam", rate) for rate in (1e-3, 4e-3)),
        FineTune(layers, "re-initialised", "sgd", 0.1),
    ]


DEMO_1 = Suite(
    name="demo-1",
    attacks=(
        *(LastLayer("sgd", rate) for rate in _rates(1e-3, 8)),
        *(LastLayer("adam", rate) for rate in _rates(1e-4, 8)),
        *(ExactLastLayer(penalty, "whitened") for penalty in (1e-2, 1e-3, 1e-4, 1e-5)),
        *(ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-2, 1e-3)),
        *(trial for layers in (2, 3, 4, 5) for trial in _last(layers)),
        # All layers re-initialised would be the from-scratch arm.
        *(FineTune(None, "kept", "adam", rate) for rate in (1e-3, 4e-3)),
        *(FineTune(None, "kept", "sgd", rate) for rate in (0.03, 0.1)),
    ),
    budgets=(Budget(10, 60), Budget(100, 80), Budget(None, 100)),
)
SUITES = {suite.name: suite for suite in (DEMO_1,)}


def find_suite(suite: Suite | str) -> Suite:
    """Return the suite of that name, or the suite itself.

    Raises:
        InputError: there is none of that name.
    """
    if isinstance(suite, Suite):
        return suite
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    return SUITES[suite]
