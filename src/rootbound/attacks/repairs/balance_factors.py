"""BalanceFactors: linear maps in a row, split into factors that are easy to train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

import torch
from torch import Tensor, nn

from rootbound.attacks.budget import Attacker
from rootbound.attacks.repairs.network import count_executions, list_parts, sample
from rootbound.attacks.repairs.repair import Repair
from rootbound.networks import Classifier

Map = nn.Linear | nn.Conv2d
Pair = tuple[nn.Module, Map, Map]
"""A sequence, and two neighbouring parts of it."""
FEW = 8
"""Samples that are run to count how often each part runs."""


@dataclass(frozen=True)
class BalanceFactors(Repair):
    """Split the product of two linear maps evenly: `W2 W1 = U S V' = (U sqrt(S)) (sqrt(S) V')`.

    This removes an ill-conditioned matrix and its inverse that were put between two layers. Before
    the head, `W1 = (U S U') (U V')`: the backbone keeps the rotation `U V'`, whose condition
    number is 1, and the given head takes the rest. The function stays the same, computed in
    float64. A convolution counts as a first map and a 1x1 convolution as a second one, also inside
    residual blocks.

    The balanced split is that of S. Arora et al., "On the Optimization of Deep Networks",
    2018, equation 6. Differs from the paper: it is imposed once, not met at initialisation.
    """

    def applies_to(self, model: Classifier) -> bool:
        """Return whether two linear maps follow each other anywhere, the head included."""
        return bool(_list_pairs(model))

    def repair(self, model: Classifier, attacker: Attacker) -> Classifier:
        """Return the same function with balanced factors."""
        calls = count_executions(model, sample(attacker.train, FEW))
        with torch.no_grad():
            for sequence, first, second in _list_pairs(model):
                if second is model.head:
                    _rotate(first, model.head)
                # The owner's code may use a sequence as a list and compute something in between.
                elif calls[sequence] == calls[first] == calls[second]:
                    _split(first, second)
        return model


def _list_pairs(model: Classifier) -> list[Pair]:
    """Return neighbouring linear maps in all sequences, leaving out parts that are shared."""
    sequences = [
        (model.backbone, [*list_parts(model.backbone), model.head]),
        *_list_inner_sequences(model.backbone),
    ]
    uses = Counter(part for _, parts in sequences for part in parts)
    return [
        (sequence, *pair)
        for sequence, parts in sequences
        for pair in pairwise(part for part in parts if type(part) is not nn.Identity)
        if _is_pair(pair) and uses[pair[0]] == 1
    ]


def _list_inner_sequences(module: nn.Module) -> Iterator[tuple[nn.Module, list[nn.Module]]]:
    """Yield the sequences inside those parts of a module that have code of their own."""
    for part in list_parts(module):
        for child in part.children():
            yield child, list_parts(child)
            yield from _list_inner_sequences(child)


def _is_pair(parts: tuple[nn.Module, nn.Module]) -> TypeGuard[tuple[Map, Map]]:
    """Return whether both are plain linear maps, the second on the units of the first."""
    first, second = parts
    if type(first) is nn.Linear:
        return type(second) is nn.Linear
    return (
        type(first) is type(second) is nn.Conv2d
        and first.groups == 1
        and (second.kernel_size, second.stride) == ((1, 1), (1, 1))
        and (second.padding, second.groups) == ((0, 0), 1)
    )


def _split(first: Map, second: Map) -> None:
    """Replace both factors by the balanced ones; the second takes the biases."""
    product = _get_matrix(second) @ _get_matrix(first)
    bias = _get_bias(second) + _get_matrix(second) @ _get_bias(first)
    left, singular, right = torch.linalg.svd(product, full_matrices=False)
    # Hidden units beyond the largest possible rank of the product would be dead.
    rank = min(len(singular), len(first.weight))
    root = singular[:rank].sqrt()
    _set(first, root.unsqueeze(1) * right[:rank], torch.zeros_like(root))
    _set(second, left[:, :rank] * root, bias)


def _rotate(first: Map, head: nn.Linear) -> None:
    """Keep the rotation in the last layer; move its stretching and its bias into the head."""
    left, singular, right = torch.linalg.svd(_get_matrix(first), full_matrices=False)
    weight, shift = _get_matrix(head), _get_bias(first)
    _set(first, left @ right, torch.zeros_like(shift))
    _set(head, weight @ (left * singular) @ left.T, _get_bias(head) + weight @ shift)


def _get_matrix(layer: Map) -> Tensor:
    return layer.weight.double().flatten(1)


def _get_bias(layer: Map) -> Tensor:
    """Return the bias in float64, 0 where there is none."""
    return torch.zeros(len(layer.weight)).double() if layer.bias is None else layer.bias.double()


def _set(layer: Map, matrix: Tensor, bias: Tensor) -> None:
    weight = matrix.reshape(len(matrix), -1, *layer.weight.shape[2:]).to(layer.weight.dtype)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias.to(weight.dtype))
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = weight.shape
    else:
        layer.out_channels, layer.in_channels = weight.shape[:2]
