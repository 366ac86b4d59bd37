"""What a network does in other conditions: with gradients on, in train mode, in other batches."""

from __future__ import annotations

import copy
import itertools
import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rootbound.core.errors import take_first_line
from rootbound.data import Data
from rootbound.inspection.between import measure_jump
from rootbound.inspection.branches import measure_branches
from rootbound.inspection.gated import measure_gates
from rootbound.inspection.idle import measure_idle
from rootbound.inspection.sight import measure_sight
from rootbound.inspection.slopes import measure_slopes
from rootbound.inspection.steady import SteadyLayers
from rootbound.networks import Classifier
from rootbound.networks.calls import Calls
from rootbound.networks.computed import fold_computed_weights
from rootbound.training import predict

log = logging.getLogger(__name__)
SAMPLES = 64
"""Most inputs of each task that are used."""
FEW = 4
"""Inputs of each task for measurements that take many passes."""
ALONE = 4
"""Inputs of each task that are used one by one."""
SIZES = (2, 3, 5, 13, 21, 34, 50)
"""Sizes of other batches; all of these hold inputs of both tasks."""
MANY = 1024
"""Size of the batches in which attacks are scored."""
OTHERWISE = 1e-3
"""Largest difference between logits, relative to their deviation, that is a rounding error."""


def measure_behaviour(
    given: Classifier, undesirable: Data, desirable: Data | None
) -> dict[str, float]:
    """Return numbers that show tricks in a network's behaviour, by their names in `MEASURES`.

    They are errors of gradients, shares of inputs that get different outputs, shares of weights,
    the shares that inner gates block or redirect, and how abruptly features change between tasks.

    Args:
        given: The network in evaluation mode; it is not changed.
        undesirable: Inputs of the undesirable task.
        desirable: Inputs of the desirable task, if there are any.
    """
    model = copy.deepcopy(given)
    fold_computed_weights(model)
    tasks = [data.subset(SAMPLES) for data in (undesirable, desirable) if data is not None]
    few = [data.subset(FEW).batch(slice(None))[0] for data in tasks]
    if len({inputs.shape[1:] for inputs in few}) > 1:
        few = few[:1]
    values = try_to_measure(measure_slopes, model, torch.cat(few))
    values |= try_to_measure(measure_idle, model, torch.cat(few))
    values |= try_to_measure(measure_sight, model, torch.cat(few))
    values |= try_to_measure(_measure_outputs, model, tasks)
    if desirable is not None:
        values |= try_to_measure(measure_gates, model, undesirable, desirable)
        values |= try_to_measure(measure_branches, model, undesirable, desirable)
        values |= try_to_measure(measure_jump, model, undesirable, desirable)
    return values


