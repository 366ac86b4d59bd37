"""Networks that users pass: a classifier, or any module."""

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
    return Classifier.wrap(module, example=example.to(find_device_of(module)))


def require_network(network: object) -> nn.Module:
    """Return the object if it is a network.

    Raises:
        InputError: It is no network.
    """
    if isinstance(network, nn.Module):
        return network
    raise InputError(
        "a network: a torch.nn.Module, or a rootbound.Classifier",
        repr(network) if isinstance(network, str) else type(network).__name__,
        "load or build it first, for example with rootbound.load",
    )


def find_device_of(network: nn.Module) -> torch.device:
    """Return the device that a network is on; the CPU if it has no weights."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))
