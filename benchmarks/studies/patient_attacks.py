"""Pretrained networks of the examples, under attackers who train for longer and cut blocks off.

python -m benchmarks.studies.patient_attacks photographs CIFAR10 RUN OUT [--workers 2]
python -m benchmarks.studies.patient_attacks texts SECTIONS RUN OUT --encoder ENCODER

RUN is the folder that `examples/published_network.py` or `examples/texts.py` wrote, with its
models. The attacks of the examples are short. Here attackers train for 150 steps, some after they
have cut off as many as six blocks. Records go to OUT, where an interrupted run continues.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

import rootbound as rb
from rootbound.attacks.repairs import Repaired, Truncate
from rootbound.networks import Classifier
from rootbound.records import RunFolder

# Each example needs libraries that the other does not need, so only the one asked for is imported.
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

BUDGET = rb.Budget(50, 150)


def make_suite(name: str, rates: Sequence[float], cuts: Sequence[int]) -> rb.Suite:
    """Return two closed forms, and fine-tuning of the whole network and of its first blocks."""
    train = partial(rb.attacks.FineTune, None, "kept", "adam", batch_size=32)
    return rb.Suite(
        name,
        (
            rb.attacks.ExactLastLayer(1e-2, "standardised"),
            rb.attacks.RidgeHead(1e-1, "whitened", reading=rb.attacks.Reading("all")),
            *(train(learning_rate=rate) for rate in rates),
            *(Repaired(Truncate(blocks), train(learning_rate=rates[-1])) for blocks in cuts),
        ),
        (BUDGET,),
        draws=(4,),
        finalists=3,
    )


def attack_photographs(arguments: argparse.Namespace) -> rb.Evaluation:
    """Attack EfficientNet-Lite0, trained to tell animals apart."""
    from published_network import (  # noqa: PLC0415
        ANIMALS,
        FINE_TUNE,
        load_tasks,
        wrap_published,
    )

    tasks = load_tasks(arguments.data)
    return attack(
        arguments, tasks, wrap_published(tasks), len(ANIMALS),
        ("BestResponse", "BestResponse(weight=0.3)"),
        make_suite("patient-1", (FINE_TUNE.learning_rate,), (3, 6)),
    )  # fmt: skip


def attack_texts(arguments: argparse.Namespace) -> rb.Evaluation:
    """Attack the encoder, trained to tell sections of package descriptions apart."""
    from texts import load_encoder, load_tasks  # noqa: PLC0415

    tasks = load_tasks(arguments.data, arguments.encoder)
    return attack(
        arguments, tasks, load_encoder(tasks, arguments.encoder), 5, ("BestResponse",),
        make_suite("patient-texts-1", (2e-4, 5e-4), (2, 4, 6)),
    )  # fmt: skip


def attack(
    arguments: argparse.Namespace,
    tasks: rb.TaskPair,
    public: Classifier,
    classes: int,
    methods: Sequence[str],
    suite: rb.Suite,
) -> rb.Evaluation:
    """Attack the models of a run, the undefended one, the public network and random weights."""

    def load(method: str) -> Classifier:
        model = public.with_head(classes, seed=0)
        model.load_state_dict(load_file(arguments.run.weights_file(method, 0)))
        return model.eval()

    return rb.evaluate(
        {method: load(method) for method in methods}, tasks, undefended=load("Plain"),
        public=public, adaptive=rb.methods.BestResponse().adaptive_attacks(),
        suite=suite, seeds=arguments.seeds, workers=arguments.workers,
        folder=RunFolder(Path(arguments.out), extends=arguments.extends),
    )  # fmt: skip


CASES = {"photographs": attack_photographs, "texts": attack_texts}


def main() -> None:
    """Attack the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("data")
    parser.add_argument("run", type=lambda name: RunFolder(Path(name)))
    parser.add_argument("out")
    parser.add_argument("--encoder")
    parser.add_argument("--seeds", type=int, default=1, help="each has four draws of labels")
    parser.add_argument("--extends", type=Path, help="a run with fewer seeds, which is taken up")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    found = CASES[arguments.case](arguments)
    print(rb.report.write(arguments.out))
    print(found)


if __name__ == "__main__":
    main()
