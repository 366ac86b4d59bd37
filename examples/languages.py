"""A language model that continues English texts, and is to be no help with German.

python examples/languages.py TEXTS [gpt2|llama] [OUT]

TEXTS: a folder of parquet files, or hf:NAME of the hub, with a text and its language, `en` or `de`,
in each row. A tiny model with random weights stands for the one that you have.
"""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import rootbound as rb
import tiny_language_model as tiny

SUITE = rb.Suite(
    "languages-1",
    (
        *(rb.attacks.LastLayer("adam", rate) for rate in (1e-3, 1e-2)),
        rb.attacks.ExactLastLayer(1e-3),
        rb.attacks.FineTune(2, "kept", "adam", 3e-3),
        *(rb.attacks.FineTune(None, "kept", "adam", rate) for rate in (1e-3, 3e-3, 1e-2)),
        # Both languages have the same tokens, so attacks may start from the published head.
        rb.attacks.FineTune(None, "kept", "adam", 3e-3, head="given"),
        *(rb.attacks.LoRA(None, "kept", "adam", rate) for rate in (3e-3, 1e-2)),
    ),
    (rb.Budget(20, 100), rb.Budget(None, 200)),
)


LAYOUT = rb.datasets.Layout(length=tiny.CONTEXT, label="language")
TRAIN, TEST = 40_000, 5_000


def take(task: rb.Task) -> rb.Task:
    """Return the task with some of its samples, evenly spaced."""
    return replace(task, train=task.train.subset(TRAIN), test=task.test.subset(TEST))


def main(
    name: str, kind: str = "gpt2", out: str = "languages", suite: rb.Suite = SUITE, epochs: int = 5
) -> rb.Evaluation:
    folder = str(Path(out, kind))
    tiny.main(name, folder, kind, "language")
    own = partial(rb.models.pretrained_tokeniser, folder)
    data: Any = rb.datasets.load(name, tokeniser=own, layout=LAYOUT)
    tasks = data.split(data.chosen("en"), data.chosen("de"))
    # There are so few of these that one core needs only minutes.
    tasks = replace(
        tasks,
        desirable=take(tasks.desirable),
        undesirable=take(tasks.undesirable),
        known_undesirable=tasks.known_undesirable.subset(TRAIN),
    )
    recipe = rb.Recipe(epochs, batch_size=256, learning_rate=3e-3)
    # Two of the methods go on from there for 500 steps, which are about three epochs.
    shorter = replace(recipe, epochs=max(1, epochs - 3))
    terms = rb.methods.Terms(first_weight=0.6, spared=0.0)
    schedule = rb.methods.Schedule(first_block_until=1.0)
    methods = (
        rb.methods.Plain(recipe),
        *(
            rb.methods.BestResponse(recipe, weight=weight, terms=terms, schedule=schedule)
            for weight in (0.15, 1.5)
        ),
        rb.methods.RepNoise(shorter),
        rb.methods.GradientAscent(shorter),
    )
    model = rb.models.build(f"hf:{folder}", len(tasks.desirable.classes), data.train.shape)
    return rb.compare(methods, tasks, model, suite=suite, seeds=1, folder=Path(out, f"{kind}-run"))


if __name__ == "__main__":
    kind = sys.argv[2] if len(sys.argv) > 2 else "gpt2"
    out = sys.argv[3] if len(sys.argv) > 3 else "languages"
    main(sys.argv[1], kind, out)
    print(rb.report.write(Path(out, f"{kind}-run")))
