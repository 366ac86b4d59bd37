"""Attack a saved model beside fresh weights of its architecture, and report what that gains."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound import metrics
from rootbound.cli import options as shared
from rootbound.cli.result import present
from rootbound.errors import InputError
from rootbound.evaluation import evaluate
from rootbound.methods import METHODS, Plain
from rootbound.models import load_checkpoint
from rootbound.records import Evaluation
from rootbound.report.verdict import verdict


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "checkpoint", type=str,
        help="model file, folder of 'rootbound export', or OWNER/NAME on the Hugging Face hub",
    )  # fmt: skip
    parser.add_argument(
        "--undefended", type=str, default=None,
        help="model file of the same network trained without intervention, for comparison",
    )  # fmt: skip
    shared.add_tasks(parser, default="that of the model's own description")
    shared.add_attack(parser)
    parser.add_argument(
        "--fail-if-advantage-over", type=float, default=None,
        help="end with exit code 1 where the weights are worth more to an attacker than so many "
        "points over random ones, on average over seeds, with any number of labels",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=str, default="rootbound-audit", help="folder for records, report and figures"
    )


def run(options: Namespace) -> int:
    """Attack the model, write the report, and say what it means; fail where that is asked for."""
    limit = options.fail_if_advantage_over
    if limit is not None and not math.isfinite(limit):
        raise InputError("a number of points", str(limit), "correct --fail-if-advantage-over")
    model, origin = load_checkpoint(options.checkpoint)
    undefended = None
    if options.undefended is not None:
        undefended, _ = load_checkpoint(options.undefended)
    # What the options leave open is as the model's own description says.
    for name in ("data", "undesirable_data", "desirable", "undesirable"):
        shared.settle(options, name, getattr(origin, name))
    options.share_undesirable = options.share_undesirable or origin.shared
    tasks, suite = shared.read_tasks(options), shared.read_suite(options)
    folder = Path(options.out)
    # The name of a method in the file is all that is trusted: its settings are not read.
    method = METHODS.get(origin.method.partition("(")[0], Plain)
    evaluation = evaluate(
        model,
        tasks,
        undefended=undefended,
        adaptive=method().adaptive_attacks(),
        suite=suite,
        seeds=shared.read_seeds(options, suite),
        workers=options.workers,
        folder=folder,
    )
    present(evaluation, folder)
    sys.stdout.write("\n".join(verdict(evaluation, "defended")) + "\n")
    return 0 if limit is None else _judge(evaluation, limit)


def _judge(evaluation: Evaluation, limit: float) -> int:
    """Return 1 where the worst advantage is over the limit, or was not measured."""
    (standing,) = (one for one in metrics.standings(evaluation) if one.method == "defended")
    worst = None if standing.worst is None else standing.worst.advantage.mean
    passed = worst is not None and worst <= limit
    found = "no advantage was measured" if worst is None else f"worst advantage {worst:+.2f} points"
    sys.stdout.write(f"{'passed' if passed else 'failed'}: {found}, allowed {limit:g}\n")
    return 0 if passed else 1
