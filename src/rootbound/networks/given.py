"""Networks as users give them: a classifier, or any module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks.classifier import Classifier


def as_classifier(network: object, example: Tensor) -> Classifier:
    """Return a classifier as it is, and any other network wrapped.

    Args:
        network: A classifier, or a network as `Classifier.wrap` takes it.
        example: Inputs that the network takes.

    Raises:
        InputError: It is no network, or cannot be wrapped.
    """
    if isinstance(network, Classifier):
        return network
    module = require_network(network)
    return Classifier.wrap(module, example=example.to(find_place(module)))


def require_network(network: object) -> nn.Module:
    """Return a network.

    Raises:
        InputError: It is none.
    """
    if isinstance(network, nn.Module):
        return network
    raise InputError(
        "a network: a torch.nn.Module, or a rootbound.Classifier",
        repr(network) if isinstance(network, str) else type(network).__name__,
        "load or build it first, as by rootbound.load",
    )


def find_place(network: nn.Module) -> torch.device:
    """Return the device that a network is on; the processor where it has no weights."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))
