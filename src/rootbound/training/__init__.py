"""Training: the recipe, the one loop, and the state of a training that was interrupted."""

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
