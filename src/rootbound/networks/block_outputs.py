"""The outputs of blocks: pooled features, or the states of a text and their mask.

The blocks of a text model pass one tensor `(N, L, D + 1)` from each to the next: the states, and in
the last channel the mask, 1 where a token counts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import PADDING

MOST_FEATURES = 512
"""Maps and tokens are averaged over the finest grid that leaves at most this many features."""
BAG_SIZE = 1024
"""Size of a bag of tokens: wide enough to tell words apart, narrow enough for exact probes."""


def is_masked(block: nn.Module) -> bool:
    """Return whether a block passes on the states of texts with their mask."""
    return bool(getattr(block, "masked", False))


def pool_outputs(block: nn.Module, outputs: Tensor) -> Tensor:
    """Return features `(N, D)`, averaged over positions so that D <= `MOST_FEATURES` or channels.

    Args:
        block: The block that made the outputs; where it is masked, the average is over the tokens
            that count.
        outputs: Features `(N, D)`, maps `(N, C, H, W)`, or tokens `(N, L, C)`.
    """
    if is_masked(block):
        return average_states(*split_mask(outputs))
    if outputs.dim() == 3 and outputs[0].numel() > MOST_FEATURES:
        length = min(max(1, MOST_FEATURES // outputs.shape[2]), outputs.shape[1])
        outputs = functional.adaptive_avg_pool1d(outputs.transpose(1, 2), length)
    if outputs.dim() == 4 and outputs[0].numel() > MOST_FEATURES:
        side = max(1, int((MOST_FEATURES / outputs.shape[1]) ** 0.5))
        height, width = outputs.shape[2:]
        outputs = functional.adaptive_avg_pool2d(outputs, (min(side, height), min(side, width)))
    return torch.flatten(outputs, 1)


class PooledBlock(nn.Module):
    """A block whose outputs are pooled."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features `(N, D)`."""
        return pool_outputs(self.block, self.block(inputs))


def trim_padding(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return tokens `(N, L)` as int64 and their mask, as long as the longest text of the batch.

    Batches of short texts are then fast. At least one column stays, and the first token of a text
    counts even where it is padding.

    Args:
        tokens: Tokens `(N, L)`, with padding at the end.
    """
    tokens = tokens.long()
    mask = tokens != PADDING
    filled = mask.any(0).nonzero()
    longest = int(filled[-1]) + 1 if len(filled) else 1
    mask = mask[:, :longest].clone()
    mask[:, 0] = True
    return tokens[:, :longest], mask


def exchange_padding(tokens: Tensor, padding: int) -> Tensor:
    """Exchange 0, our padding, with a model's own number for padding; twice changes nothing."""
    if padding == PADDING:
        return tokens
    swapped = torch.where(tokens == padding, PADDING, tokens)
    return torch.where(tokens == PADDING, padding, swapped)


def join_mask(states: Tensor, mask: Tensor) -> Tensor:
    """Return states and mask as one tensor `(N, L, D + 1)`, with zeros where states do not count.

    Zeros may be appended to it without changing its meaning.
    """
    counted = mask.unsqueeze(2).to(states.dtype)
    return torch.cat([states * counted, counted], dim=2)


def split_mask(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the states `(N, L, D)` and the mask `(N, L)` that `join_mask` joined."""
    return outputs[..., :-1], outputs[..., -1] > 0.5


def find_last(mask: Tensor) -> Tensor:
    """Return the position `(N,)` of the last token of each text that counts."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    return (mask * positions).amax(1)


def average_states(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `(N, D)` of the states that count."""
    counted = mask.unsqueeze(2).to(states.dtype)
    total: Tensor = (states * counted).sum(1)
    return total / counted.sum(1).clamp_min(1)


def bag_tokens(tokens: Tensor, size: int = BAG_SIZE) -> Tensor:
    """Return the share of each token in a text, `(N, size)`, whatever their order.

    Args:
        tokens: Tokens `(N, L)`; padding does not count.
        size: Size of the bag; tokens whose numbers differ by a multiple of it count as one.
    """
    mask = (tokens != PADDING).float()
    shares = mask.new_zeros(len(tokens), size).scatter_add_(1, tokens.long() % size, mask)
    return shares / mask.sum(1, keepdim=True).clamp_min(1)
