"""Weights that a layer computes from others before each call: normed, pruned, parametrized.

`torch.nn.utils` has two ways. A hook of the layer puts the computed weight where the layer looks
for it, a tensor that belongs to a graph: such a layer can be neither copied nor sent to another
process. A parametrization computes it when it is read: such a layer cannot be sent.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

Hook = WeightNorm | SpectralNorm | BasePruningMethod
POWER_ITERATIONS = 15
"""With which `torch` begins a spectral norm that is a parametrization."""


def settle(module: nn.Module) -> None:
    """Let a network be copied and sent: no tensor that it holds belongs to a graph.

    What hooks compute is computed once more, and what else a forward has left is detached.
    """
    for part in module.modules():
        for name, value in vars(part).items():
            # Most of what a module holds is neither, or empty.
            if isinstance(value, Tensor) or (type(value) in (list, tuple, dict) and value):
                vars(part)[name] = _detached(value)
        for hook in _hooks(part):
            with torch.no_grad():
                vars(part)[_name(hook)] = _compute(hook, part)


def let_be_sent(module: nn.Module) -> None:
    """Let the parametrized layers of a network pass to other processes."""
    for part in module.modules():
        if parametrize.is_parametrized(part):
            cast(Any, type(part)).__reduce__ = _reduce


def computed_names(part: nn.Module) -> list[str]:
    """Return the names of the weights that hooks of a layer compute."""
    return [_name(hook) for hook in _hooks(part)]


@contextlib.contextmanager
def drawing(part: nn.Module) -> Iterator[None]:
    """Let the layer draw its weights as if it computed none; then go back to what they come from.

    Raises:
        NotImplementedError: A parametrization has no inverse for what was drawn.
        ValueError: The same.
    """
    hooks, lists, own_class = _hooks(part), _parametrized(part), type(part)
    names = [*map(_name, hooks), *lists]
    with torch.no_grad():
        values = [getattr(part, name).detach().clone() for name in names]
    if lists:
        part.__class__ = own_class.__bases__[0]
    for name, value in zip(names, values, strict=True):
        vars(part).pop(name, None)
        part.register_parameter(name, nn.Parameter(value))
    try:
        yield
    finally:
        drawn = {}
        for name in names:
            value = part._parameters.pop(name)
            assert value is not None  # it was registered above
            drawn[name] = value.detach()
        part.__class__ = own_class
    with torch.no_grad():
        for hook in hooks:
            _go_back(hook, part, drawn[_name(hook)])
            vars(part)[_name(hook)] = _compute(hook, part)
        for name, parametrizations in lists.items():
            _invert(parametrizations, drawn[name])


def fold(module: nn.Module) -> nn.Module:
    """Make ordinary weights of those that layers compute, in place; return the network."""
    settle(module)
    for part in list(module.modules()):
        hooks, lists = _hooks(part), _parametrized(part)
        names = [*map(_name, hooks), *lists]
        with torch.no_grad():
            values = [getattr(part, name).detach().clone() for name in names]
        for hook in hooks:
            for source in _sources(hook):
                part._parameters.pop(source, None)
                part._buffers.pop(source, None)
        for key in [key for key, hook in part._forward_pre_hooks.items() if hook in hooks]:
            del part._forward_pre_hooks[key]
        if lists:
            # Not by torch's own function, which changes the class, and so the copies of the layer.
            part.__class__ = type(part).__bases__[0]
            del part.parametrizations
        for name, value in zip(names, values, strict=True):
            vars(part).pop(name, None)
            part.register_parameter(name, nn.Parameter(value))
    return module


def _detached(value: Any) -> Any:
    """Return a tensor without the graph that it belongs to; so of lists; all else as it is."""
    if isinstance(value, Tensor):
        return value if value.grad_fn is None else value.detach()
    if type(value) in (list, tuple):
        parts = [_detached(part) for part in value]
        same = all(one is other for one, other in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if type(value) is dict:
        pairs = {key: _detached(part) for key, part in value.items()}
        return value if all(pairs[key] is value[key] for key in value) else pairs
    return value


def _hooks(part: nn.Module) -> list[Hook]:
    return [hook for hook in part._forward_pre_hooks.values() if isinstance(hook, Hook)]


def _parametrized(part: nn.Module) -> dict[str, Any]:
    """Return by name the parametrizations that weights of a layer are computed with."""
    return dict(cast(Any, part.parametrizations)) if parametrize.is_parametrized(part) else {}


def _name(hook: Hook) -> str:
    """Return the name of the weight that a hook computes."""
    return str(hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name)


def _sources(hook: Hook) -> list[str]:
    """Return the names of parameters and buffers that a hook computes its weight from."""
    endings: tuple[str, ...]
    if isinstance(hook, WeightNorm):
        endings = ("_g", "_v")
    elif isinstance(hook, SpectralNorm):
        endings = ("_orig", "_u", "_v")
    else:
        endings = ("_orig", "_mask")
    return [f"{_name(hook)}{ending}" for ending in endings]


def _compute(hook: Hook, part: nn.Module) -> Tensor:
    if isinstance(hook, SpectralNorm):
        value: Tensor = hook.compute_weight(part, do_power_iteration=False)
    elif isinstance(hook, WeightNorm):
        value = hook.compute_weight(part)
    else:
        value = hook.apply_mask(part)
    return value.detach()


def _go_back(hook: Hook, part: nn.Module, value: Tensor) -> None:
    """Set what a hook computes its weight from, as for a new layer with that weight."""
    sources = [getattr(part, name) for name in _sources(hook)]
    if isinstance(hook, WeightNorm):
        length, direction = sources
        direction.copy_(value)
        length.copy_(torch.norm_except_dim(value, 2, hook.dim))
    elif isinstance(hook, SpectralNorm):
        original, *vectors = sources
        original.copy_(value)
        for vector in vectors:
            vector.copy_(functional.normalize(vector.normal_(), dim=0, eps=hook.eps))
        # A layer has its true norm after some batches only: until then its outputs may explode.
        for _ in range(POWER_ITERATIONS):
            hook.compute_weight(part, do_power_iteration=True)
    else:
        original, mask = sources
        original.copy_(value)
        mask.fill_(1)


def _invert(parametrizations: Any, value: Tensor) -> None:
    """Set what parametrizations compute a weight from, as `torch` does for a new layer."""
    wanted: Any = value
    for parametrization in reversed(parametrizations):
        # Where there is no inverse, torch begins with the weight itself.
        if hasattr(parametrization, "right_inverse"):
            wanted = parametrization.right_inverse(wanted)
        if isinstance(parametrization, _SpectralNorm) and hasattr(parametrization, "_u"):
            for vector in (parametrization._u, parametrization._v):
                vector.copy_(functional.normalize(vector.normal_(), dim=0, eps=parametrization.eps))
            matrix = parametrization._reshape_weight_to_matrix(wanted)
            parametrization._power_method(matrix, POWER_ITERATIONS)
    originals = [wanted] if isinstance(wanted, Tensor) else list(wanted)
    names = ["original"] if isinstance(wanted, Tensor) else []
    names = names or [f"original{position}" for position in range(len(originals))]
    for name, tensor in zip(names, originals, strict=True):
        target = getattr(parametrizations, name)
        if target.shape != tensor.shape:
            raise ValueError(f"{name} of another shape")
        target.copy_(tensor)


def _reduce(part: nn.Module) -> tuple[Callable[..., nn.Module], tuple[Any, ...]]:
    """Name the class that a parametrized layer had, which processes can import."""
    state = vars(part).copy()
    # Weight norms come with a hook that reads older names, and that is a local function of torch.
    hooks = state["_load_state_dict_pre_hooks"].items()
    local = "<locals>"
    state["_load_state_dict_pre_hooks"] = OrderedDict(
        (key, hook) for key, hook in hooks if local not in getattr(hook, "__qualname__", local)
    )
    return _parametrize_again, (type(part).__bases__[0], state)


def _parametrize_again(cls: type[nn.Module], state: dict[str, Any]) -> nn.Module:
    part = cls.__new__(cls)
    vars(part).update(state)
    parametrize._inject_new_class(part)
    for name in part.parametrizations:  # type: ignore[union-attr]
        parametrize._inject_property(part, str(name))
    let_be_sent(part)
    return part
