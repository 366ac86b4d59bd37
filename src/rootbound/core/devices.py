"""Devices for tensors, the CPU or an accelerator, and the precision of training."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar

import torch
from torch import Tensor

from rootbound.core.errors import InputError, unknown_name_error

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")

_precision = ContextVar("precision", default=PRECISIONS[0])


def find_device(name: str) -> torch.device:
    """Return the device of a name; for `auto` an accelerator if there is one, else the CPU.

    Under `torchrun` each process of a machine has an accelerator of its own.

    Raises:
        InputError: There is no such device on this machine.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise unknown_name_error("device", name, DEVICES)
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if kind == "auto":
        kind = name = next(device for device, is_there in available.items() if is_there)
    if not available[kind]:
        raise InputError(f"a machine with {kind}", "none here", "pass `device` auto")
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    try:
        return torch.device(name)
    except RuntimeError:
        raise InputError(f"a number after {kind}:", repr(name), "correct `device`") from None


def with_float64(device: torch.device) -> torch.device:
    """Return the device, or the CPU if the device has no float64."""
    return torch.device("cpu") if device.type == "mps" else device


def set_seed(seed: int) -> None:
    """Seed torch's global streams, like `torch.manual_seed` but faster.

    For each kind of accelerator that is not initialised yet, that function records a stack trace,
    even if there is no accelerator. That takes longer than building a small network.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Create tensors on that device unless a call names another.

    So authors of methods and attacks need not think about devices. On the CPU this does nothing,
    because tensors are created there anyway and every call of torch would become a little slower.

    Convolutions are computed in float32, as on the CPU. Torch's default on a GPU, tensor float 32,
    has three digits. With these a network with badly conditioned weights loses accuracy, and
    attacks on it diverge, so that it would seem to resist. For speed, train in bfloat16.
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
    """Compute in `float32`, or in `bfloat16` where that helps; weights stay in float32.

    Raises:
        InputError: The precision is unknown.
    """
    if precision not in PRECISIONS:
        raise unknown_name_error("precision", precision, PRECISIONS)
    before = _precision.set(precision)
    try:
        yield
    finally:
        _precision.reset(before)


def emulates_bfloat16(device: torch.device) -> bool:
    """Return whether the device has no instructions for bfloat16."""
    if device.type != "cpu":
        return False
    # Torch's name for CPUs of 2013 to 2020, and for many in today's clouds.
    return torch.backends.cpu.get_cpu_capability() == "AVX2"


def autocast() -> AbstractContextManager[object]:
    """Return the context in which the loss of one step is computed.

    Each step needs a new one, because autocast keeps rounded weights until it ends.
    """
    if _precision.get() == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.get_default_device().type, torch.bfloat16)


@contextlib.contextmanager
def at_least_float32(samples: Tensor) -> Iterator[Tensor]:
    """Yield a tensor in float32 or more, and compute in that precision, also under autocast.

    In bfloat16 a covariance is not positive definite, and norms and condition numbers are wrong.
    """
    with torch.autocast(samples.device.type, enabled=False):
        yield samples.float() if samples.dtype.itemsize < 4 else samples


def make_generator(seed: int) -> torch.Generator:
    """Return a generator for tensors of the default device."""
    return torch.Generator(torch.get_default_device()).manual_seed(seed)
