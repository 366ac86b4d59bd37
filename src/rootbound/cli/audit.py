"""Attack a saved model beside fresh weights of its architecture, and report what that gains."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from rootbound.cli import options as shared
from rootbound.cli.result import present
from rootbound.evaluation import evaluate
from rootbound.methods import METHODS, Plain
from rootbound.models import load_model


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("checkpoint", type=str, help="model file written by 'rootbound train'")
    parser.add_argument(
        "--undefended", type=str, default=None,
        help="model file of the same network trained without intervention, for comparison",
    )  # fmt: skip
    shared.add_tasks(parser, default="that of the model's own description")
    shared.add_attack(parser)
    parser.add_argument(
        "--out", type=str, default="rootbound-audit", help="folder for records, report and figures"
    )


def run(options: Namespace) -> int:
    """Attack the model and write the report."""
    model, origin = load_model(Path(options.checkpoint))
    undefended = None
    if options.undefended is not None:
        undefended, _ = load_model(Path(options.undefended))
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
    return 0
