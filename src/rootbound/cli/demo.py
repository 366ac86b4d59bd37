"""Train with and without a defence, attack every model, compare, and write a report."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from rootbound.cli import options as shared
from rootbound.cli.result import present
from rootbound.cli.tasks import add_tasks, read_tasks
from rootbound.core.errors import InputError
from rootbound.evaluation import compare
from rootbound.methods import BestResponse, Method, Plain, SelectiveDistillation, Unlearning
from rootbound.networks import build
from rootbound.training import Recipe

QUICK: tuple[Method, ...] = (Plain(), BestResponse())
METHODS: tuple[Method, ...] = (
    *QUICK,
    # The rivals' settings were searched on held-out training samples, because their papers'
    # own cost far more desirable accuracy on this network: benchmarks/claims/select_settings.py.
    SelectiveDistillation(Recipe(epochs=4, learning_rate=2e-2), target=-5.0),
    Unlearning(Recipe(epochs=4), impair_rate=0.002, repair_rate=0.002),
)

OUT = "rootbound-demo"


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    add_tasks(parser)
    shared.add_model(parser)
    shared.add_attack(parser)
    parser.add_argument(
        "--quick", action="store_true",
        help="one seed, and BestResponse against Plain alone: about a minute",
    )  # fmt: skip
    parser.add_argument(
        "--epochs",
        type=int,
        default=None,
        help="passes over the data, instead of each method's own",
    )
    shared.add_folder(parser, OUT)


def run(options: Namespace) -> int:
    """Run the comparison and write its report."""
    tasks, suite = read_tasks(options), shared.read_suite(options)
    model = build(options.model, len(tasks.desirable.classes), tasks.desirable.train.shape)
    chosen = QUICK if options.quick else METHODS
    if options.epochs is not None:
        if options.epochs < 1:
            raise InputError("at least 1 epoch", str(options.epochs), "raise --epochs")
        chosen = tuple(method.for_epochs(options.epochs) for method in chosen)
    folder = shared.run_folder(options, OUT)
    evaluation = compare(
        chosen,
        tasks,
        model,
        suite=suite,
        seeds=1 if options.quick else shared.read_seeds(options, suite),
        workers=shared.read_engine(options),
        folder=folder,
    )
    present(evaluation, folder)
    return 0
