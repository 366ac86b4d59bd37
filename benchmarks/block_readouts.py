"""What blocks say of undesirable images one by one and together, and a term for all of them.

python benchmarks/block_readouts.py CIFAR10 [--classes half] [--epochs 3] [--width 8] [--only NAME]
python benchmarks/block_readouts.py CIFAR10 --run FOLDER [--classes half] [--width 16] [--only NAME]

Ridge classifiers read 5,000 labelled images from every block's outputs, pooled as probes have them,
and from all blocks' at once; the best penalty of two, which flatters every row alike. With `--run`
the models are those of a run of `photographs_suite.py` (seed 0), and test images are those of the
test set; a second row of each is read from images of the defender's, and judged on others of them.
Without, variants are trained here in bfloat16, with a fifth of the training images in the test
set's place, and fine-tuned with 100 and with all labels, too, by the trials of `photographs.py`,
scored on 500 images; what is found is kept in results/block_readouts.jsonl. Markdown is printed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import fields, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from best_response_variants import BothAugmented, JointlyRead
from photographs import CLASSES, EXACT, RANDOM, TUNED, a_fifth_aside, strongest, variants
from rootbound.attacks import Attacker, Budget, Reading, RidgeHead
from rootbound.core.devices import computing_in
from rootbound.core.memory import keep_freed_memory
from rootbound.data import Augmentation, Data, Task, TaskPair
from rootbound.datasets import load
from rootbound.evaluation import Subject, attack
from rootbound.evaluation.scoring import measure
from rootbound.methods import BestResponse, Method
from rootbound.networks import Classifier, resnet_20
from rootbound.suites import Suite
from rootbound.training import accuracy, predict

RESULTS = Path(__file__).parent / "results" / "block_readouts.jsonl"
LABELLED, SCORED = 5000, 4000
PENALTIES = (0.1, 1.0)
SUITE = Suite("tuned", TUNED, (Budget(100, 80), Budget(None, 160)))
DRAWS = 2


def entrants(epochs: int) -> dict[str, Method | None]:
    """Return what is trained, by name; None where weights stay random."""
    known = variants(epochs, "/usr/share/datasets/fashion-mnist")
    ours = known["BestResponse"]
    assert isinstance(ours, BestResponse)
    values = {field.name: getattr(ours, field.name) for field in fields(ours) if field.init}
    joint = JointlyRead(**values)
    both = BothAugmented(**values)
    return {
        "Plain": known["Plain"],
        RANDOM: None,
        "features of clothes": known["features of clothes"],
        "BestResponse": ours,
        "depth weight 5": replace(ours, depth_weight=5.0),
        "all blocks together, too, 20": joint,
        "all blocks together in place of the middle ones, 20": replace(joint, depth_weight=0.0),
        "… 60": replace(joint, depth_weight=0.0, joint=60.0),
        "undesirable images moved and mirrored, too": both,
        "undesirable images mirrored, too": replace(both, undesirable=Augmentation(flip=True)),
    }


def outputs_of(model: Classifier, data: Data, count: int) -> list[Data]:
    """Return what probes read of some samples: from each block, and from all together."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(1))[:count]
    chosen = data.select(order)
    places = [Reading(before) for before in reversed(range(len(model.blocks)))]
    return [
        Data(predict(one.readout(model), chosen), chosen.labels)
        for one in (*places, Reading("all"))
    ]


def read(known: Data, asked: Data, classes: int) -> float:
    """Return the test accuracy, in percent, of the better of two ridge classifiers."""
    heads = [RidgeHead(one) for one in PENALTIES]
    model = Classifier(nn.Identity(), nn.Linear(known.inputs.shape[1], classes))
    attacker = Attacker(known, 0, torch.Generator())
    (found,) = RidgeHead.transfer_together(heads, model, attacker)
    accuracies, _ = measure(found.model, asked, len(heads))
    return 100 * max(accuracies)


def readouts(model: Classifier, task: Task) -> list[float]:
    """Return what is read from each block, and from all."""
    known = outputs_of(model, task.train, LABELLED)
    asked = outputs_of(model, task.test, SCORED)
    return [read(*pair, len(task.classes)) for pair in zip(known, asked, strict=True)]


def with_statistics(model: Classifier, tasks: TaskPair) -> Classifier:
    """Return random weights whose BatchNorm has seen undesirable images."""
    model.train()
    batches = tasks.undesirable.train.batches(256, 60, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for inputs, _ in batches:
            model(inputs)
    return model


def trained(options: argparse.Namespace, tasks: TaskPair) -> None:
    """Train what was asked for, and print a row of each."""
    print("| variant | desirable | exact | each block | all | 100 labels | all labels |")
    print("|---|---|---|---|---|---|---|")
    for name, method in entrants(options.epochs).items():
        if options.only and name not in options.only:
            continue
        model = resnet_20(len(tasks.desirable.classes), seed=0, width=options.width)
        with computing_in("bfloat16"):
            model = with_statistics(model, tasks) if method is None else method.fit(model, tasks)
            *each, joint = readouts(model, tasks.undesirable)
            few, more = strongest(name, model, tasks, 0, DRAWS, SUITE)
            (exact,) = attack(Subject("defended", name, 0, model), tasks.undesirable, EXACT)
        kept = 100 * accuracy(model, tasks.desirable.test)
        row = {
            "name": name, "classes": options.classes, "epochs": options.epochs,
            "width": options.width, "desirable": kept, "each": each, "together": joint,
            "100 labels": few, "all labels": more, "exact": 100 * exact.test[-1],
        }  # fmt: skip
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        shown = " ".join(f"{one:.1f}" for one in each)
        print(
            f"| {name} | {kept:.1f} | {row['exact']:.1f} | {shown} | {joint:.1f} "
            f"| {few:.1f} | {more:.1f} |", flush=True,
        )  # fmt: skip


def of_a_run(options: argparse.Namespace, tasks: TaskPair) -> None:
    """Print a row for each model of a run, and for random weights."""
    for name in options.only or ("Plain", "BestResponse", "GenericFeatures", RANDOM):
        model = resnet_20(len(tasks.desirable.classes), seed=0, width=options.width)
        if name == RANDOM:
            model = with_statistics(model, tasks)
        else:
            model.load_state_dict(load_file(options.run / "models" / f"{name}-0.safetensors"))
        for whose, task in {
            "": tasks.undesirable,
            ", its own images": of_the_defender(tasks),
        }.items():
            cells = [f"{one:.1f}" for one in readouts(model, task)]
            print(f"| {' | '.join([name + whose, *cells])} |", flush=True)


def of_the_defender(tasks: TaskPair) -> Task:
    """Return the undesirable task with images of the defender's, and others of them to judge by."""
    known = tasks.known_undesirable
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))
    front, back = known.select(order[:LABELLED]), known.select(order[LABELLED:])
    return replace(tasks.undesirable, train=front, test=back)


def main(options: argparse.Namespace) -> None:
    """Print one table or the other."""
    keep_freed_memory()
    torch.set_num_threads(1)
    full = load(options.data)
    if options.run is not None:
        of_a_run(options, full.split(*CLASSES[options.classes]))
    else:
        trained(options, a_fifth_aside(full).split(*CLASSES[options.classes]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--classes", choices=CLASSES, default="half")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--only", nargs="*")
    main(parser.parse_args())
