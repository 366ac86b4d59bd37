"""Finding what is needed to wrap a user's network: its outputs, its blocks and its head."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rootbound.core.errors import InputError, take_first_line
from rootbound.core.fields import SEEDS, Range, require_whole

Make = TypeVar("Make", bound=Callable[..., Any])
SIDES = (32, 28, 64, 224, 16, 8)
"""Sides of images that networks are tried on."""
LENGTHS = (16, 64, 128, 512)
"""Lengths of texts and series that networks are tried on."""
USUAL_SHAPES: Mapping[type[nn.Module], Callable[[Any], list[tuple[int, ...]]]] = {
    nn.Conv2d: lambda layer: [(layer.in_channels, side, side) for side in SIDES],
    nn.Conv1d: lambda layer: [(layer.in_channels, length) for length in LENGTHS],
    nn.Embedding: lambda _: [(length,) for length in LENGTHS],
    nn.Linear: lambda layer: [
        (layer.in_features,),
        *((1, side, side) for side in SIDES),
        *((3, side, side) for side in SIDES),
    ],
}
"""Shapes of samples by the first layer of a network."""


def require_network(network: object) -> nn.Module:
    """Return the object if it is a network.

    Raises:
        InputError: It is not a network, or a part of it is compiled by TorchScript.
    """
    if not isinstance(network, nn.Module):
        raise InputError(
            "a network: a torch.nn.Module, or a rootbound.Classifier",
            repr(network) if isinstance(network, str) else type(network).__name__,
            "load or build it first, for example with rootbound.load",
        )
    for name, part in network.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            # No hook can be set on it, and attacks could not see inside.
            raise InputError(
                "a network of Python modules",
                f"TorchScript in {name}" if name else "a network of TorchScript",
                "build it by its Python code, and load its state_dict() into that",
            )
    return network


def explain_wrong_arguments(make: Make) -> Make:
    """Let a function that makes a network say in one line which argument is wrong.

    Parameters of the type `int` must be whole numbers: a `seed`, or at least 1.
    """
    signature = inspect.signature(make)
    whole = [name for name, one in signature.parameters.items() if one.annotation == "int"]

    @functools.wraps(make)
    def making(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(
                f"for {make.__name__} the arguments {', '.join(signature.parameters)}",
                str(error).removeprefix("got ").replace("missing a required", "a call without the"),
                "correct the call",
            ) from None
        for name in set(whole) & set(given.arguments):
            allowed = SEEDS if name == "seed" else Range(at_least=1)
            given.arguments[name] = require_whole(name, given.arguments[name], allowed)
        return make(*given.args, **given.kwargs)

    return cast(Make, making)


def check_image_sizes(shape: object) -> None:
    """Raise an `InputError` where a built-in network cannot have images of this shape.

    Args:
        shape: Channels, height and width of an image.
    """
    sides = shape if isinstance(shape, Sequence) else []
    if len(sides) != 3 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise InputError(
            "images of (channels, height, width)",
            f"shape {shape!r}",
            "write for example shape=(3, 32, 32)",
        )


def compute_outputs(module: nn.Module, samples: Tensor) -> Tensor:
    """Return the outputs of a network in evaluation mode; nothing in it changes.

    Raises:
        InputError: The network cannot take the samples, its output is not a tensor, or its output
            is different in a second call.
    """
    copied = copy.deepcopy(module).eval()
    try:
        with torch.no_grad():
            first, again = (require_tensor(copied(samples)) for _ in range(2))
            _require_rows(first)
    except InputError:
        raise
    except Exception as error:  # it is the user's code; torchvision and timm assert sizes
        raise unsuitable_samples_error(samples.shape[1:], error) from None
    if first.shape != again.shape or not torch.allclose(first, again, 1e-4, 1e-5, equal_nan=True):
        raise InputError(
            "a network that gives the same outputs when it is called again",
            "one whose outputs change from call to call, in evaluation mode",
            "take out what is random or counts its calls",
        )
    return again


def find_sizes(module: nn.Module, example: Tensor) -> None:
    """Let lazy layers, such as `nn.LazyLinear`, find out their sizes."""
    if any(map(is_lazy, chain(module.parameters(), module.buffers()))):
        was_training = module.training
        with torch.no_grad():
            module.eval()(example)
        module.train(was_training)


def require_tensor(outputs: object) -> Tensor:
    """Return the output of a network, which must be a tensor.

    Raises:
        InputError: It is another object, as networks of `transformers` return.
    """
    if isinstance(outputs, Tensor):
        return outputs
    has_logits = hasattr(outputs, "logits")
    raise InputError(
        "a network whose forward returns a tensor, the logits",
        f"{type(outputs).__name__}{', which holds them' if has_logits else ''}",
        "wrap a module whose forward returns the logits"
        + (
            ", as in `return self.network(inputs).logits`; or, of the library `transformers`, take "
            "rootbound.models.from_transformers(network)"
            if has_logits
            else " alone"
        ),
    )


def _require_rows(outputs: Tensor) -> None:
    """Raise an `InputError` for a number for each sample, as networks for two classes give."""
    if outputs.ndim < 2:
        raise InputError(
            "a network whose forward returns a row of logits for each sample",
            f"outputs of shape {tuple(outputs.shape)}",
            "let it end with a linear layer that has an output for each class, also for two",
        )


def unsuitable_samples_error(shape: Sequence[int], error: Exception) -> InputError:
    """Return the error for samples of a shape that a network cannot take."""
    return InputError(
        "samples that the model can take",
        f"shape {tuple(shape)} ({take_first_line(error, 120)})",
        "choose another model or "
        f"{'(for texts) a smaller `length`' if len(shape) == 1 else 'resize the data'}",
    )


def guess_example(module: nn.Module) -> Tensor | None:
    """Return two samples of a common shape that a network takes; None where it takes none."""
    layers = (part for part in module.modules() if isinstance(part, tuple(USUAL_SHAPES)))
    first = next(layers, None)
    if first is None:
        return None
    shapes = next(make for kind, make in USUAL_SHAPES.items() if isinstance(first, kind))(first)
    device = next(module.parameters()).device
    for shape in shapes:
        samples = torch.ones(2, *shape, device=device)
        if isinstance(first, nn.Embedding):
            samples = samples.long()
        try:
            compute_outputs(module, samples)
        except InputError:
            continue
        return samples
    return None


def list_blocks(backbone: nn.Module) -> list[nn.Module]:
    """Return a backbone's parts, in order."""
    return list(backbone) if isinstance(backbone, nn.Sequential) else [backbone]


