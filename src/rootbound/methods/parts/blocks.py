"""What blocks make of samples, one after the other, and what that says of labels at first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from rootbound.data import Batch
from rootbound.networks import Classifier


def passed_on(blocks: Sequence[nn.Module], inputs: Tensor, kept: int) -> Iterator[Tensor]:
    """Yield what every block makes of a batch, without gradients of the first ones.

    Args:
        blocks: in order.
        inputs: `(N, *shape)`.
        kept: how many blocks have no gradients.
    """
    for position, block in enumerate(blocks):
        with torch.set_grad_enabled(position >= kept):
            inputs = block(inputs)
        yield inputs


def random_shares(
    model: Classifier,
    batches: Iterable[Batch],
    explained: Callable[[Classifier, int, Tensor, Tensor], Tensor],
    generator: torch.Generator,
) -> list[tuple[float, float]]:
    """Return what each block but the last explains of other samples' labels, and of its own.

    Args:
        model: with random weights; its running statistics change.
        batches: samples `(N, *shape)` with labels `(N,)`.
        explained: of a model, the position of a block, its outputs and labels, a scalar.
        generator: of whose labels are taken.

    Returns:
        For each block, means over batches: chance first.
    """
    found: list[list[tuple[float, float]]] = []
    model.train()
    with torch.no_grad():
        for inputs, labels in batches:
            order = torch.randperm(len(labels), generator=generator, device=generator.device)
            others = labels[order.to(labels.device)]
            outputs = enumerate(passed_on(model.blocks[:-1], inputs, 0))
            found.append(
                [
                    (float(explained(model, *one, others)), float(explained(model, *one, labels)))
                    for one in outputs
                ]
            )
    columns = zip(*found, strict=True)
    return [
        (fmean(one[0] for one in column), fmean(one[1] for one in column)) for column in columns
    ]
