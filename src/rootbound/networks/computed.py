"""Weights that a layer computes from others before each call: normed, pruned, parametrized.

`torch.nn.utils` has two ways. A hook of the layer stores the computed weight as a plain attribute,
a tensor that belongs to a graph: such a layer can be neither copied nor sent to another process. A
parametrization computes the weight when it is read: such a layer cannot be sent.
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
"""Power iterations with which `torch` initialises a spectral norm that is a parametrization."""


def detach_tensors(module: nn.Module) -> None:
    """Make a network fit for copying and sending: detach all its tensors from graphs.

    Weights of hooks are computed again, and other tensors that a forward pass left are detached.
    """
    for part in module.modules():
        for name, value in vars(part).items():
            # Most attributes of a module are neither, or empty.
            if isinstance(value, Tensor) or (type(value) in (list, tuple, dict) and value):
                vars(part)[name] = _detach(value)
        for hook in _list_hooks(part):
            with torch.no_grad():
                vars(part)[_name_weight(hook)] = _compute(hook, part)


def make_picklable(module: nn.Module) -> None:
    """Make the parametrized layers of a network picklable, to send them to other processes."""
    for part in module.modules():
        if parametrize.is_parametrized(part):
            cast(Any, type(part)).__reduce__ = _reduce


def list_computed_names(part: nn.Module) -> list[str]:
    """Return the names of the weights that hooks of a layer compute."""
    return [_name_weight(hook) for hook in _list_hooks(part)]


@contextlib.contextmanager
def draw_plain_weights(part: nn.Module) -> Iterator[None]:
    """Let a layer draw ordinary weights; then set what it computes them from accordingly.

    Raises:
        NotImplementedError: A parametrization has no inverse for the drawn weight.
        ValueError: As above.
    """
    hooks, lists, own_class = _list_hooks(part), _list_parametrizations(part), type(part)
    names = [*map(_name_weight, hooks), *lists]
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
            _set_sources(hook, part, drawn[_name_weight(hook)])
            vars(part)[_name_weight(hook)] = _compute(hook, part)
        for name, parametrizations in lists.items():
            _invert(parametrizations, drawn[name])


def fold_computed_weights(module: nn.Module) -> nn.Module:
    """Turn computed weights into ordinary ones, in place; return the network."""
    detach_tensors(module)
    for part in list(module.modules()):
        hooks, lists = _list_hooks(part), _list_parametrizations(part)
        names = [*map(_name_weight, hooks), *lists]
        with torch.no_grad():
            values = [getattr(part, name).detach().clone() for name in names]
        for hook in hooks:
            for source in _name_sources(hook):
                part._parameters.pop(source, None)
                part._buffers.pop(source, None)
        for key in [key for key, hook in part._forward_pre_hooks.items() if hook in hooks]:
            del part._forward_pre_hooks[key]
        if lists:
            # Torch's own function would change the class, and so all copies of the layer.
            part.__class__ = type(part).__bases__[0]
            del part.parametrizations
        for name, value in zip(names, values, strict=True):
            vars(part).pop(name, None)
            part.register_parameter(name, nn.Parameter(value))
    return module


def _detach(value: Any) -> Any:
    """Return a tensor, or a list of them, without its graph; anything else as it is."""
    if isinstance(value, Tensor):
        return value if value.grad_fn is None else value.detach()
    if type(value) in (list, tuple):
        parts = [_detach(part) for part in value]
        same = all(one is other for one, other in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if type(value) is dict:
        pairs = {key: _detach(part) for key, part in value.items()}
        return value if all(pairs[key] is value[key] for key in value) else pairs
    return value


def _list_hooks(part: nn.Module) -> list[Hook]:
    return [hook for hook in part._forward_pre_hooks.values() if isinstance(hook, Hook)]


def _list_parametrizations(part: nn.Module) -> dict[str, Any]:
    """Return by name the parametrizations that weights of a layer are computed with."""
    return dict(cast(Any, part.parametrizations)) if parametrize.is_parametrized(part) else {}


def _name_weight(hook: Hook) -> str:
    """Return the name of the weight that a hook computes."""
    return str(hook._tensor_name if isinstance(hook, BasePruningMethod) else hook.name)


def _name_sources(hook: Hook) -> list[str]:
    """Return the names of parameters and buffers that a hook computes its weight from."""
    endings: tuple[str, ...]
    if isinstance(hook, WeightNorm):
        endings = ("_g", "_v")
    elif isinstance(hook, SpectralNorm):
        endings = ("_orig", "_u", "_v")
    else:
        endings = ("_orig", "_mask")
    return [f"{_name_weight(hook)}{ending}" for ending in endings]


def _compute(hook: Hook, part: nn.Module) -> Tensor:
    if isinstance(hook, SpectralNorm):
        value: Tensor = hook.compute_weight(part, do_power_iteration=False)
    elif isinstance(hook, WeightNorm):
        value = hook.compute_weight(part)
    else:
        value = hook.apply_mask(part)
    return value.detach()


def _set_sources(hook: Hook, part: nn.Module, value: Tensor) -> None:
    """Set what a hook computes its weight from, as for a new layer with that weight."""
    sources = [getattr(part, name) for name in _name_sources(hook)]
    if isinstance(hook, WeightNorm):
        length, direction = sources
        direction.copy_(value)
        length.copy_(torch.norm_except_dim(value, 2, hook.dim))
    elif isinstance(hook, SpectralNorm):
        original, *vectors = sources
        original.copy_(value)
        for vector in vectors:
            vector.copy_(functional.normalize(vector.normal_(), dim=0, eps=hook.eps))
        # The norm is only exact after some batches; until then outputs may explode.
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
        # Without an inverse, torch starts from the weight itself.
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
            raise ValueError(f"{name} has another shape")
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
    make_picklable(part)
    return part
