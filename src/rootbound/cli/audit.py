"""Attack a saved model beside fresh weights of its architecture, and report what that gains."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from rootbound import metrics
from rootbound.cli import options as shared
from rootbound.cli.networks import NetworkSource, resolve_network, resolve_transformers
from rootbound.cli.public import build_public, resolve_public
from rootbound.cli.report import present
from rootbound.cli.scaling import as_trained
from rootbound.cli.settings import RunSettings, resolve_settings
from rootbound.cli.tasks import resolve_tasks, resolve_undesirable
from rootbound.core import progress
from rootbound.core.errors import InputError
from rootbound.data import Tasks
from rootbound.evaluation import evaluate
from rootbound.methods import METHODS, Plain
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.records import Evaluation
from rootbound.report.doubts import scratch_doubts
from rootbound.report.headline import verdict


@dataclass(frozen=True)
class Options:
    """Options of `rootbound audit`."""

    checkpoint: str
    """Model file, folder of 'rootbound export', or OWNER/NAME on the Hugging Face hub; hf:NAME for
    a plain model of transformers, from a folder or the hub."""
    undefended: str | None = None
    """Model file of the same network trained without intervention, for comparison."""
    public: str | None = None
    """The best starting point that anyone can download: hf:NAME, a model file or OWNER/NAME, or
    file.py:function that returns a network with its weights. Advantages are then given over it,
    too, and the gate judges what the weights add to the stronger of it and random ones."""
    network: shared.NetworkOptions = shared.NetworkOptions()
    tasks: shared.TaskOptions = shared.TaskOptions()
    scaling: shared.ScalingOptions = shared.ScalingOptions()
    attack: shared.AttackOptions = shared.AttackOptions()
    minutes: float | None = None
    """Attack for about so long, in place of trying everything: each setting of the suite a little,
    those that win more and more, all arms alike. With more minutes an audit goes on."""
    fail_if_advantage_over: float | None = None
    """End with exit code 1 where the weights are worth more to an attacker than so many points over
    random ones, on average over seeds, with any number of labels."""
    folder: shared.FolderOptions = shared.FolderOptions()


@dataclass(frozen=True)
class Audit:
    """What is attacked and how, with nothing left open.

    Args:
        network: Where the model comes from.
        undefended: Where a model trained without intervention comes from, if there is one.
        public: Where the public model comes from, if there is one.
        tasks: Tasks, with inputs scaled as the network wants them.
        settings: How to attack, and where.
    """

    network: NetworkSource
    undefended: NetworkSource | None
    public: NetworkSource | None
    tasks: Tasks
    settings: RunSettings


def run(options: Options) -> int:
    """Attack the model, write the report, and say what it means; fail where that is asked for."""
    limit = options.fail_if_advantage_over
    if limit is not None and not math.isfinite(limit):
        raise InputError("a number of points", str(limit), "correct --fail-if-advantage-over")
    with progress.step("reading model and data"):
        audit = _resolve(options)
    origin, tasks, settings = audit.network.origin, audit.tasks, audit.settings
    # The name of a method in the file is all that is trusted: its settings are not read.
    made = Plain if origin is None else METHODS.get(origin.method.kind, Plain)
    evaluation = evaluate(
        audit.network.build(tasks),
        tasks,
        undefended=None if audit.undefended is None else audit.undefended.build(tasks),
        public=None if audit.public is None else build_public(audit.public, audit.network, tasks),
        adaptive=made().adaptive_attacks(),
        suite=settings.suite,
        seeds=settings.seeds,
        workers=settings.engine,
        folder=settings.folder,
    )
    present(evaluation, settings.folder)
    sys.stdout.write("\n".join(verdict(evaluation, "defended")) + "\n")
    return 0 if limit is None else _judge(evaluation, limit)


def _resolve(options: Options) -> Audit:
    """Return what the options describe, and where they are silent, the model's file."""
    settings = resolve_settings(options.attack, options.folder, options.minutes)
    network = _resolve_model(options, options.checkpoint)
    other = options.undefended
    undefended = None if other is None else _resolve_model(options, other)
    public = None if options.public is None else resolve_public(options.public, options.network)
    origin, texts = network.origin, (network.tokeniser, network.published)
    alone = resolve_undesirable(options.tasks, *texts) if origin is None else None
    source = alone or resolve_tasks(options.tasks, origin, *texts)
    known = source.has_second_of(origin)
    tasks = source.read(network.fit)
    tasks = as_trained(tasks, options.scaling, network.scaling, keep_second=known)
    return Audit(network, undefended, public, tasks, settings)


def _resolve_model(options: Options, path: str) -> NetworkSource:
    if path.startswith(PRETRAINED):
        return resolve_transformers(path)
    return resolve_network(options.network, path)


def _judge(evaluation: Evaluation, limit: float) -> int:
    """Return 1 where the worst advantage is over the limit, or was not measured.

    With a public model it is the advantage over the stronger of that and scratch, in each cell:
    what an attacker has without the weights.
    """
    standings = metrics.standings(evaluation)
    (standing,) = (standing for standing in standings if standing.method == "defended")
    worst = None if standing.marginal is None else standing.marginal.advantage.mean
    result = (
        "no advantage was measured" if worst is None else f"worst advantage {worst:+.2f} points"
    )
    if standing.worst is not None and standing.over_public is not None:
        result += (
            " over the stronger of random weights and the public model "
            f"({standing.worst.advantage.mean:+.2f} and "
            f"{standing.over_public.advantage.mean:+.2f} over each alone)"
        )
    is_valid = not scratch_doubts(evaluation)
    if not is_valid:
        result += ", but the comparison with scratch is not valid"
    passed = worst is not None and worst <= limit and is_valid
    sys.stdout.write(f"{'passed' if passed else 'failed'}: {result}, allowed {limit:g}\n")
    return 0 if passed else 1
