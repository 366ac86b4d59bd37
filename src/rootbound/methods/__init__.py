"""Methods: ways to train a model that resists; one file a paper."""

from rootbound.methods.after_training import AfterTraining
from rootbound.methods.base import LossMethod, Method
from rootbound.methods.best_response import BestResponse
from rootbound.methods.condition_number import ConditionNumber
from rootbound.methods.imma import IMMA
from rootbound.methods.mlac import MLAC
from rootbound.methods.plain import Plain
from rootbound.methods.reverse_maml import ReverseMAML
from rootbound.methods.selective_distillation import SelectiveDistillation
from rootbound.methods.sophon import SOPHON
from rootbound.methods.spectral_deformation import SpectralDeformation
from rootbound.methods.tar import TAR
from rootbound.methods.unlearning import Unlearning

METHODS: dict[str, type[Method]] = {
    method.__name__: method
    for method in (
        Plain,
        BestResponse,
        SelectiveDistillation,
        Unlearning,
        ConditionNumber,
        IMMA,
        MLAC,
        ReverseMAML,
        SOPHON,
        SpectralDeformation,
        TAR,
    )
}

__all__ = [
    "IMMA",
    "METHODS",
    "MLAC",
    "SOPHON",
    "TAR",
    "AfterTraining",
    "BestResponse",
    "ConditionNumber",
    "LossMethod",
    "Method",
    "Plain",
    "ReverseMAML",
    "SelectiveDistillation",
    "SpectralDeformation",
    "Unlearning",
]
