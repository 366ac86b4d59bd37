"""Choose settings of BestResponse for texts on held-out training samples; no test text is read.

python benchmarks/text_settings.py SECTIONS OUT

A fifth of the training texts takes the test set's place. Every candidate is trained once, and
attacked by a short suite beside the undefended and the from-scratch arm, one attacker; a Markdown
table is printed, the records are kept in OUT.
"""

from __future__ import annotations

import sys

import torch

import rootbound as rb
from held_out import held_out
from rootbound.attacks import Budget, ExactLastLayer, FineTune, LoRA
from rootbound.data import TaskPair
from rootbound.datasets import Layout, load
from rootbound.methods import BestResponse, Plain
from rootbound.records import EXACT
from rootbound.suites import Suite
from rootbound.training import Recipe

EPOCHS = 5
SUITE = Suite(
    "texts, short",
    (
        *(ExactLastLayer(penalty) for penalty in (1e-1, 1e-2, 1e-3)),
        FineTune(None, "kept", "adam", 4e-3),
        LoRA(None, "kept", "adam", 4e-3),
    ),
    (Budget(10, 40), Budget(50, 40)),
)
SETTINGS = ("rate", "weight", "settled")
CANDIDATES = (
    (1e-2, 0.1, 0.0),
    (3e-3, 0.1, 1.0),
    (3e-3, 0.3, 1.0),
    (1e-2, 0.3, 0.0),
)


def chosen_from(name: str) -> TaskPair:
    """Return the tasks with a fifth of the training texts as the test set."""
    full = load(name, layout=Layout(length=24))
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(0))
    size = len(order) // 5
    data = held_out(full, order[size:], order[:size])
    return data.split(
        data.chosen("games,science,sound,graphics,text"),
        data.chosen("net,admin,mail,web,database"),
    )


def row(evaluation: rb.Evaluation, name: str, most: int) -> str:
    """Return a model's row: desirable accuracy, exact last layer, strongest attacks."""
    attacked = rb.metrics.attacked
    found = [
        rb.metrics.desirable(evaluation, name),
        attacked(evaluation, name, most, EXACT),
        attacked(evaluation, name, 10),
        attacked(evaluation, name, most),
    ]
    means = (rb.metrics.points(one) for one in found)
    cells = ("–" if one is None else f"{one.mean:.1f}" for one in means)
    return f"| {name} | {' | '.join(cells)} |"


def main(name: str, out: str) -> None:
    """Train and attack every candidate, and print the table."""
    tasks = chosen_from(name)
    model = rb.models.small_text(5, tasks.desirable.train.shape)
    plain = Plain(Recipe(EPOCHS, 128, 3e-3)).fit(model, tasks)
    models = {}
    for candidate in CANDIDATES:
        rate, weight, settled = candidate
        method = BestResponse(
            Recipe(EPOCHS, 128, rate), weight=weight, first_weight=0.6, spared=0.0, settled=settled
        )
        named = zip(SETTINGS, candidate, strict=True)
        models[", ".join(f"{one} {value:g}" for one, value in named)] = method.fit(model, tasks)
    evaluation = rb.evaluate(models, tasks, undefended=plain, suite=SUITE, seeds=1, folder=out)
    print("| | desirable | exact, 50 labels | strongest, 10 | strongest, 50 |")
    print("|---|---|---|---|---|")
    print("\n".join(row(evaluation, one, 50) for one in rb.metrics.methods(evaluation)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
