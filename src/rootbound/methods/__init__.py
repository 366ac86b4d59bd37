"""Methods: ways to train a model that resists; one file a paper."""

from rootbound.methods.after_training import AfterTraining
from rootbound.methods.base import LossMethod, Method
from rootbound.methods.best_response import BestResponse
from rootbound.methods.plain import Plain
from rootbound.methods.selective_distillation import SelectiveDistillation
from rootbound.methods.unlearning import Unlearning

METHODS: dict[str, type[Method]] = {
    method.__name__: method for method in (Plain, BestResponse, SelectiveDistillation, Unlearning)
}

__all__ = [
    "METHODS",
    "AfterTraining",
    "BestResponse",
    "LossMethod",
    "Method",
    "Plain",
    "SelectiveDistillation",
    "Unlearning",
]
