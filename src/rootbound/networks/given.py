"""Networks that users pass: a classifier, or any module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rootbound.networks.classifier import Classifier
from rootbound.networks.wrapping import require_network


def as_classifier(network: object, example: Tensor) -> Classifier:
    """Return a classifier as it is, and any other network wrapped.

    Args:
        network: A classifier, or a network as `Classifier.wrap` takes it.
        example: Inputs that the network takes.

    Raises:
        InputError: It is not a network, or cannot be wrapped.
    """
    if isinstance(network, Classifier):
        return network
    module = require_network(network)
    return Classifier.wrap(module, example=example.to(find_device_of(module)))


def find_device_of(network: nn.Module) -> torch.device:
    """Return the device that a network is on; the CPU if it has no weights."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))
