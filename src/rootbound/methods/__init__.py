"""Methods: ways to train a model that resists; one file for each paper."""

from rootbound.core.errors import InputError, unknown_name_error
from rootbound.methods.adversarial_head import AdversarialHead
from rootbound.methods.base import AfterTraining, LossMethod, Method
from rootbound.methods.best_response import BestResponse, Schedule, Terms
from rootbound.methods.condition_number import ConditionNumber
from rootbound.methods.controls import GenericFeatures, Plain
from rootbound.methods.cuti import CUTI
from rootbound.methods.gradient_ascent import GradientAscent
from rootbound.methods.hntl import HNTL
from rootbound.methods.imma import IMMA
from rootbound.methods.mlac import MLAC
from rootbound.methods.ntl import NTL
from rootbound.methods.rep_noise import RepNoise
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
        GradientAscent,
        AdversarialHead,
        NTL,
        CUTI,
        HNTL,
        SOPHON,
        MLAC,
        TAR,
        RepNoise,
        ConditionNumber,
        IMMA,
        ReverseMAML,
        SpectralDeformation,
    )
}


def find_method(method: Method | str) -> Method:
    """Return the method of that name with its default settings, or the given method itself.

    Raises:
        InputError: There is no method of that name, or the object is not a method.
    """
    if isinstance(method, Method):
        return method
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]()
    if isinstance(method, str):
        raise unknown_name_error("method", method, METHODS)
    raise InputError(
        "a method or the name of one", str(method), "write BestResponse() or 'BestResponse'"
    )


__all__ = [
    "CUTI",
    "HNTL",
    "IMMA",
    "METHODS",
    "MLAC",
    "NTL",
    "SOPHON",
    "TAR",
    "AdversarialHead",
    "AfterTraining",
    "BestResponse",
    "ConditionNumber",
    "GenericFeatures",
    "GradientAscent",
    "LossMethod",
    "Method",
    "Plain",
    "RepNoise",
    "ReverseMAML",
    "Schedule",
    "SelectiveDistillation",
    "SpectralDeformation",
    "Terms",
    "Unlearning",
    "find_method",
]
