"""Attack a saved model beside random weights of its architecture, and report what that gains."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace

from rootbound.cli import options as shared
from rootbound.cli.gate import CODES, SHOWN_TO_HOLD, build_command_for_more
from rootbound.cli.networks import (
    NetworkSource,
    refuse_network,
    resolve_network,
    resolve_transformers,
)
from rootbound.cli.public import build_public, resolve_public
from rootbound.cli.report import present
from rootbound.cli.scaling import as_trained
from rootbound.cli.settings import RunSettings, refuse_inside, resolve_settings
from rootbound.cli.tasks import resolve_tasks, resolve_undesirable
from rootbound.core import progress
from rootbound.core.errors import InputError
from rootbound.data import Tasks
from rootbound.evaluation import evaluate
from rootbound.flags import flags
from rootbound.methods.known import find_adaptive_attacks
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.report.gate import in_a_sentence, judge
from rootbound.report.headline import describe_gains
from rootbound.suites.suite import MOST_DRAWS

EXAMPLES = (
    "rootbound audit defended.safetensors --undefended plain.safetensors --suite quick-2",
    "rootbound audit weights.pt --model net.py:network --data DATA --undesirable 5-9",
    "rootbound audit defended.safetensors --fail-if-advantage-over 1 --until-decided",
)


@dataclass(frozen=True)
class Options:
    """Options of `rootbound audit`."""

    checkpoint: str = field(
        metadata={
            "help": "Model file, folder of 'rootbound export', or OWNER/NAME on the Hugging Face "
            "hub; hf:NAME for a plain model of transformers, from a folder or the hub.",
            "brief": "model file, folder, OWNER/NAME, or hf:NAME",
        }
    )
    undefended: str | None = shared.option(
        "Model file of the same network trained without intervention, for comparison.",
        brief="the same network trained without a defence",
        metavar="MODEL",
    )
    public: str | None = shared.option(
        "The best starting point that anyone can download: hf:NAME, a model file or OWNER/NAME, or "
        "file.py:function that returns a network with its weights. Advantages are then given over "
        "it, too, and the gate judges what the weights add to the stronger of it and random ones.",
        brief="the best model that anyone can download",
        metavar="NAME",
    )
    network: shared.NetworkOptions = shared.NetworkOptions()
    tasks: shared.TaskOptions = shared.TaskOptions()
    scaling: shared.ScalingOptions = shared.ScalingOptions()
    attack: shared.AttackOptions = shared.AttackOptions()
    minutes: float | None = shared.option(
        "Attack for about this long, instead of trying everything: every setting of the suite "
        "gets few steps, and the best ones more, for all arms alike. With more minutes the same "
        "audit continues.",
        brief="end after about this many minutes",
        metavar="NUMBER",
    )
    fail_if_advantage_over: float | None = shared.option(
        "Judge whether the weights add at most so many points to what an attacker has without "
        "them, with any number of labels. Exit code 0: shown to hold; 1: shown not to hold; 3: "
        "undecided, and the last line says how many more draws of labels would be enough. Either "
        "of the first two is wrong in 2.5 % of cases at most.",
        brief="a gate: exit code 0 holds, 1 does not, 3 undecided",
        metavar="POINTS",
    )
    until_decided: bool = shared.option(
        "With --fail-if-advantage-over: add draws of labels, for all arms alike, until that is "
        "shown to hold or not. The error rates allow for every look.",
        default=False,
        brief="draw labels until the gate is decided",
    )
    draws: int | None = shared.option(
        f"With --until-decided: draws of labels for each seed, at most (default: {MOST_DRAWS}).",
        metavar="NUMBER",
    )
    folder: shared.FolderOptions = shared.FolderOptions()


@dataclass(frozen=True)
class Audit:
    """The models to attack and how, with all options resolved.

    Args:
        network: The source of the model.
        undefended: The source of a model trained without intervention, if there is one.
        public: The source of the public model, if there is one.
        tasks: Tasks, with inputs scaled for the network.
        settings: How to attack, and where.
    """

    network: NetworkSource
    undefended: NetworkSource | None
    public: NetworkSource | None
    tasks: Tasks
    settings: RunSettings


def run(options: Options) -> int:
    """Attack the model, write the report and print the verdict; return the gate's exit code."""
    limit = options.fail_if_advantage_over
    _check_gate(options)
    with progress.step("reading model and data"):
        audit = _resolve(options)
    origin, tasks, settings = audit.network.origin, audit.tasks, audit.settings
    evaluation = evaluate(
        audit.network.build(tasks),
        tasks,
        undefended=None if audit.undefended is None else audit.undefended.build(tasks),
        public=None if audit.public is None else build_public(audit.public, audit.network, tasks),
        adaptive=() if origin is None else find_adaptive_attacks(origin.method.kind),
        suite=settings.suite,
        seeds=settings.seeds,
        workers=settings.engine,
        folder=settings.folder,
    )
    judgement, command = None, ""
    if limit is not None:
        judgement = judge(evaluation, "defended", limit, flags(evaluation))
        command = build_command_for_more(evaluation, judgement, options.folder, settings.folder)
    present(evaluation, settings.folder, limit, command)
    lines = describe_gains(evaluation, "defended")
    if judgement is not None:
        lines.append(in_a_sentence(judgement, evaluation, command))
    sys.stdout.write("\n".join(lines) + "\n")
    return SHOWN_TO_HOLD if judgement is None else CODES[judgement.end]


def _check_gate(options: Options) -> None:
    """Raise an `InputError` if the options of the gate contradict each other."""
    limit = options.fail_if_advantage_over
    if limit is not None and not math.isfinite(limit):
        raise InputError("a number of points", str(limit), "correct --fail-if-advantage-over")
    if options.until_decided and limit is None:
        raise InputError(
            "--fail-if-advantage-over with --until-decided, which says what is to be decided",
            "none",
            "say how many points the weights may add",
        )
    if options.until_decided and options.minutes is not None:
        raise InputError("--until-decided or --minutes", "both", "leave one out")
    if options.draws is not None and not options.until_decided:
        raise InputError(
            "--draws with --until-decided", "--draws alone", "add that, or ask for more --seeds"
        )


def _resolve(options: Options) -> Audit:
    """Resolve the options; where they say nothing, the model's file decides."""
    settings = resolve_settings(options.attack, options.folder, options.minutes)
    if options.until_decided and (limit := options.fail_if_advantage_over) is not None:
        suite = settings.suite.until_decided(
            limit, MOST_DRAWS if options.draws is None else options.draws
        )
        settings = replace(settings, suite=suite)
    others = filter(None, (options.undefended, options.public))
    if all(path.startswith(PRETRAINED) for path in (options.checkpoint, *others)):
        refuse_network(options.network, options.checkpoint)
    network = _resolve_model(options, options.checkpoint)
    other = options.undefended
    undefended = None if other is None else _resolve_model(options, other)
    public = None if options.public is None else resolve_public(options.public, options.network)
    origin, texts = network.origin, (network.tokeniser, network.published)
    alone = resolve_undesirable(options.tasks, *texts) if origin is None else None
    source = alone or resolve_tasks(options.tasks, origin, *texts)
    refuse_inside(source, settings.folder)
    known = source.has_second_of(origin)
    tasks = source.read(network.fit)
    tasks = as_trained(tasks, options.scaling, network.scaling, keep_second=known)
    return Audit(network, undefended, public, tasks, settings)


def _resolve_model(options: Options, path: str) -> NetworkSource:
    if path.startswith(PRETRAINED):
        return resolve_transformers(path)
    return resolve_network(options.network, path)
