"""Attacking a model and returning the verdict on it, in one call."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from rootbound.api.adaptive import find_adaptive
from rootbound.api.load import load
from rootbound.api.verdict import Verdict
from rootbound.attacks import Attack
from rootbound.attacks.base import require_attacks
from rootbound.core import progress
from rootbound.core.errors import InputError
from rootbound.core.files import as_path
from rootbound.data import Scaling, Tasks
from rootbound.evaluation import evaluate
from rootbound.evaluation.attacker import count_labels
from rootbound.execution import Engine, make_engine
from rootbound.networks import Classifier
from rootbound.networks.given import find_device_of
from rootbound.networks.wrapping import require_network
from rootbound.publishing.checkpoint import UnknownNetwork
from rootbound.records import RunFolder
from rootbound.report.cells import in_words
from rootbound.report.settings import scaling_in_words
from rootbound.suites import Suite, find_suite

log = logging.getLogger(__name__)
Model = nn.Module | Path | str
"""A network; or the place of one: a model file, a published folder, or OWNER/NAME on the hub."""


@progress.shown("audit")
def audit(  # noqa: PLR0913  # all but three are named
    model: Model,
    tasks: Tasks,
    undefended: Model | None = None,
    *,
    public: Model | None = None,
    adaptive: Sequence[Attack] = (),
    suite: Suite | str = "quick-2",
    minutes: float | None = None,
    seeds: int | None = None,
    workers: int | Engine = 1,
    folder: Path | str | None = None,
) -> Verdict:
    """Attack a model beside random weights of its architecture, and say what its weights are worth.

    `verdict = rb.audit(model, tasks)`; then `print(verdict)`, `verdict.passes(limit=1)` and
    `verdict.report("page.html")`.

    Args:
        model: The model to attack: any `torch.nn.Module`, a `Classifier`, a model file, a published
            folder, or a name as `rb.load` takes it.
        tasks: The desirable and undesirable tasks, as `Dataset.split` makes them;
            `Tasks.alone(task)` if only the undesirable task is known.
        undefended: The same network trained without a defence, to see what the defence changes.
        public: The best starting point that anyone can download; the verdict is then about what the
            weights add to it.
        adaptive: Attacks that know the defence. Every arm meets them, besides those of the suite
            and those of the method by which `rb.defend` trained the model.
        suite: Attacks and budgets, or the name of a suite. In a suite given by name, budgets with
            more labels than the attacker has are left out, with a message.
        minutes: Approximate time for attacks, instead of trying everything.
        seeds: How many seeds of the attacker; if left out, the suite's default.
        workers: How many processes, on the model's device; or an engine, such as
            `rb.execution.Pool(2, device="cuda")`.
        folder: The folder of this run alone. An interrupted run continues there, and
            `rb.load(folder)` returns its verdict. Nothing is written if it is left out.

    Raises:
        InputError: A model cannot be loaded or does not fit the tasks, the suite is unknown, a
            number is not positive, or the folder holds another run.
    """
    tasks = Tasks.require(tasks)
    chosen = find_suite(suite)
    if isinstance(suite, str):
        chosen = _fit_budgets(chosen, tasks)
    path = None if folder is None else as_path(folder, "folder")
    network = _load_network(model)
    tasks = _scale_as_trained(tasks, network)
    evaluation = evaluate(
        _move_to_cpu(network),
        tasks,
        undefended=None if undefended is None else _move_to_cpu(_load_network(undefended)),
        public=None if public is None else _move_to_cpu(_load_network(public)),
        adaptive=(*find_adaptive(network), *require_attacks(adaptive, "adaptive")),
        suite=chosen if minutes is None else chosen.within(minutes),
        seeds=seeds,
        workers=make_engine(workers, str(find_device_of(network))),
        folder=None if path is None else RunFolder(path),
    )
    return Verdict(evaluation, path)


def _load_network(model: Model) -> nn.Module:
    if not isinstance(model, Path | str):
        return require_network(model)
    try:
        loaded = load(model)
    except UnknownNetwork:
        raise InputError(
            "a model whose file says which network it is",
            f"weights of another network at {model}",
            "load them into it with rb.load(path, network), and audit that",
        ) from None
    if isinstance(loaded, Verdict):
        raise InputError("a model", f"the run in {model}", "give the model that was attacked there")
    network: nn.Module = loaded
    return network


def _move_to_cpu(network: nn.Module) -> nn.Module:
    """Return the network, or a copy of it on the CPU, because engines move it to their device."""
    return network if find_device_of(network).type == "cpu" else copy.deepcopy(network).cpu()


def _fit_budgets(suite: Suite, tasks: Tasks) -> Suite:
    """Return a suite without the budgets for which the attacker has too few labels.

    If that leaves none, the attacker gets all of its labels.
    """
    fewest = count_labels(tasks.undesirable.train)
    kept = tuple(one for one in suite.budgets if one.labels is None or one.labels < fewest)
    if kept == suite.budgets:
        return suite
    kept = kept or (replace(suite.budgets[0], labels=None),)
    log.warning(
        "%s: the attacker has %d %s of an undesirable class, so that attacks get %s",
        suite.name, fewest, "sample" if fewest == 1 else "samples",
        " and ".join(in_words(budget.labels) for budget in kept),
    )  # fmt: skip
    return suite.with_budgets(kept)


def _scale_as_trained(tasks: Tasks, network: nn.Module) -> Tasks:
    """Return tasks with inputs scaled as in the model's training, if the model says how.

    Floating-point samples stay as they are, because the user has scaled them already.
    """
    origin = network.origin if isinstance(network, Classifier) else None
    samples = tasks.undesirable.train
    if origin is None or origin.scaling is None or samples.inputs.dtype != torch.uint8:
        return tasks
    means, deviations = zip(*origin.scaling.channels, strict=True)
    scaling = Scaling.stated(samples.scaling.divisor, means, deviations)
    if scaling.is_close(samples.scaling):
        return tasks
    scaled = tasks.rescaled(scaling)
    log.warning(
        "inputs are scaled as the model was trained (%s), not by the data's own (%s)",
        scaling_in_words(scaling.mean, scaling.deviation),
        scaling_in_words(samples.scaling.mean, samples.scaling.deviation),
    )
    return scaled
