"""Where tensors live, the processor or an accelerator, and how precisely training computes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError, unknown_name

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")

_precision = ContextVar("precision", default=PRECISIONS[0])


def find_device(name: str) -> torch.device:
    """Return the device of a name; for `auto`, an accelerator where there is one.

    Under `torchrun` each process of a machine has an accelerator of its own.

    Raises:
        InputError: there is no such device on this machine.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise unknown_name("device", name, DEVICES)
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        kind = name = next(one for one, found in there.items() if found)
    if not there[kind]:
        raise InputError(f"a machine with {kind}", "none here", "pass --device auto")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return torch.device(name)


def with_float64(device: torch.device) -> torch.device:
    """Return the device, or the processor in its place where it has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


@contextlib.contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Create every tensor there for which nothing else is said.

    So whoever writes a method or an attack need not think of devices. On the processor nothing
    is done: there it is so already, and every call of torch would become a little slower.

    Convolutions are computed in float32, as they are on the processor. torch's own default on a
    GPU, tensor float 32, has three digits: a network whose weights are badly conditioned loses what
    it can there, and attacks on it diverge, so that it would seem to resist. Those who
    want speed train in bfloat16.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with device:
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextlib.contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Let training compute in `float32`, or what gains by it in `bfloat16`; weights stay float32.

    Raises:
        InputError: another precision.
    """
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    before = _precision.set(precision)
    try:
        yield
    finally:
        _precision.reset(before)


def emulates_bfloat16(device: torch.device) -> bool:
    """Return whether the device has no instructions at all for that precision."""
    if device.type != "cpu":
        return False
    # What torch calls a processor of 2013 to 2020, and of many that are rented out since.
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def autocast() -> AbstractContextManager[object]:
    """Return what the loss of one step is computed in.

    Anew for each step: autocast keeps the weights that it has rounded until it is left.
    """
    if _precision.get() == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.get_default_device().type, torch.bfloat16)


@contextlib.contextmanager
def in_full(samples: Tensor) -> Iterator[Tensor]:
    """Yield a tensor in float32 or more, and compute so: under autocast, too.

    Half the digits do not keep a covariance positive definite, nor a norm or condition number.
    """
    with torch.autocast(samples.device.type, enabled=False):
        yield samples.float() if samples.dtype.itemsize < 4 else samples


def random_stream(seed: int) -> torch.Generator:
    """Return a generator for tensors of the device at hand."""
    return torch.Generator(torch.get_default_device()).manual_seed(seed)
