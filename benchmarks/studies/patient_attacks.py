"""The models of `examples/published_network.py` under attackers who train for longer.

python -m benchmarks.studies.patient_attacks CIFAR10 RUN OUT [--workers 2]

RUN is the folder that the example wrote, with its models. The example's attacks are short. Here
attackers train for 150 steps, some after they have cut off the last three or six blocks. Records go
to OUT, where an interrupted run continues.
"""

import argparse
import sys
from pathlib import Path

from safetensors.torch import load_file

import rootbound as rb
from rootbound.attacks.repairs import Repaired, Truncate
from rootbound.networks import Classifier
from rootbound.records import RunFolder

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from published_network import ANIMALS, FINE_TUNE, load_tasks, wrap_published

SUITE = rb.Suite(
    "patient-1",
    (
        rb.attacks.ExactLastLayer(1e-2, "standardised"),
        rb.attacks.RidgeHead(1e-1, "whitened", reading=rb.attacks.Reading("all")),
        FINE_TUNE,
        *(Repaired(Truncate(blocks), FINE_TUNE) for blocks in (3, 6)),
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
    tasks, run = load_tasks(arguments.data), RunFolder(arguments.run)
    public = wrap_published(tasks)

    def load(method: str) -> Classifier:
        model = public.with_head(len(ANIMALS), seed=0)
        model.load_state_dict(load_file(run.weights_file(method, 0)))
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
