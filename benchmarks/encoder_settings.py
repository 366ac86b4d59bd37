"""Choose settings of BestResponse for a pretrained encoder, on held-out training texts.

python benchmarks/encoder_settings.py SECTIONS ENCODER OUT

2,000 of the training texts are learned from, 600 others take the test set's place. Every candidate
starts from the encoder's weights, is trained once in bfloat16, and attacked by a short suite beside
the encoder as it is (its own head is random, but no attack uses it), the encoder trained without
intervention, and random weights. A Markdown table is printed, the records are kept in OUT.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import torch

import rootbound as rb
from held_out import held_out
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.core.devices import computing_in
from rootbound.core.memory import keep_freed_memory
from rootbound.data import TaskPair
from rootbound.datasets import Layout, load
from rootbound.methods import BestResponse, Plain
from rootbound.networks.hugging_face import pretrained_tokeniser
from rootbound.suites import Suite
from rootbound.training import Recipe
from text_settings import row

LEARNED, JUDGED = 2000, 600
EPOCHS = 3
SUITE = Suite(
    "encoder, short",
    (
        *(ExactLastLayer(penalty) for penalty in (1e-1, 1e-2, 1e-3)),
        FineTune(None, "kept", "adam", 5e-4, batch_size=32),
    ),
    (Budget(10, 20), Budget(20, 20)),
)
SETTINGS = ("rate", "weight", "projection")
CANDIDATES = (
    (5e-4, 0.15, 64),
    (5e-4, 0.5, 64),
)


def chosen_from(name: str, encoder: str) -> TaskPair:
    """Return the tasks with a few training texts to learn from, and others as the test set."""
    own = partial(pretrained_tokeniser, encoder)
    full = load(name, tokeniser=own, layout=Layout(length=16))
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(0))
    data = held_out(full, order[:LEARNED], order[LEARNED : LEARNED + JUDGED])
    return data.split(
        data.chosen("games,science,sound,graphics,text"),
        data.chosen("net,admin,mail,web,database"),
    )


def main(name: str, encoder: str, out: str) -> None:
    """Train and attack every candidate, and print the table."""
    keep_freed_memory()
    torch.set_num_threads(1)
    tasks = chosen_from(name, encoder)
    model = rb.models.build(f"hf:{encoder}", 5, tasks.desirable.train.shape)
    models = {"published": model}
    with computing_in("bfloat16"):
        plain = Plain(Recipe(EPOCHS, 64, 2e-4)).fit(model, tasks)
        for candidate in CANDIDATES:
            rate, weight, projection = candidate
            method = BestResponse(
                Recipe(EPOCHS, 64, rate),
                undesirable_batch_size=128,
                weight=weight,
                first_weight=0.6,
                spared=0.0,
                settled=1.0,
                projection=int(projection),
                finishing_steps=30,
                finishing_batch_size=512,
            )
            label = ", ".join(f"{one} {v:g}" for one, v in zip(SETTINGS, candidate, strict=True))
            started = time.perf_counter()
            models[label] = method.fit(model, tasks)
            print(f"{label}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    evaluation = rb.evaluate(models, tasks, undefended=plain, suite=SUITE, seeds=1, folder=out)
    print("| | desirable | exact, 20 labels | strongest, 10 | strongest, 20 |")
    print("|---|---|---|---|---|")
    print("\n".join(row(evaluation, one, 20) for one in rb.metrics.methods(evaluation)))


if __name__ == "__main__":
    main(*sys.argv[1:])
