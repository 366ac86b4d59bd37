"""Attacks that know how a model was made, found again when the model is audited."""

from __future__ import annotations

from torch import nn

from rootbound.attacks import Attack
from rootbound.methods import METHODS, Method

MADE_BY = "rootbound_method"
"""Attribute of a network with the name of the method that trained it: plain text, so that whoever
saves or sends the network needs nothing of this package to read it."""


def remember_method(network: nn.Module, method: Method) -> None:
    """Note on a network which method trained it."""
    setattr(network, MADE_BY, type(method).__name__)


def find_adaptive(network: nn.Module) -> tuple[Attack, ...]:
    """Return the attacks that know the method by which a network was trained here; none if none."""
    kind = METHODS.get(str(getattr(network, MADE_BY, "")))
    return () if kind is None else kind().adaptive_attacks()
