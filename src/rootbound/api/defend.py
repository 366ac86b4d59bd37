"""Making a network resistant in one call; the result has the user's own class."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any, TypeVar

from torch import nn

from rootbound.api.adaptive import remember_method
from rootbound.core import progress
from rootbound.core.devices import on
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.methods import METHODS, Method, find_method
from rootbound.networks import Classifier
from rootbound.networks.given import find_device_of
from rootbound.networks.wrapping import require_network

PRICE = "max_desirable_drop"
"""Name of the setting of a method that limits its price."""
Network = TypeVar("Network", bound=nn.Module)


@progress.shown("defend")
def defend(
    network: Network,
    tasks: TaskPair,
    method: Method | str = "BestResponse",
    *,
    price: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> Network:
    """Return a copy of a network, trained to do one task and to resist the other.

    `model = rb.defend(Net(), tasks)`. The copy is of the same class, and its `state_dict()` has the
    same keys, so that nothing else in a program changes; the network itself is left as it is.
    `method="Plain"` trains it without a defence, to compare with.

    Args:
        network: The network to start from, with random or pretrained weights: any
            `torch.nn.Module` whose outputs come straight from a linear layer, or a `Classifier`.
        tasks: The desirable and undesirable tasks, as `Dataset.split` makes them.
        method: The method, or its name.
        price: Points of accuracy on the desirable task that the defence may cost, for methods that
            accept a price; it replaces the method's own weight.
        epochs: Passes over the data, instead of the method's default.
        seed: Seed of everything random.

    Raises:
        InputError: There is no such method, it has no price, or the network does not fit the
            tasks or cannot be wrapped.
    """
    tasks = TaskPair.require(tasks)
    chosen = _set_price(find_method(method), price)
    chosen = chosen if epochs is None else chosen.for_epochs(epochs)
    device = find_device_of(require_network(network))
    with on(device):
        trained = chosen.fit(network, tasks.to(device), seed=seed)
    given_back: Any = trained
    if not isinstance(network, Classifier):
        given_back = trained.unwrapped()
        remember_method(given_back, chosen)
    found: Network = given_back
    return found


def _set_price(method: Method, price: float | None) -> Method:
    if price is None:
        return method
    if not isinstance(price, int | float) or not 0 < price < math.inf:
        raise InputError("a price above 0 points", repr(price), "correct it, or leave it out")
    if not _has_price(type(method)):
        named = ", ".join(name for name, kind in METHODS.items() if _has_price(kind))
        raise InputError(
            f"a method that can be told its price: {named}",
            type(method).__name__,
            "leave the price out, or set the method's own weight",
        )
    changes: dict[str, Any] = {PRICE: price}
    return replace(method, **changes)


def _has_price(kind: type[Method]) -> bool:
    return any(part.name == PRICE for part in fields(kind))
