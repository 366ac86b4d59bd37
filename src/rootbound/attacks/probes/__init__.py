"""Tier P: the network is frozen, and a classifier is fitted to what it says."""

from rootbound.attacks.probes.exact_last_layer import ExactLastLayer
from rootbound.attacks.probes.last_layer import LastLayer
from rootbound.attacks.probes.probe import Probe
from rootbound.attacks.probes.reading import Reading

__all__ = ["ExactLastLayer", "LastLayer", "Probe", "Reading"]
