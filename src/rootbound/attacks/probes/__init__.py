"""Tier P: the network is frozen, and a classifier is fitted to what it says."""

from rootbound.attacks.probes.closed_form import DiscriminantHead, RidgeHead
from rootbound.attacks.probes.exact_last_layer import ExactLastLayer
from rootbound.attacks.probes.kernel import KernelRidge
from rootbound.attacks.probes.last_layer import LastLayer
from rootbound.attacks.probes.neighbours import NearestNeighbours
from rootbound.attacks.probes.perceptron import PerceptronProbe
from rootbound.attacks.probes.probe import Probe, Reading

__all__ = [
    "DiscriminantHead",
    "ExactLastLayer",
    "KernelRidge",
    "LastLayer",
    "NearestNeighbours",
    "PerceptronProbe",
    "Probe",
    "Reading",
    "RidgeHead",
]
