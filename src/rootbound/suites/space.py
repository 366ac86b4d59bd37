"""A continuous space of fine-tuning settings, and the proposals of an optimiser for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rootbound.attacks import Attack, FineTune
from rootbound.core.errors import InputError

OPTIMISERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Space:
    """Full fine-tuning with settings that an optimiser proposes after the screening.

    Optuna's multivariate tree-structured Parzen estimator gets the screened settings of the space
    with their validation accuracies, and proposes further ones; it knows nothing about the test
    set. All arms get the same number of proposals.

    Args:
        proposals: How many settings are proposed.
        learning_rate: Lowest and highest learning rate, on a log scale.
        weight_decay: Lowest and highest weight decay, on a log scale.
        warm_up: Lowest and highest share of the steps.
    """

    proposals: int = 8
    learning_rate: tuple[float, float] = (1e-4, 0.5)
    weight_decay: tuple[float, float] = (1e-6, 1e-2)
    warm_up: tuple[float, float] = (0.0, 0.2)

    def check(self) -> None:
        """Raise an `InputError` when Optuna is not installed, before hours of work."""
        _import_optuna()

    def propose(self, screened: Iterable[tuple[Attack, float]], seed: int) -> list[FineTune]:
        """Return settings to try next.

        Args:
            screened: Trials and their validation accuracies; those outside the space are ignored.
            seed: Seed of the proposals.

        Raises:
            InputError: Optuna is not installed.
        """
        optuna = _import_optuna()
        sampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=4
        )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = self._make_distributions(optuna)
        for trial, value in screened:
            if isinstance(trial, FineTune) and (parameters := self._find_parameters(trial)):
                study.add_trial(
                    optuna.trial.create_trial(
                        params=parameters, distributions=distributions, value=value
                    )
                )
        asked = [study.ask(distributions).params for _ in range(self.proposals)]
        return list(dict.fromkeys(_make_trial(parameters) for parameters in asked))

    def _make_distributions(self, optuna: Any) -> dict[str, Any]:
        float_between = optuna.distributions.FloatDistribution
        return {
            "learning_rate": float_between(*self.learning_rate, log=True),
            "weight_decay": float_between(*self.weight_decay, log=True),
            "warm_up": float_between(*self.warm_up),
            "optimiser": optuna.distributions.CategoricalDistribution(OPTIMISERS),
        }

    def _find_parameters(self, trial: FineTune) -> dict[str, Any] | None:
        """Return the parameters of a trial in the space; None if it is outside."""
        inside = (
            type(trial) is FineTune
            and trial.optimiser in OPTIMISERS
            and self.learning_rate[0] <= trial.learning_rate <= self.learning_rate[1]
            and _is_of_space(trial)
        )
        if not inside:
            return None
        decay = min(max(trial.weight_decay, self.weight_decay[0]), self.weight_decay[1])
        return {
            "learning_rate": trial.learning_rate,
            "weight_decay": decay,
            "warm_up": min(trial.warm_up, self.warm_up[1]),
            "optimiser": trial.optimiser,
        }


def _make_trial(parameters: dict[str, Any]) -> FineTune:
    """Return a setting with numbers that are short enough to read and write exactly."""
    return FineTune(
        optimiser=parameters["optimiser"],
        learning_rate=float(f"{parameters['learning_rate']:.3g}"),
        weight_decay=float(f"{parameters['weight_decay']:.3g}"),
        warm_up=float(f"{parameters['warm_up']:.2g}"),
    )


def _is_of_space(trial: FineTune) -> bool:
    """Return whether a trial differs from the space's trials only in its parameters."""
    plain = FineTune(
        optimiser=trial.optimiser,
        learning_rate=trial.learning_rate,
        weight_decay=trial.weight_decay,
        warm_up=trial.warm_up,
    )
    return trial == plain


def _import_optuna() -> Any:
    try:
        import optuna  # noqa: PLC0415  # an extra, and slow to import
    except ImportError:
        raise InputError(
            "Optuna, which this suite searches with",
            "none installed",
            "pip install 'rootbound[search]'",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
