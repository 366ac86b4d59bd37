"""A device that differs from the processor in nothing but its name: python tests/elsewhere.py.

Its tensors are wrapped tensors of the processor; a computation that is given tensors of both is
refused, as an accelerator's would be. Trains and attacks, and compares with what the processor
finds.
"""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from rootbound.attacks import Attack, Budget, Repaired
from rootbound.attacks.repairs import Distil, SelfSupervise, SeparateClasses, TuneOnDesirable
from rootbound.core.devices import on
from rootbound.data import TaskPair
from rootbound.evaluation import Subject, attack
from rootbound.evaluation.attacker import AttackerResources
from rootbound.methods import BestResponse, Method, Plain, Schedule
from rootbound.networks import Classifier, shallow_cnn
from rootbound.records import Record
from rootbound.suites import SUITES, Suite
from rootbound.training import Recipe
from rootbound.training import loop as training
from toy import toy_dataset

NAME = "elsewhere"


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_setup_privateuseone_for_python_backend(NAME, _Backend())
LIBRARIES: list[torch.library.Library] = []
DEVICE = torch.device(NAME, 0)
BRIDGES = {"aten.copy_.default", "aten._copy_from.default", "aten._to_copy.default"}
"""What takes tensors from one device to the other; and what may be told places by the other."""
PLACES = {"aten.index.Tensor", "aten.index_put_.default", "aten._index_put_impl_.default"}


class Elsewhere(Tensor):
    """A tensor on the device."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.dtype, device=DEVICE,
            strides=held.stride(), storage_offset=held.storage_offset(),
        )  # fmt: skip
        made.held = held
        return made

    def tolist(self) -> Any:
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(op, *args, **(kwargs or {}))


def compute(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Do the device's work on the processor."""
    given = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    here = [one for one in given if not isinstance(one, Elsewhere) and one.dim()]
    there = {id(one.held): one for one in given if isinstance(one, Elsewhere)}
    name = str(op)
    if here and there and name not in BRIDGES | PLACES:
        raise RuntimeError(f"{name}: tensors of the processor and of the device")
    to_device = bool(there)
    if "device" in kwargs and kwargs["device"] is not None:
        to_device = torch.device(kwargs["device"]).type == NAME
        kwargs["device"] = torch.device("cpu")
    args, kwargs = pytree.tree_map_only(Elsewhere, lambda one: one.held, (args, kwargs))
    if name == "aten.convolution_backward_overrideable.default":
        gradient, inputs, weight, *rest = args
        found = torch.ops.aten.convolution_backward.default(
            gradient, inputs, weight, [weight.shape[0]], *rest
        )
    elif name == "aten.convolution_overrideable.default":
        found = torch.ops.aten.convolution.default(*args, **kwargs)
    else:
        found = op(*args, **kwargs)
    if name in BRIDGES and isinstance(args[0], Tensor) and name != "aten._to_copy.default":
        return there.get(id(args[0]), args[0])

    def wrapped(one: Tensor) -> Tensor:
        if not to_device:
            return one
        return there[id(one)] if id(one) in there else Elsewhere(one)

    return pytree.tree_map_only(Tensor, wrapped, found)


def trained(method: Method, tasks: TaskPair, device: torch.device) -> dict[str, Tensor]:
    """Return the weights that a method finds on a device, on the processor."""
    with on(device):
        model = shallow_cnn(3, (1, 16, 16)).to(device)
        fitted = method.fit(model, tasks.to(device))
    assert fitted.head.weight.device.type == device.type
    return {name: getattr(one, "held", one) for name, one in fitted.state_dict().items()}


def attacked(
    suite: Suite, model: Classifier, tasks: TaskPair, device: torch.device
) -> list[Record]:
    """Return the records of a suite on a device."""
    with on(device):
        there = tasks.to(device)
        copies = [copy.deepcopy(model).to(device) for _ in range(2)]
        holdings = AttackerResources(there.desirable.train, copies[1])
        return attack(Subject("defended", "it", 0, copies[0]), there.undesirable, suite, holdings)


def shortened(attack: Attack) -> Attack:
    """Return the attack; where its repair trains, with a few steps of it."""
    trained = TuneOnDesirable, SelfSupervise, SeparateClasses, Distil
    if isinstance(attack, Repaired) and isinstance(attack.repair, trained):
        return replace(attack, repair=replace(attack.repair, steps=3))
    return attack


def of_all_kinds() -> tuple[Attack, ...]:
    """Return attacks of all suites: one for each repair, and of those that differ in a number.

    A repair that trains takes a few steps: every operation is done by Python here.
    """
    every = [shortened(attack) for suite in SUITES.values() for attack in suite.attacks]
    kinds = {repr(one.repair if isinstance(one, Repaired) else one): one for one in every}
    return tuple(
        {re.sub(r"[\d.]+(e-?\d+)?", "#", kind): one for kind, one in kinds.items()}.values()
    )


def created(make: Any) -> Any:
    """Return a function that makes on the processor what this device cannot make, and moves it."""

    def made(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        place = torch.get_default_device() if device is None else torch.device(device)
        found: Tensor = make(*args, device="cpu", **kwargs).to(place)
        return found

    return made


def stand_in() -> None:
    """Register the device and its operations."""
    library = torch.library.Library("_", "IMPL")
    library.fallback(compute, "PrivateUse1")
    LIBRARIES.append(library)
    # What such a device has none of: a generator of its own, views in inference mode.
    training.make_generator = lambda seed: torch.Generator().manual_seed(seed)  # type: ignore[attr-defined]
    torch.inference_mode = torch.no_grad  # type: ignore[assignment,misc]
    torch.tensor, torch.eye = created(torch.tensor), created(torch.eye)


if __name__ == "__main__":
    torch.set_num_threads(1)
    stand_in()
    tasks, cpu = toy_dataset().split([0, 1, 2], [3, 4, 5]), torch.device("cpu")
    recipe = Recipe(epochs=1, batch_size=60)
    for method in (Plain(recipe), BestResponse(recipe, schedule=Schedule(finishing_steps=3))):
        here, there = trained(method, tasks, cpu), trained(method, tasks, DEVICE)
        for name, weights in here.items():
            torch.testing.assert_close(there[name], weights, rtol=0, atol=1e-3)
    model = Plain(recipe).fit(shallow_cnn(3, (1, 16, 16)), tasks)
    small = Suite("of all kinds", of_all_kinds(), (Budget(5, 4),))
    pairs = zip(*(attacked(small, model, tasks, one) for one in (cpu, DEVICE)), strict=True)
    for expected, found in pairs:
        assert found.error == expected.error, f"{found.attack}: {found.error}"
        if found.certificate or found.attack.kind == "RidgeHead":
            assert found.accuracy == expected.accuracy, found.attack
