"""The calls of one block as a Python function."""

from __future__ import annotations

import functools
import keyword
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from rootbound.networks.blocks.cutting import find_needed, name_calls, name_target
from rootbound.networks.blocks.recording import Call, Ref
from rootbound.networks.blocks.trace import Size, Trace

ACTIVATIONS_BY_FUNCTION: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU, "selu": nn.SELU,
    "celu": nn.CELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish, "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softplus": nn.Softplus,
    "hardsigmoid": nn.Hardsigmoid,
}  # fmt: skip
"""Functions that are replaced by modules, so that attacks and methods find them."""


HOMES: dict[str, Any] = {
    "torch": torch,
    "functional": nn.functional,
    "builtin": torch._C._nn,
    "linalg": torch.linalg,
    "fft": torch.fft,
    "special": torch.special,
}
"""The modules that contain torch's functions, by their names in the generated code."""


class NotOfTheInputsError(Exception):
    """A tensor or a size cannot be computed from the inputs of the block."""


@dataclass
class BlockCode:
    """The source of a function of a block and its inputs, with the values that it names.

    Args:
        source: Source of the function `run(self, inputs)`.
        values: Objects that cannot be written as source, such as functions of another library, by
            their names in it.
        modules: Dotted names of the modules that it calls.
        weights: Dotted names of the weights that it reads.
        activations: Activations of its own, by name.
        constants: Tensors of its own, by name.
    """

    source: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    modules: list[str] = field(default_factory=list)
    weights: list[str] = field(default_factory=list)
    activations: dict[str, nn.Module] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)

    def compile(self) -> Callable[[nn.Module, Tensor], Tensor]:
        """Return the function."""
        scope = {**HOMES, **self.values}
        exec(_compile(self.source), scope)  # we wrote this source: it has names and numbers only
        function: Callable[[nn.Module, Tensor], Tensor] = scope["run"]
        return function


@functools.lru_cache(maxsize=4096)
def _compile(source: str) -> CodeType:
    return compile(source, "<block>", "exec")


def write_code(trace: Trace, start: Ref, end: Ref) -> BlockCode:
    """Return the calls that compute one tensor from another as a function.

    Raises:
        NotOfTheInputsError: They need another tensor, or a size that the first one does not have.
    """
    return _Writer(trace, start).write(end)


