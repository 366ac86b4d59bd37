"""Train with several methods, attack them all, and rank them on one page."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound.cli import options as shared
from rootbound.cli.methods import HELP, read_methods
from rootbound.cli.networks import add_head, fit_to, new_network
from rootbound.cli.recipe import add_recipe, with_recipe
from rootbound.cli.result import current, present
from rootbound.cli.scaling import add_scaling, as_trained
from rootbound.cli.tasks import add_tasks, read_tasks
from rootbound.evaluation import compare
from rootbound.methods import GenericFeatures
from rootbound.networks.hugging_face import PRETRAINED
from rootbound.records import Spec, records_file
from rootbound.report import leaderboard

OUT = "rootbound-compare"


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--methods", type=str, default="all",
        help=HELP,
    )  # fmt: skip
    parser.add_argument(
        "--generic-data", type=str, default=None,
        help="data set of neither task: what features learned from it are worth to the attacker "
        "becomes a line to hold methods against",
    )  # fmt: skip
    add_recipe(parser)
    add_tasks(parser)
    shared.add_model(parser, own=True)
    add_head(parser)
    add_scaling(parser)
    shared.add_attack(parser, suite="quick-1")
    parser.add_argument(
        "--external", type=str, default=None,
        help="JSON list of what others got out of a method's weights: method, advantage in "
        "points, attack, link",
    )  # fmt: skip
    shared.add_folder(parser, OUT)


def run(options: Namespace) -> int:
    """Run the comparison, or what is missing of it, and write report and leaderboard."""
    methods = with_recipe(read_methods(options.methods), options)
    if options.generic_data is not None:
        methods.append(GenericFeatures(data=options.generic_data))
    challenges = leaderboard.read_challenges(Path(options.external)) if options.external else []
    name = shared.MODEL if options.model is None else options.model
    tasks = as_trained(read_tasks(options, name, fit_to(name)), None, options)
    suite = shared.read_suite(options)
    folder = shared.run_folder(options, OUT)
    evaluation = compare(
        methods,
        tasks,
        new_network(name, tasks, head=options.head),
        suite=suite,
        seeds=shared.read_seeds(options, suite),
        workers=shared.read_engine(options),
        folder=folder,
        pretrained=name.startswith(PRETRAINED),
    )
    written = present(evaluation, folder)
    page, sources = written / "leaderboard.html", [records_file(written)]
    if options.external:
        sources.append(Path(options.external))
    if not current(page, *sources):
        command = shlex.join(["rootbound", *Spec.load(written).command])
        page = leaderboard.write_leaderboard(written, challenges, command=command)
    sys.stdout.write(f"leaderboard: {page}\n")
    return 0
