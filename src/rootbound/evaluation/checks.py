"""Checks of a comparison that find mistakes before hours of work."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from rootbound.core.errors import InputError, take_first_line
from rootbound.data import Task, Tasks
from rootbound.datasets import holds_data
from rootbound.evaluation.attacker import count_labels
from rootbound.evaluation.contenders import Contender
from rootbound.networks import Classifier
from rootbound.networks.computed import list_computed_names
from rootbound.networks.freshness import check_random, is_pattern
from rootbound.networks.weights import check_finite, own_name
from rootbound.networks.wrapping import compute_outputs
from rootbound.records import RunFolder, has_spec, records_file
from rootbound.suites import Suite

PUBLIC_SAMPLES = 64
"""Samples that the public model is tried on: enough to meet tokens that it does not know."""


def check_comparison(contenders: Sequence[Contender], tasks: Tasks, suite: Suite) -> None:
    """Raise an `InputError` where a comparison could not succeed.

    Args:
        contenders: What is compared; the last is from scratch.
        tasks: What is desirable and what is not.
        suite: Attacks and budgets.
    """
    desirable, shape = tasks.desirable, tasks.undesirable.train.shape
    for contender in contenders:
        check_finite(contender.start, f"the network of {contender.name}")
        if contender.arm == "public":
            check_public(contender.start, tasks.undesirable)
            continue
        contender.start.check_inputs(shape)
        if desirable is not None and contender.start.classes != len(desirable.classes):
            raise InputError(
                f"a model with a head for {len(desirable.classes)} desirable classes",
                f"one for {contender.start.classes}",
                "build the model with that many classes",
            )
    check_random(*(contenders[-1].start.reinitialised(seed) for seed in (0, 1)))
    check_nothing_beside(contenders[-1].start, torch.ones(1, *shape))
    if suite.space is not None:
        suite.space.check()
    _check_labels(tasks.undesirable, suite, "undesirable")
    if suite.benign and tasks.benign is not None:
        _check_labels(tasks.benign, suite, "benign")


def _check_labels(task: Task, suite: Suite, role: str) -> None:
    """Raise an `InputError` where a budget asks for more labels of a task than there are."""
    fewest, rarest = count_labels(task.train), _name_rarest(task)
    for budget in suite.budgets:
        if budget.labels is not None and budget.labels >= fewest:
            raise InputError(
                f"fewer labels per class than the attacker's {fewest}{rarest}",
                str(budget.labels),
                f"ask for fewer or bring more {role} data",
            )


def refuse_data_folder(folder: RunFolder) -> None:
    """Raise an `InputError` where a new run would be written among the files of a data set."""
    holds_run = has_spec(folder.path) or records_file(folder.path).is_file()
    if not holds_run and holds_data(folder.path):
        raise InputError(
            "a folder for this run alone",
            f"{folder.path}, which holds a data set",
            "pass another `folder`",
        )


def check_public(model: Classifier, task: Task) -> None:
    """Raise an `InputError` where the public model cannot take the samples of the task.

    Args:
        model: The public model; its head may be for any classes.
        task: The undesirable task.
    """
    samples, _ = task.train.batch(slice(0, PUBLIC_SAMPLES))
    try:
        with torch.no_grad():
            copy.deepcopy(model).eval()(samples)
    except Exception as error:  # it is the user's code
        texts = task.train.tokens
        raise InputError(
            f"a public model that takes the {'texts' if texts else 'samples'} of {task.name}, of "
            f"shape {tuple(task.train.shape)}",
            f"one that fails on them ({take_first_line(error, 120)})",
            "take one with the tokeniser of the audited model"
            if texts
            else "wrap it in a network that makes them fit, and give that as `public`",
        ) from None
    compute_outputs(model, samples)


def _name_rarest(task: Task) -> str:
    """Return words that name the rarest class; nothing where all are equally frequent."""
    counts = task.train.labels.bincount()
    rarest = int(counts.argmin())
    is_other = task.train.stratified and int(counts[rarest]) < int(counts.max())
    return f" of {task.classes[rarest]}" if is_other else ""


def check_nothing_beside(model: Classifier, samples: Tensor) -> None:
    """Raise an `InputError` where a network computes with tensors that cannot be drawn anew.

    These are tensors that modules hold as plain attributes, neither parameters nor buffers, and
    that change the outputs. Regular patterns, and what the last forward pass left, do not count.

    Args:
        model: The network.
        samples: Inputs to run it with.
    """
    held = [name for name, value in _list_plain_tensors(model) if not is_pattern(value)]
    expected = compute_outputs(model, samples) if held else samples
    for name in held:
        changed = copy.deepcopy(model)
        dict(_list_plain_tensors(changed))[name].fill_(math.nan)
        outputs = compute_outputs(changed, samples)
        if not torch.allclose(outputs, expected, equal_nan=True):
            raise InputError(
                "random weights for a network from scratch",
                f"{name}, a tensor that is neither parameter nor buffer, as the given network "
                "has it",
                "register it as a parameter or a buffer, so that it can be drawn anew",
            )


def _list_plain_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield floating-point tensors that are plain attributes of modules and own their memory."""
    own = {value.data_ptr() for value in (*module.parameters(), *module.buffers())}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in list_computed_names(part):
                values = value if isinstance(value, list | tuple) else [value]
                for position, one in enumerate(values):
                    if isinstance(one, Tensor) and one.is_floating_point() and one.numel():
                        suffix = "" if one is value else f"[{position}]"
                        if one.data_ptr() not in own:
                            yield own_name(f"{path}.{name}{suffix}"), one
