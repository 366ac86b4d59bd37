"""Finding the attacks that know a model's method when the model is audited."""

from __future__ import annotations

from torch import nn

from rootbound.attacks import Attack
from rootbound.methods import Method
from rootbound.methods.known import find_adaptive_attacks
from rootbound.networks import Classifier

MADE_BY = "rootbound_method"
"""Attribute of a network with the name of the method that trained it. It is plain text, so that
nobody needs this package to load the network."""


def remember_method(network: nn.Module, method: Method) -> None:
    """Store on a network which method trained it; a classifier has that in its origin."""
    setattr(network, MADE_BY, type(method).__name__)


def find_adaptive(network: nn.Module) -> tuple[Attack, ...]:
    """Return the attacks that know the method that trained a network, if any."""
    if isinstance(network, Classifier) and network.origin is not None:
        return find_adaptive_attacks(network.origin.method.kind)
    return find_adaptive_attacks(str(getattr(network, MADE_BY, "")))
