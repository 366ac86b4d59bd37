"""Attacks that know how a model was made, found again when the model is audited."""

from __future__ import annotations

from torch import nn

from rootbound.attacks import Attack
from rootbound.methods import METHODS, Method
from rootbound.networks import Classifier

MADE_BY = "rootbound_method"
"""Attribute of a network with the name of the method that trained it: plain text, so that whoever
saves or sends the network needs nothing of this package to read it."""


def remember_method(network: nn.Module, method: Method) -> None:
    """Note on a network which method trained it; a classifier knows it by itself."""
    setattr(network, MADE_BY, type(method).__name__)


def find_adaptive(network: nn.Module) -> tuple[Attack, ...]:
    """Return the attacks that know the method by which a network was trained; none if none.

    The name of a method is all that is trusted of a file: its settings are not read.
    """
    name = str(getattr(network, MADE_BY, ""))
    if isinstance(network, Classifier) and network.origin is not None:
        name = network.origin.method.kind
    kind = METHODS.get(name)
    return () if kind is None else kind().adaptive_attacks()
