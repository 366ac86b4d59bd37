"""Networks as users give them: a classifier, or any module."""

from __future__ import annotations

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
    if isinstance(network, nn.Module):
        device = next((weight.device for weight in network.parameters()), example.device)
        return Classifier.wrap(network, example=example.to(device))
    raise InputError(
        "a network: a torch.nn.Module, or a rootbound.Classifier",
        repr(network) if isinstance(network, str) else type(network).__name__,
        "load or build it first, as by rootbound.load",
    )
