"""Recording a network on one batch: every call of a layer or a function, in order."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

OPENED = (
    nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel,
    nn.TransformerEncoder, nn.TransformerDecoder,
)  # fmt: skip
"""Modules of torch that are not layers themselves: the calls inside them are recorded."""
VALUES_OF_TENSORS = frozenset({
    "item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__", "__complex__",
    "__index__", "__contains__", "is_nonzero", "equal", "allclose",
})  # fmt: skip
"""Functions that turn a tensor's values into Python values, on which a program may branch."""
RANDOM = frozenset({
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli",
    "multinomial", "normal", "poisson", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "alpha_dropout", "feature_alpha_dropout", "feature_dropout", "rrelu", "gumbel_softmax",
    "bernoulli_", "uniform_", "normal_", "random_", "exponential_", "geometric_", "log_normal_",
    "cauchy_", "dropout_", "alpha_dropout_", "empty", "empty_like", "new_empty",
})  # fmt: skip
"""Functions whose results are random."""

Kind = Literal["input", "module", "function", "method", "attribute", "weight"]


class NotRecordableError(Exception):
    """A module's calls depend on the values of its inputs, or have derivatives of their own.

    Its argument is the dotted name of the module.
    """


@dataclass(frozen=True)
class Ref:
    """A reference to a tensor: the number of the call, and the path into its result."""

    call: int
    way: tuple[int | str, ...] = ()


@dataclass
class Call:
    """One call.

    Args:
        kind: Kind of the target; a `weight` is a parameter, buffer or constant of the network.
        target: Dotted name of a module or weight, name of a method or property, or a function.
        args: Arguments, in which a `Ref` stands for each tensor.
        kwargs: Arguments by name.
        path: Dotted name of the module that makes the call.
        shapes: Shape of each tensor in the result, by the path to it.
        on_input: Whether the result depends on the network's inputs, or on chance.
        writes: Whether it changes its first argument and returns nothing, as `x[0] = y`.
    """

    kind: Kind
    target: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    path: str = ""
    shapes: dict[tuple[int | str, ...], tuple[int, ...]] = field(default_factory=dict)
    on_input: bool = False
    writes: bool = False


@dataclass
class Recording:
    """The calls of a network for one batch.

    Args:
        calls: The calls, in order.
        outputs: What the network returns, with a `Ref` for each tensor.
        returned: What each module returned the last time it ran, by its dotted name.
    """

    calls: list[Call]
    outputs: Any
    returned: dict[str, Any]


def record(network: nn.Module, inputs: Tensor, closed: frozenset[str]) -> Recording:
    """Run a copy of a network in its present mode; return the recorded calls.

    Args:
        network: The network.
        inputs: A batch.
        closed: Dotted names of modules to record as one call, besides the layers of torch.

    Raises:
        NotRecordableError: A module branches on the values of a tensor, or has derivatives of its
            own; or the network cannot take the batch in this mode.
    """
    recorder = _Recorder(copy.deepcopy(network), closed)
    inputs = inputs.clone()
    recorder.add(Call("input", ""), inputs)
    with recorder.watch(), recorder, torch.enable_grad():
        try:
            outputs = recorder.network(inputs)
        except NotRecordableError:
            raise
        except Exception as error:  # it is the user's code, and may fail in train mode
            raise NotRecordableError("") from error
    return Recording(recorder.calls, recorder.refer(outputs), recorder.returned)


def map_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested arguments with a function applied to every value that is not a container."""
    if isinstance(value, torch.Size):
        value = tuple(value)
    if isinstance(value, tuple | list):
        mapped = [map_leaves(part, change) for part in value]
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*mapped)
        return tuple(mapped) if isinstance(value, tuple) else mapped
    if isinstance(value, Mapping):
        return {key: map_leaves(part, change) for key, part in value.items()}
    if isinstance(value, slice):
        return slice(*(map_leaves(part, change) for part in (value.start, value.stop, value.step)))
    return change(value)


def list_leaves(value: Any) -> list[Any]:
    """Return the values in nested arguments that are not containers."""
    found: list[Any] = []
    map_leaves(value, found.append)
    return found


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is recorded as one call: a layer of torch, or a subclass of one."""
    derived = any(
        base.__module__.startswith("torch.nn")
        for base in type(module).__mro__
        if base is not nn.Module
    )
    return derived and not isinstance(module, OPENED)


