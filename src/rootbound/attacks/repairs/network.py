"""Looking into a network: its parts in order, its units, and their outputs."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from rootbound.attacks.tuning.partial import NORMS
from rootbound.data import Data
from rootbound.networks import Classifier
from rootbound.networks.layers import ACTIVATIONS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (*CONVOLUTIONS, nn.Linear)
"""Layers of weights whose rows are units."""
SAMPLES = 512
"""Largest number of inputs that repairs run the network on."""


def sample(data: Data, most: int = SAMPLES) -> Tensor:
    """Return inputs `(N, *shape)`, evenly spaced, as the network takes them."""
    return data.subset(most).batch(slice(None))[0]


def list_parts(module: nn.Module) -> list[nn.Module]:
    """Return a network's parts in the order in which it runs them.

    Sequences are opened. Any other module is one part, since its code may do anything with its own
    parts.
    """
    if type(module).forward is not nn.Sequential.forward:
        return [module]
    return [leaf for part in module.children() for leaf in list_parts(part)]


def replace_part(model: nn.Module, path: str, part: nn.Module) -> None:
    """Replace the part with this dotted name."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, part)


@contextlib.contextmanager
def keep_at_rest(model: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, without gradients; put it back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def observe(
    model: Classifier,
    inputs: Tensor,
    parts: Iterable[nn.Module],
    hook: Callable[[nn.Module, tuple[Tensor, ...], Tensor], None],
) -> None:
    """Run the backbone at rest; call a hook with each of the parts, its inputs and its outputs."""
    with contextlib.ExitStack() as hooks, keep_at_rest(model):
        for part in parts:
            hooks.callback(part.register_forward_hook(hook).remove)
        model.backbone(inputs)


def list_layers(model: Classifier, inputs: Tensor) -> list[tuple[nn.Module, nn.Module]]:
    """Return the backbone's layers in order of execution, each with its activation.

    A layer is a convolution, a linear map or a normalisation. If no activation follows it directly,
    it is paired with itself.
    """
    activations: dict[nn.Module, nn.Module] = {}
    latest: list[tuple[nn.Module, Tensor]] = []

    def after_layer(layer: nn.Module, _: object, outputs: Tensor) -> None:
        activations.setdefault(layer, layer)
        latest[:] = [(layer, outputs)]

    def before_activation(activation: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if latest and arguments[0] is latest[0][1] and activations[latest[0][0]] is latest[0][0]:
            activations[latest[0][0]] = activation

    with contextlib.ExitStack() as hooks, keep_at_rest(model):
        for part in model.backbone.modules():
            if _has_units(part):
                hooks.callback(part.register_forward_hook(after_layer).remove)
            elif isinstance(part, ACTIVATIONS):
                hooks.callback(part.register_forward_pre_hook(before_activation).remove)
        model.backbone(inputs)
    return list(activations.items())


def _has_units(part: nn.Module) -> bool:
    """Return whether a part is a layer whose parameters belong to one unit each."""
    several_axes = isinstance(part, nn.LayerNorm | nn.RMSNorm) and len(part.normalized_shape) > 1
    return isinstance(part, (*LAYERS, *NORMS)) and not several_axes


def count_executions(model: Classifier, inputs: Tensor) -> Counter[nn.Module]:
    """Return how often each part of the backbone is run for inputs `(N, *shape)`."""
    calls: Counter[nn.Module] = Counter()

    def count(part: nn.Module, _: object, __: object) -> None:
        calls[part] += 1

    observe(model, inputs, model.backbone.modules(), count)
    return calls


def compute_unit_outputs(
    model: Classifier, part: nn.Module, layer: nn.Module, inputs: Tensor
) -> Tensor:
    """Return the outputs of a part, `(M, units)`, a row for each sample and position.

    Args:
        model: The network.
        part: The layer, or the activation after it.
        layer: The layer of these units: they are its last dimension for a linear map, else the
            second.
        inputs: `(N, *shape)`.
    """
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: object, outputs: Tensor) -> None:
        # A copy, because an activation may work in place.
        seen.append(outputs.clone())

    observe(model, inputs, [part], keep)
    axis = -1 if isinstance(layer, nn.Linear | nn.LayerNorm | nn.RMSNorm) else 1
    return seen[0].movedim(axis, -1).flatten(0, -2)
