"""A language model that continues some texts, and is to be no help with others.

python examples/language_model.py TEXTS [OUT]

TEXTS: a folder of CSV or parquet files with a text and a class in each row, or hf:NAME of the hub.
The model is a tiny GPT-2 with random weights. A sample is a row of letters, and its class is the
letter that follows, so that methods, attacks and reports are those for any other task. The
attack's curve is shown as a loss, too.
"""

import sys

from transformers import GPT2Config, GPT2LMHeadModel

import rootbound as rb

CONTEXT = 24
SUITE = rb.Suite(
    "language-1",
    (
        *(rb.attacks.LastLayer("adam", rate) for rate in (1e-3, 1e-2)),
        rb.attacks.ExactLastLayer(1e-3),
        *(rb.attacks.FineTune(None, "kept", "adam", rate) for rate in (1e-3, 3e-3)),
        rb.attacks.LoRA(None, "kept", "adam", 3e-3),
    ),
    (rb.Budget(10, 100), rb.Budget(None, 300)),
)


def main(name: str, out: str, suite: rb.Suite = SUITE, epochs: int = 2) -> rb.Evaluation:
    texts = rb.datasets.hugging_face(name.removeprefix("hf:"))
    assert isinstance(texts, rb.datasets.Texts), "images have no next letter"
    half = len(texts.classes) // 2
    tasks = texts.next_letters(range(half), range(half, 2 * half), CONTEXT)
    letters = len(tasks.desirable.classes)
    config = GPT2Config(
        vocab_size=letters, n_positions=CONTEXT, n_embd=64, n_layer=2, n_head=2,
        bos_token_id=None, eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model = rb.models.from_transformers(GPT2LMHeadModel(config)).reinitialised(0)
    recipe = rb.Recipe(epochs, batch_size=256, learning_rate=3e-3)
    methods = (
        rb.methods.Plain(recipe),
        rb.methods.BestResponse(
            recipe,
            terms=rb.methods.Terms(first_weight=0.6, spared=0.0),
            schedule=rb.methods.Schedule(first_block_until=1.0),
        ),
    )
    return rb.compare(methods, tasks, model, suite=suite, seeds=1, folder=out)


if __name__ == "__main__":
    out = sys.argv[2] if len(sys.argv) > 2 else "language-model"
    main(sys.argv[1], out)
    print(rb.report.write(out))
