"""The models of `examples/published_network.py` under attackers who train for longer.

python -m benchmarks.studies.patient_attacks CIFAR10 RUN OUT [--workers 2]

RUN is the folder that the example wrote, with its models. The example's attacks are short, and all
of them keep the whole network. Here attackers cut off the last blocks as well, and train for 150
steps. Records go to OUT, where an interrupted run goes on.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import rootbound as rb
from rootbound.attacks.repairs import Repaired, Truncate
from rootbound.networks import Classifier

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from published_network import ANIMALS, SHAPE, VEHICLES, new_network, published_network

TRAIN = rb.attacks.FineTune(None, "kept", "adam", 3e-3, batch_size=32)
SUITE = rb.Suite(
    "patient-1",
    (
        rb.attacks.ExactLastLayer(1e-2, "standardised"),
        rb.attacks.RidgeHead(1e-1, "whitened", reading=rb.attacks.Reading("all")),
        TRAIN,
        *(Repaired(Truncate(blocks), TRAIN) for blocks in (3, 6)),
    ),
    (rb.Budget(50, 150),),
    draws=(4,),
    finalists=3,
)
METHODS = ("BestResponse", "BestResponse(weight=0.3)")


def main() -> None:
    """Attack the models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("run", type=Path)
    parser.add_argument("out")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    data: Any = rb.datasets.hugging_face(arguments.data)
    data = replace(data, train=data.train.subset(10_000), test=data.test.subset(3333))
    tasks = rb.datasets.fitted(data, SHAPE).split(desirable=ANIMALS, undesirable=VEHICLES)
    example = tasks.desirable.train.batch(slice(0, 2))[0]
    public = Classifier.wrap(published_network(), example=example, fresh=new_network)

    def load(method: str) -> Classifier:
        model = public.with_head(len(ANIMALS), seed=0)
        model.load_state_dict(load_file(arguments.run / "models" / f"{method}-0.safetensors"))
        return model.eval()

    found = rb.evaluate(
        {method: load(method) for method in METHODS}, tasks, undefended=load("Plain"),
        public=public, adaptive=rb.methods.BestResponse().adaptive_attacks(),
        suite=SUITE, workers=arguments.workers, folder=arguments.out,
    )  # fmt: skip
    print(rb.report.write(arguments.out))
    print(found)


if __name__ == "__main__":
    main()