class _Writer:
    def __init__(self, trace: Trace, start: Ref) -> None:
        self.trace, self.start, self.code = trace, start, BlockCode()
        self.keys = name_calls(trace)
        self.writers: dict[type, Callable[[Any], str]] = {
            Ref: self.reference,
            Size: self.size,
            tuple: lambda values: f"({self.list_of(values)})",
            list: lambda values: f"[{self.list_of(values)}]",
            dict: self.mapping,
            slice: lambda cut: f"slice({self.list_of((cut.start, cut.stop, cut.step))})",
            int: repr,
            str: repr,
            type(None): repr,
            float: lambda number: repr(number) if math.isfinite(number) else f"float('{number}')",
            torch.device: lambda _: "inputs.device",  # the device may be another one later
            object: self.value,
        }

    def write(self, end: Ref) -> BlockCode:
        lines = ["def run(self, inputs):", "    network = self.network"]
        for number in find_needed(self.trace, [end], self.start.call + 1):
            call = self.trace.calls[number]
            lines += [f"    {line}" for line in self.statements(number, call)]
        lines.append(f"    return {self.argument(end)}")
        self.code.source = "\n".join(lines)
        return self.code

    def statements(self, number: int, call: Call) -> list[str]:
        """Return the lines of one call."""
        result = f"v{number}"
        if call.kind == "weight":
            return [f"{result} = {self.weight(number, call.target)}"]
        arguments = [self.argument(value) for value in call.args]
        if call.kind == "attribute":
            return [f"{result} = {arguments[0]}.{call.target}"]
        called = self.called(number, call)
        if called.startswith("self.activations"):
            return [f"{result} = {called}({arguments[0]})"]
        if call.kind == "method":
            called, *arguments = f"{arguments[0]}.{call.target}", *arguments[1:]
        arguments += [f"{name}={self.argument(value)}" for name, value in call.kwargs.items()]
        statement = f"{called}({', '.join(arguments)})"
        if call.writes:
            return [statement, f"{result} = {self.argument(call.args[0])}"]
        return [f"{result} = {statement}"]

    def called(self, number: int, call: Call) -> str:
        if call.kind == "module":
            if call.target not in self.code.modules:
                self.code.modules.append(call.target)
            return _write_attribute("network", call.target)
        name = name_target(call)
        if name in ACTIVATIONS_BY_FUNCTION and _has_plain_settings(call):
            path, _, count = self.keys[number]
            own = f"{path.replace('.', '_')}_{name}_{count}".lstrip("_")
            own = own if own.isidentifier() else f"in_{own}"  # modules of a sequence are numbers
            settings = ACTIVATIONS_BY_FUNCTION[name](*call.args[1:], **call.kwargs)
            self.code.activations[own] = settings
            return f"self.activations.{own}"
        return self.value(call.target) if call.kind == "function" else ""

    def weight(self, number: int, target: str | Tensor) -> str:
        if isinstance(target, Tensor):
            name = f"constant_{number}"
            self.code.constants[name] = target
            return f"self.{name}"
        if target not in self.code.weights:
            self.code.weights.append(target)
        return _write_attribute("network", target)

    def argument(self, value: Any) -> str:
        """Return the source of an argument."""
        kinds = (kind for kind in self.writers if isinstance(value, kind))
        return self.writers[next(kinds, object)](value)

    def reference(self, ref: Ref) -> str:
        """Return the name of a tensor."""
        if ref == self.start:
            return "inputs"
        if ref.call <= self.start.call and self.trace.calls[ref.call].on_input:
            raise NotOfTheInputsError
        return f"v{ref.call}" + "".join(f"[{step!r}]" for step in ref.way)

    def list_of(self, values: Iterable[Any]) -> str:
        """Return the source of several arguments, each followed by a comma."""
        return "".join(f"{self.argument(part)}, " for part in values)

    def mapping(self, values: Mapping[Any, Any]) -> str:
        """Return the source of a dictionary."""
        inner = (f"{key!r}: {self.argument(part)}, " for key, part in values.items())
        return f"{{{''.join(inner)}}}"

    def size(self, size: Size) -> str:
        """Return the source of a size, as a multiple of a side of the inputs or its sum."""
        sides = list(enumerate(zip(*self.trace.shapes(self.start), strict=True)))
        for axis, (first, second) in sides:
            if first != second and size.first * second == size.second * first:
                ratio = Fraction(size.first, first)
                times = "" if ratio.numerator == 1 else f" * {ratio.numerator}"
                return f"inputs.shape[{axis}]{times}" + (
                    "" if ratio.denominator == 1 else f" // {ratio.denominator}"
                )
        for axis, (first, second) in sides:
            if first != second and size.first - first == size.second - second:
                return f"inputs.shape[{axis}] + {size.first - first}"
        raise NotOfTheInputsError

    def value(self, value: Any) -> str:
        """Return the name of a value that cannot be written as source."""
        name = getattr(value, "__name__", repr(value).removeprefix("torch."))
        for home, module in HOMES.items():
            if getattr(module, name, None) is value:
                return f"{home}.{name}"
        name = f"value_{len(self.code.values)}"
        self.code.values[name] = value
        return name


def _has_plain_settings(call: Call) -> bool:
    """Return whether a call has one tensor, its first argument, and only plain settings besides.

    Otherwise, as with `out=`, no module does the same.
    """
    settings = (*call.args[1:], *call.kwargs.values())
    plain = all(isinstance(value, bool | int | float | str) for value in settings)
    return len(call.args) > 0 and plain and len(call.shapes) == 1


def _write_attribute(root: str, path: str) -> str:
    for step in path.split("."):
        named = step.isidentifier() and not keyword.iskeyword(step)
        root = f"{root}.{step}" if named else f"getattr({root}, {step!r})"
    return root
