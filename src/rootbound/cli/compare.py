"""Train with several methods, attack them all, and rank them on one page."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from rootbound.cli import options as shared
from rootbound.cli.methods import HELP, read_methods, with_recipe
from rootbound.cli.networks import resolve_network
from rootbound.cli.public import build_public, resolve_public
from rootbound.cli.report import is_current, present
from rootbound.cli.scaling import as_trained
from rootbound.cli.settings import refuse_inside, resolve_settings
from rootbound.cli.tasks import resolve_tasks
from rootbound.core import progress
from rootbound.evaluation import compare
from rootbound.methods import GenericFeatures
from rootbound.networks.hugging_face.configuration import PRETRAINED
from rootbound.records import Spec, records_file
from rootbound.report import leaderboard

EXAMPLES = (
    "rootbound compare --methods all --suite quick-2",
    'rootbound compare --methods "Plain,BestResponse,BestResponse(weight=0.3)"',
    "rootbound compare --methods all,own.py:Mine --extends rootbound-compare",
)


@dataclass(frozen=True)
class Options:
    """Options of `rootbound compare`."""

    methods: str = shared.option(
        f"{HELP}.",
        default="all",
        brief="names or file.py:Class, with commas",
    )
    generic_data: str | None = shared.option(
        "Data set of neither task. Features learned from it are attacked, too, as a level to "
        "compare the methods with.",
        metavar="DATA",
    )
    public: str | None = shared.option(
        "The best starting point that anyone can download, as for `rootbound audit`: advantages "
        "are then given over it, too.",
        brief="the best model that anyone can download",
        metavar="NAME",
    )
    recipe: shared.RecipeOptions = shared.RecipeOptions()
    tasks: shared.TaskOptions = shared.TaskOptions()
    network: shared.NetworkOptions = shared.NetworkOptions()
    scaling: shared.ScalingOptions = shared.ScalingOptions()
    attack: shared.AttackOptions = shared.AttackOptions()
    external: str | None = shared.option(
        "JSON list of what others got out of a method's weights: method, advantage in points, "
        "attack, link.",
        metavar="FILE",
    )
    folder: shared.FolderOptions = shared.FolderOptions()


def run(options: Options) -> int:
    """Run the comparison, or what is missing of it, and write report and leaderboard."""
    methods = with_recipe(read_methods(options.methods), options.recipe, options.attack.device)
    if options.generic_data is not None:
        methods.append(GenericFeatures(data=options.generic_data))
    challenges = leaderboard.read_challenges(Path(options.external)) if options.external else []
    with progress.step("reading model and data"):
        network = resolve_network(options.network)
        source = resolve_tasks(options.tasks, None, network.tokeniser, network.published)
        settings = resolve_settings(options.attack, options.folder)
        refuse_inside(source, settings.folder)
        tasks = as_trained(source.read(network.fit), options.scaling)
    public = None
    if options.public is not None:
        public = build_public(resolve_public(options.public, options.network), network, tasks)
    evaluation = compare(
        methods,
        tasks,
        network.build(tasks),
        public=public,
        suite=settings.suite,
        seeds=settings.seeds,
        workers=settings.engine,
        folder=settings.folder,
        pretrained=network.name.startswith(PRETRAINED),
    )
    folder = present(evaluation, settings.folder)
    page, sources = folder / "leaderboard.html", [records_file(folder)]
    if options.external:
        sources.append(Path(options.external))
    if not is_current(page, *sources):
        command = shlex.join(["rootbound", *Spec.load(folder).command])
        page = leaderboard.write_leaderboard(folder, challenges, command=command)
    sys.stdout.write(f"leaderboard: {page}\n")
    return 0