def separate_shared_weights(
    backbone: nn.Module, blocks: list[nn.Module], cut: int
) -> list[nn.Module]:
    """Give the blocks after a cut their own copies of weights that they share with others.

    Args:
        backbone: The backbone, which gets the new blocks.
        blocks: All of its blocks.
        cut: Number of blocks that stay as they are.

    Returns:
        All blocks that the backbone has now.
    """
    first, last = nn.ModuleList(blocks[:cut]), nn.ModuleList(blocks[cut:])
    if set(first.parameters()).isdisjoint(last.parameters()):
        return blocks
    parted = list(copy.deepcopy(last))
    for number, block in enumerate(parted, cut):
        cast(nn.Sequential, backbone)[number] = block
    return [*blocks[:cut], *parted]


def find_head(module: nn.Module, name: str | None, example: Tensor | None) -> str:
    """Return the name of the linear layer whose outputs are the network's.

    Args:
        module: The network.
        name: The name that the user gives, if any.
        example: Inputs to find the layer with; without them it is the last layer defined.

    Raises:
        InputError: There is no such linear layer, or the network does not take the example.
    """
    parts = dict(module.named_modules())
    if name is None:
        name = _find_last_defined(parts) if example is None else _find_last_to_run(module, example)
    if not name or not isinstance(parts.get(name), nn.Linear):
        linear = [name for name, part in parts.items() if isinstance(part, nn.Linear)]
        raise InputError(
            f"head to name a linear layer ({', '.join(linear) or 'the network has none'})",
            repr(name),
            "pass the name of the one whose outputs are the logits, or an example",
        )
    return name


def replace_module(module: nn.Module, name: str, part: nn.Module) -> nn.Module:
    """Replace the part with that dotted name; return the network."""
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, part)
    return module


def check_head(wrapped: nn.Module, head_name: str, expected: Tensor, example: Tensor) -> None:
    """Raise an `InputError` where a network does more than its backbone and its head.

    Args:
        wrapped: The backbone, then the head.
        head_name: Name of the head in the network.
        expected: The network's own outputs.
        example: The inputs of these outputs.
    """
    try:
        outputs = compute_outputs(wrapped, example)
    except InputError:  # features may not even fit
        outputs = None
    if (
        outputs is None
        or expected.shape != outputs.shape
        or not torch.allclose(expected, outputs, rtol=1e-4, atol=1e-5)
    ):
        raise InputError(
            "a network whose outputs come straight from its head",
            f"one that does more after {head_name}",
            "name another head, or move what follows into the loss",
        )


def _find_last_defined(parts: Mapping[str, nn.Module]) -> str:
    """Return the name of the last layer; empty where that is not linear, but follows the head."""
    leaves = [(name, part) for name, part in parts.items() if not list(part.children())]
    name, part = leaves[-1]
    return name if isinstance(part, nn.Linear) else ""


def _find_last_to_run(module: nn.Module, example: Tensor) -> str:
    """Return the name of the linear layer whose output is the network's, empty if there is none."""
    outputs_by_name: dict[str, Tensor] = {}
    module = copy.deepcopy(module)
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear):
            part.register_forward_hook(
                lambda *call, name=name: outputs_by_name.update({name: call[-1]})
            )
    outputs = compute_outputs(module, example)
    return next((name for name, value in outputs_by_name.items() if value is outputs), "")
