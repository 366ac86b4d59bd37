"""Training: the recipe, the only loop, and the saved state of an interrupted training."""

from rootbound.training.balance import balanced_accuracy
from rootbound.training.loop import (
    Recipe,
    TrainingDiverged,
    accuracy,
    minimise,
    predict,
    seeded,
)

__all__ = [
    "Recipe",
    "TrainingDiverged",
    "accuracy",
    "balanced_accuracy",
    "minimise",
    "predict",
    "seeded",
]
