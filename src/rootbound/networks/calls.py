"""Watching a forward pass: every tensor that a call of torch returns, whatever module calls it.

The ends of blocks say little about what happens within one. Calls are numbered in the order in
which a forward pass makes them. So a number names a tensor inside any network that makes the same
calls for all inputs.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode, resolve_name

Watcher = Callable[[int, str, Tensor], Tensor]
"""Takes a call's number, its name and a tensor that it returned, and returns a replacement."""


class Calls(TorchFunctionMode):
    """While it is entered, a function is called with every tensor that a call returns.

    Gradients follow the computation: what is detached, computed without gradients, or has a
    gradient of its own (`torch.autograd.Function`) is differentiated as it is computed.

    Args:
        watch: The function that is called with each tensor.
    """

    def __init__(self, watch: Watcher) -> None:
        super().__init__()
        self.watch = watch
        self.count = 0
        self.wants_gradients = True

    def __enter__(self) -> Calls:
        """Begin to count."""
        self._use_true_gradients = _use_true_gradients()
        self._use_true_gradients.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Restore everything."""
        super().__exit__(*problem)
        self._use_true_gradients.__exit__(*problem)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the function and pass what it returns to the watcher."""
        if function is torch._C._set_grad_enabled:
            self.wants_gradients = args[0]
            return None
        if _only_detaches(function, args):
            return args[0]
        changed = _find_changed(function, args, kwargs or {})
        counts = changed is not None and _is_counter(changed)
        # The gradient of a call may need what it returned, whatever takes its place.
        own = args if changed is None or counts else (changed.clone(), *args[1:])
        outputs = self._call(function, own, kwargs or {})
        # Calls of compiled code are visible only while operations are counted too: leave them out.
        if counts or isinstance(function, torch._ops.OpOverload):
            return outputs
        if isinstance(outputs, Tensor):
            shown = self._show(function, outputs)
            return shown if changed is None else self._call(Tensor.copy_, (changed, shown), {})
        if isinstance(outputs, list | tuple) and any(isinstance(one, Tensor) for one in outputs):
            return type(outputs)(
                self._show(function, one) if isinstance(one, Tensor) else one for one in outputs
            )
        return outputs

    def _call(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if function in (Tensor.numpy, Tensor.__array__):
            args = (args[0].detach(), *args[1:])
        try:
            return function(*args, **kwargs)
        except RuntimeError:
            # Weights may be changed in place, but not with gradients.
            if self.wants_gradients:
                raise
            with torch.no_grad():
                return function(*args, **kwargs)

    def _show(self, function: Callable[..., Any], tensor: Tensor) -> Tensor:
        number, self.count = self.count, self.count + 1
        name = resolve_name(function) or getattr(function, "__name__", "?")
        return self.watch(number, name, tensor)


def _only_detaches(function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Return whether a call only detaches its result from the graph."""
    if function in (Tensor.detach, torch.detach):
        return True
    is_data = function is Tensor.data.__get__  # type: ignore[attr-defined]
    # Code that changes weights uses their `data`.
    return is_data and args[0].grad_fn is not None


def _find_changed(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """Return the tensor that a call changes in place; None where it changes none."""
    if not args or not isinstance(args[0], Tensor):
        return None
    name = getattr(function, "__name__", "")
    if name.startswith("__"):
        changes = name.startswith("__i") and name not in ("__invert__", "__index__", "__int__")
    elif function in _INPLACE:
        position = _INPLACE[function]
        changes = kwargs.get("inplace", position < len(args) and args[position]) is True
    else:
        changes = name.endswith("_") and name not in _ONLY_LOOKS
    return args[0] if changes else None


def _is_counter(tensor: Tensor) -> bool:
    """Return whether a tensor is a single integer, with which a normalisation counts its batches.

    It counts only in train mode, so that later calls would have other numbers there.
    """
    return tensor.dim() == 0 and not tensor.is_floating_point() and tensor.dtype != torch.bool


_INPLACE = {
    function: list(inspect.signature(function).parameters).index("inplace")
    for function in vars(functional).values()
    if inspect.isfunction(function) and "inplace" in inspect.signature(function).parameters
}
"""Functions that can work in place, with the position of the parameter that says so."""
_ONLY_LOOKS = {
    "requires_grad_",
    "detach_",
    "share_memory_",
    "rename_",
    "set_",
    "resize_",
    "resize_as_",
    "as_strided_",
    "squeeze_",
    "unsqueeze_",
    "t_",
    "transpose_",
    "swapaxes_",
    "swapdims_",
}
"""Calls that change the view of a tensor, but none of its values."""


class _Context:
    """Stands in for the context of a function with its own gradient, and keeps nothing."""

    needs_input_grad = (True,) * 64

    def save_for_backward(self, *_: Any) -> None:
        """Keep nothing."""

    save_for_forward = mark_dirty = mark_non_differentiable = save_for_backward
    set_materialize_grads = save_for_backward


@contextlib.contextmanager
def _use_true_gradients() -> Iterator[None]:
    """Differentiate functions that have a gradient of their own by what they compute."""
    given = torch.autograd.Function.__dict__["apply"]

    def apply(kind: Any, *args: Any, **kwargs: Any) -> Any:
        has_context = kind.setup_context is torch.autograd.Function.setup_context
        return kind.forward(*([_Context()] if has_context else []), *args, **kwargs)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        torch.autograd.Function.apply = given  # type: ignore[method-assign]


@contextlib.contextmanager
def detach_buffers_afterwards(network: nn.Module) -> Iterator[None]:
    """Detach all buffers after a forward pass: running statistics are kept without gradients."""
    try:
        yield
    finally:
        for buffer in network.buffers():
            if buffer.grad_fn is not None:
                buffer.detach_()