class _Recorder(TorchFunctionMode):
    """Records every call of a torch function, and every layer as one call."""

    def __init__(self, network: nn.Module, closed: frozenset[str]) -> None:
        super().__init__()
        self.network, self.closed = network, closed
        self.calls: list[Call] = []
        self.refs: dict[int, Ref] = {}
        self.differentiable: dict[int, bool] = {}
        self.alive: list[Tensor] = []  # kept alive, so that no `id` is used again
        self.stack: list[str] = []
        self.returned: dict[str, Any] = {}
        self.layer: nn.Module | None = None
        self.names = {id(value): name for name, value in network.named_parameters()}
        self.names |= {id(value): name for name, value in network.named_buffers()}
        for prefix, part in network.named_modules():
            for name, value in vars(part).items():
                if isinstance(value, Tensor):
                    self.names.setdefault(id(value), f"{prefix}.{name}".lstrip("."))

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Keep track of the running module; calls inside a layer are not recorded."""
        paths = {id(part): name for name, part in self.network.named_modules()}
        handles = []

        def enter(module: nn.Module, *_: Any) -> None:
            self.stack.append(paths[id(module)])
            if self.layer is None and (is_layer(module) or paths[id(module)] in self.closed):
                self.layer = module

        def leave(module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            path = self.stack.pop()
            if self.layer is module:
                self.add(self.call("module", path, args, kwargs), result)
                self.layer = None
            if self.layer is None:
                self.returned[path] = self.refer(result)

        for part in self.network.modules():
            # Our hooks run first and last, so that what other hooks compute belongs to the module.
            handles.append(part.register_forward_pre_hook(enter, prepend=True))
            handles.append(part.register_forward_hook(leave, with_kwargs=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Record the call of a function, unless it is a layer's."""
        kwargs = kwargs or {}
        if self.layer is not None:
            return function(*args, **kwargs)
        name = getattr(function, "__name__", "")
        if function is Tensor.__iter__:
            return iter(self.__torch_function__(Tensor.unbind, types, (args[0], 0)))
        if name == "__get__":
            value = function(*args)
            if isinstance(value, Tensor):
                self.add(self.call("attribute", function.__self__.__name__, args[:1], {}), value)
            return value
        # Replace the arguments by references first, because the function may change them.
        is_method = getattr(Tensor, name, None) is function
        call = self.call(*(("method", name) if is_method else ("function", function)), args, kwargs)
        if name in VALUES_OF_TENSORS and call.on_input:
            raise NotRecordableError(self.stack[-1])
        result = function(*args, **kwargs)
        if name == "__setitem__":
            call.writes = True
            self.add(call, args[0])
        elif any(isinstance(part, Tensor) for part in list_leaves(result)):
            self.add(call, result)
        return result

    def call(self, kind: Kind, target: Any, args: Any, kwargs: Any) -> Call:
        """Return a call with references in place of tensors."""
        args, kwargs = self.refer(args), self.refer(kwargs)
        name = target if isinstance(target, str) else target.__name__
        refs = [ref for ref in list_leaves((args, kwargs)) if isinstance(ref, Ref)]
        on_input = name in RANDOM or any(self.calls[ref.call].on_input for ref in refs)
        return Call(kind, target, args, kwargs, self.stack[-1] if self.stack else "", {}, on_input)

    def refer(self, value: Any) -> Any:
        """Return nested values with a reference in place of each tensor."""
        return map_leaves(value, self._refer)

    def add(self, call: Call, result: Any) -> None:
        """Add a call; from now on, the tensors in its result refer to it."""
        number = len(self.calls)
        call.on_input |= call.kind == "input"
        self.calls.append(call)

        def visit(value: Any, way: tuple[int | str, ...]) -> None:
            if isinstance(value, Tensor):
                self.alive.append(value)
                self.refs[id(value)] = Ref(number, way)
                self.differentiable[id(value)] = value.grad_fn is not None
                call.shapes[way] = tuple(value.shape)
            elif isinstance(value, tuple | list):
                for position, part in enumerate(value):
                    visit(part, (*way, position))
            elif isinstance(value, Mapping):
                for key, part in value.items():
                    visit(part, (*way, key))

        visit(result, ())

    def _refer(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        known = id(value) in self.refs
        computed = value.grad_fn is not None
        if computed and not (known and self.differentiable[id(value)]):
            # The tensor came from a function with derivatives of its own.
            where = self.calls[self.refs[id(value)].call].path if known else self.stack[-1]
            raise NotRecordableError(where)
        if not known:
            # The tensor was not computed: it is a weight, or a constant in the owner's code.
            self.add(Call("weight", self.names.get(id(value), value.detach())), value)
        return self.refs[id(value)]
