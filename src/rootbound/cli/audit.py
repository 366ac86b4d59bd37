"""Attack a saved model beside fresh weights of its architecture, and report what that gains."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound import metrics
from rootbound.cli import options as shared
from rootbound.cli.described import settle_tasks
from rootbound.cli.networks import (
    ONE_OF,
    add_head,
    fit_to,
    is_own,
    named_network,
    own_network,
)
from rootbound.cli.result import present
from rootbound.cli.scaling import add_scaling, as_trained
from rootbound.cli.tasks import add_tasks, read_tasks, read_undesirable
from rootbound.core.errors import InputError
from rootbound.data import Tasks
from rootbound.evaluation import evaluate
from rootbound.methods import METHODS, Plain
from rootbound.networks import Classifier
from rootbound.networks.hugging_face import PRETRAINED
from rootbound.networks.registry import read_architecture
from rootbound.publishing import Origin, load_checkpoint
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.hub import WEIGHTS
from rootbound.publishing.published import TOKENISER, find_weights, load_transformers
from rootbound.records import Evaluation
from rootbound.report.verdict import verdict

OUT = "rootbound-audit"


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "checkpoint", type=str,
        help="model file, folder of 'rootbound export', or OWNER/NAME on the Hugging Face hub; "
        "hf:NAME for a plain model of transformers, from a folder or the hub",
    )  # fmt: skip
    parser.add_argument(
        "--undefended", type=str, default=None,
        help="model file of the same network trained without intervention, for comparison",
    )  # fmt: skip
    parser.add_argument(
        "--model", type=str, default=None,
        help="where the files hold weights alone (safetensors, or PyTorch's without code): the "
        f"network, as {ONE_OF}",
    )  # fmt: skip
    add_head(parser)
    add_tasks(parser, default="that of the model's own description")
    add_scaling(parser)
    shared.add_attack(parser)
    parser.add_argument(
        "--minutes", type=float, default=None,
        help="attack for about so long, in place of trying everything: each setting of the suite a "
        "little, those that win more and more, all arms alike; with more minutes an audit goes on",
    )  # fmt: skip
    parser.add_argument(
        "--fail-if-advantage-over", type=float, default=None,
        help="end with exit code 1 where the weights are worth more to an attacker than so many "
        "points over random ones, on average over seeds, with any number of labels",
    )  # fmt: skip
    shared.add_folder(parser, OUT)


def run(options: Namespace) -> int:
    """Attack the model, write the report, and say what it means; fail where that is asked for."""
    limit = options.fail_if_advantage_over
    if limit is not None and not math.isfinite(limit):
        raise InputError("a number of points", str(limit), "correct --fail-if-advantage-over")
    origin, tokeniser, architecture = _described(options)
    # The name of a method in the file is all that is trusted: its settings are not read.
    made = Plain if origin is None else METHODS.get(origin.method.kind, Plain)
    fit = fit_to(architecture)
    alone = read_undesirable(options, tokeniser, fit)
    tasks = as_trained(alone or read_tasks(options, tokeniser, fit), origin, options)
    suite = shared.read_suite(options)
    if options.minutes is not None:
        if options.attackers is not None:
            raise InputError(
                "either --minutes or --attackers", "both",
                "leave one out: in a limited time nothing is confirmed",
            )  # fmt: skip
        suite = suite.within(options.minutes)
    folder, other = shared.run_folder(options, OUT), options.undefended
    evaluation = evaluate(
        _opened(options, options.checkpoint, tasks),
        tasks,
        undefended=None if other is None else _opened(options, other, tasks),
        adaptive=made().adaptive_attacks(),
        suite=suite,
        seeds=shared.read_seeds(options, suite),
        workers=shared.read_engine(options),
        folder=folder,
    )
    present(evaluation, folder)
    sys.stdout.write("\n".join(verdict(evaluation, "defended")) + "\n")
    return 0 if limit is None else _judge(evaluation, limit)


def _described(options: Namespace) -> tuple[Origin | None, str, str]:
    """Return where the model comes from, if it says that, its tokeniser, and its architecture.

    The latter as far as it is known without data. What the options leave open is as the model's
    own description says.
    """
    place = options.checkpoint.removeprefix(PRETRAINED)
    plain = place != options.checkpoint
    origin: Origin | None
    if options.model is None and not plain:
        model, origin = load_checkpoint(place)
        architecture = model.architecture
    else:
        weights = Path(place) / WEIGHTS if plain else find_weights(place).weights
        header, configuration = read_header(weights), Path(options.model or "")
        origin = None if header is None else header.origin
        is_file = configuration.suffix == ".json" and configuration.is_file()
        architecture = read_architecture(configuration) if is_file else ""
    if plain:
        architecture = options.checkpoint
    if origin is None and plain:
        return None, options.checkpoint, architecture
    if origin is None:
        folder = Path(options.model or "").parent
        found = (folder / TOKENISER).is_file()
        return None, f"{PRETRAINED}{folder}" if found else "", architecture
    settle_tasks(options, origin)
    options.share_undesirable = options.share_undesirable or origin.shared
    return origin, options.checkpoint if plain else origin.tokeniser, architecture


def _opened(options: Namespace, path: str, tasks: Tasks) -> Classifier:
    """Return a model of ours, or a network of somebody else's with the weights of a file."""
    if path.startswith(PRETRAINED):
        return load_transformers(path)
    if options.model is None:
        return load_checkpoint(path)[0]
    if is_own(options.model):
        return own_network(options.model, options.head, tasks.undesirable, path)
    return named_network(options.model, tasks, path)


def _judge(evaluation: Evaluation, limit: float) -> int:
    """Return 1 where the worst advantage is over the limit, or was not measured."""
    (standing,) = (one for one in metrics.standings(evaluation) if one.method == "defended")
    worst = None if standing.worst is None else standing.worst.advantage.mean
    passed = worst is not None and worst <= limit
    found = "no advantage was measured" if worst is None else f"worst advantage {worst:+.2f} points"
    sys.stdout.write(f"{'passed' if passed else 'failed'}: {found}, allowed {limit:g}\n")
    return 0 if passed else 1