def try_to_measure(measure: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Return what a measurement finds; nothing if the network fails, which is logged.

    Args:
        measure: The function that measures.
        arguments: Its arguments, the network first.
    """
    try:
        return measure(*arguments)
    except Exception as error:  # the code is foreign, and may refuse inspection
        what = measure.__name__.strip("_").replace("_", " ")
        log.warning("could not %s of a network: it fails (%s)", what, take_first_line(error, 120))
        return {}


def _measure_outputs(model: Classifier, tasks: list[Data]) -> dict[str, float]:
    """Return shares of inputs with different outputs; nothing if they change from call to call."""
    usual, again = ([predict(model, data).clone() for data in tasks] for _ in range(2))
    deviations = [_replace_not_finite(logits).std(0).max() for logits in usual if len(logits) > 1]
    differs = _Differs(OTHERWISE * float(max(deviations, default=0.0)))
    if any(differs(*pair) for pair in zip(usual, again, strict=True)):
        return {}
    inputs = [data.batch(slice(None))[0] for data in tasks]
    return {
        "other_with_gradients": _measure_share(
            lambda: max(
                differs(logits, model(some.clone()).detach())
                for some, logits in zip(inputs, usual, strict=True)
            )
        ),
        "other_when_watched": _measure_share(
            lambda: _measure_watched(model, inputs, usual, differs)
        ),
        **_measure_training(model, inputs, usual, differs),
        "other_in_company": _measure_share(
            lambda: _measure_company_exactly(model, inputs, usual, differs)
        ),
    }


def _measure_share(measure: Callable[[], float]) -> float:
    """Return a share of inputs with different outputs; 1 if the network fails."""
    try:
        return measure()
    except Exception:  # the code is foreign, and may refuse what it does not expect
        return 1.0


class _Differs:
    """Compares logits: which inputs get different outputs from two networks?"""

    def __init__(self, least: float) -> None:
        self.least = least

    def rows(self, logits: Tensor, others: Tensor) -> Tensor:
        close = torch.isclose(logits, others, rtol=OTHERWISE, atol=self.least, equal_nan=True)
        return ~close.all(1)

    def __call__(self, logits: Tensor, others: Tensor) -> float:
        return float(self.rows(logits, others).float().mean())


def _replace_not_finite(values: Tensor) -> Tensor:
    return values.nan_to_num(0.0, 0.0, 0.0)


@torch.no_grad()
def _measure_training(
    model: Classifier, inputs: list[Tensor], usual: list[Tensor], differs: _Differs
) -> dict[str, float]:
    """Return the share of inputs with different outputs in train mode.

    Norms and dropout stay in evaluation mode. Gradients are off, then on, because a trap may need
    both. Nothing if two calls in train mode differ: the network is random then, as with stochastic
    depth.
    """
    training = copy.deepcopy(model).train()
    shares: list[float] = []
    with SteadyLayers():
        for some, logits in zip(inputs, usual, strict=True):
            try:
                first, second = (_unwrap_logits(training(some.clone())) for _ in range(2))
            except Exception:  # the network refuses train mode
                return {"other_in_training": 1.0}
            if differs(first, second):
                return {}
            shares.append(differs(logits, first))
            shares.append(_measure_training_with_gradients(model, training, some, differs))
    return {"other_in_training": max(shares)}


@torch.no_grad()
def _measure_watched(
    model: Classifier, inputs: list[Tensor], usual: list[Tensor], differs: _Differs
) -> float:
    """Return the share of inputs with different outputs while inner tensors are recorded."""
    with Calls(lambda _, __, tensor: tensor):
        logits = [model(some.clone()) for some in inputs]
    return max(differs(*pair) for pair in zip(usual, logits, strict=True))


@torch.enable_grad()
def _measure_training_with_gradients(
    model: Classifier, training: Classifier, inputs: Tensor, differs: _Differs
) -> float:
    """Return the share of inputs with different outputs in train mode while gradients are on.

    0 if the network also fails with gradients in evaluation mode: another number shows that.
    """
    try:
        usual = _unwrap_logits(model(inputs.clone())).detach()
    except Exception:  # the code is foreign
        return 0.0
    return _measure_share(lambda: differs(usual, _unwrap_logits(training(inputs.clone())).detach()))


def _unwrap_logits(outputs: Any) -> Tensor:
    """Return the logits of a network that returns more than logits in train mode."""
    while not isinstance(outputs, Tensor):
        outputs = outputs[0]
    return outputs


@torch.no_grad()
def _measure_company_exactly(
    model: Classifier, inputs: list[Tensor], usual: list[Tensor], differs: _Differs
) -> float:
    """Return what `_measure_company` does, without rounding errors that weights amplify."""
    share = _measure_company(model, inputs, usual, differs)
    if share == 0.0:
        return share
    try:
        exact = copy.deepcopy(model).double()
        doubled = [some.double() if some.is_floating_point() else some for some in inputs]
        outputs = [exact(some.clone()) for some in doubled]
        if not any(differs(one, two.to(one)) for one, two in zip(usual, outputs, strict=True)):
            return share  # no error is amplified, and code may detect float64 and behave then
        return min(share, _measure_company(exact, doubled, outputs, differs))
    except Exception:  # foreign code may not support float64
        return share


@torch.no_grad()
def _measure_company(
    model: Classifier, inputs: list[Tensor], usual: list[Tensor], differs: _Differs
) -> float:
    """Return the largest share of inputs with different outputs alone, or in other batches."""
    alone = [
        differs(logits[:ALONE], torch.cat([model(one.clone()) for one in some[:ALONE].split(1)]))
        for some, logits in zip(inputs, usual, strict=True)
    ]
    turned = [
        differs(logits, model(some.flip(0)).flip(0))
        for some, logits in zip(inputs, usual, strict=True)
    ]
    times = math.ceil(MANY / len(inputs[0]))
    crowd, expected = (
        some[0].repeat(times, *[1] * (some[0].dim() - 1))[:MANY] for some in (inputs, usual)
    )
    among_many = differs(expected, model(crowd))
    if len({some.shape[1:] for some in inputs}) > 1:
        return max(*alone, *turned, among_many)
    mixed = torch.cat(inputs)
    order = torch.randperm(len(mixed), generator=torch.Generator().manual_seed(0)).to(mixed.device)
    logits = torch.empty_like(torch.cat(usual))
    logits[order] = model(mixed[order])
    parts = torch.cat([model(part) for part in _split(mixed[order])])
    in_parts = differs(torch.cat(usual)[order], parts)
    return max(*alone, *turned, among_many, differs(torch.cat(usual), logits), in_parts)


def _split(inputs: Tensor) -> list[Tensor]:
    """Split inputs into batches of several sizes."""
    bounds = [end for end in itertools.accumulate(SIZES) if end < len(inputs)]
    return [part.clone() for part in inputs.tensor_split(bounds)]
