"""A model that tells games from graphics and is to be no help in telling mail from databases.

python examples/texts.py SECTIONS [OUT] [ENCODER]

SECTIONS: a folder of parquet or CSV files with package descriptions and their archive sections, or
hf:NAME of the hub. ENCODER: a folder with a BERT such as all-MiniLM-L6-v2, from whose weights every
method then starts; without it, a small transformer learns from nothing. "Scratch" means random
weights in either case; the row `public` shows what the published encoder is worth by itself.
"""

import sys
from dataclasses import replace
from functools import partial

import rootbound as rb

DESIRABLE, UNDESIRABLE = "games,science,sound,graphics,text", "net,admin,mail,web,database"
LENGTH = 16


def attacks(rates: tuple[float, ...], steps: tuple[int, int], batch_size: int) -> rb.Suite:
    """Return the last layer in practice and exactly, all layers, and low-rank adapters."""
    train = partial(rb.attacks.FineTune, None, "kept", "adam", batch_size=batch_size)
    adapt = partial(rb.attacks.LoRA, None, "kept", "adam", batch_size=batch_size)
    return rb.Suite(
        "texts-2",
        (
            *(rb.attacks.LastLayer("adam", rate) for rate in (1e-3, 1e-2, 1e-1)),
            *(rb.attacks.ExactLastLayer(penalty) for penalty in (1e-1, 1e-2, 1e-3, 1e-4)),
            *(train(learning_rate=rate) for rate in rates),
            *(adapt(learning_rate=4 * rate) for rate in rates),
        ),
        (rb.Budget(10, steps[0]), rb.Budget(50, steps[1])),
        draws=(6, 6),
        finalists=3,
    )


def from_nothing(
    sections: str, out: str, suite: rb.Suite | None = None, epochs: int = 5, seeds: int = 3
) -> rb.Evaluation:
    data = rb.datasets.load(sections, layout=rb.datasets.Layout(length=LENGTH))
    tasks = data.split(data.chosen(DESIRABLE), data.chosen(UNDESIRABLE))
    recipe = rb.Recipe(epochs, 128, 3e-3)
    # Chosen on held-out training texts, except the weight: benchmarks/results/text_settings.md.
    methods = (
        rb.methods.Plain(recipe),
        rb.methods.BestResponse(
            recipe,
            terms=rb.methods.Terms(first_weight=0.6, spared=0.0),
            schedule=rb.methods.Schedule(first_block_until=1.0),
        ),
    )
    model = rb.models.small_text(5, data.train.shape)
    suite = suite or attacks((1e-3, 4e-3), (60, 80), 128)
    return rb.compare(methods, tasks, model, suite=suite, seeds=seeds, folder=out)


def load_tasks(sections: str, encoder: str) -> rb.TaskPair:
    """Return the tasks, tokenised for the encoder; so few texts that two cores need minutes."""
    own = partial(rb.models.pretrained_tokeniser, encoder)
    data = rb.datasets.load(sections, tokeniser=own, layout=rb.datasets.Layout(length=LENGTH))
    data = replace(data, train=data.train.subset(4000), test=data.test.subset(1000))
    return data.split(data.chosen(DESIRABLE), data.chosen(UNDESIRABLE))


def load_encoder(tasks: rb.TaskPair, encoder: str) -> rb.Classifier:
    """Return what anyone can download, cut into blocks, with a head of random weights."""
    return rb.models.build(f"hf:{encoder}", 5, tasks.desirable.train.shape)


def from_an_encoder(
    sections: str, out: str, encoder: str, suite: rb.Suite | None = None, epochs: int = 3
) -> rb.Evaluation:
    tasks = load_tasks(sections, encoder)
    recipe = rb.Recipe(epochs, 64, 2e-4, precision="bfloat16")
    methods = (
        rb.methods.Plain(recipe),
        # Chosen on held-out training texts: benchmarks/results/pretrained_settings.md.
        rb.methods.BestResponse(
            replace(recipe, learning_rate=5e-4),
            undesirable_batch_size=128,
            weight=0.5,
            terms=rb.methods.Terms(first_weight=0.6, spared=0.0, projection=64),
            schedule=rb.methods.Schedule(
                first_block_until=1.0, finishing_steps=30, finishing_batch_size=512
            ),
        ),
    )
    # Every method starts from what anyone can download, which is an arm of its own.
    public = load_encoder(tasks, encoder)
    suite = suite or attacks((5e-4,), (20, 30), 32)
    return rb.compare(
        methods, tasks, public,
        public=public, suite=suite, seeds=1, folder=out, pretrained=True,
    )  # fmt: skip


if __name__ == "__main__":
    sections, out, *encoder = sys.argv[1:] if len(sys.argv) > 2 else [sys.argv[1], "texts"]
    if encoder:
        from_an_encoder(sections, out, encoder[0])
    else:
        from_nothing(sections, out)
    print(rb.report.write(out))
