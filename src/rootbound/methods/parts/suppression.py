"""What a simulated attacker's predictions are judged by: lower means that it has gained less."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional

Suppression = Literal["inverse", "negated", "uniform", "entropy"]


def suppression_loss(name: Suppression, logits: Tensor, labels: Tensor) -> Tensor:
    """Return how well samples are predicted, the mean over them.

    For a predicted distribution `p` over C classes and a label `y`:
    - `inverse`: the inverse cross-entropy `-log(1 - p_y)`, at least 0;
    - `negated`: `CE(-logits, y)`, at least 0;
    - `uniform`: `KL(1/C || p)`, at least 0;
    - `entropy`: `sum_c p_c log p_c`, the negative entropy, at least `-log C`.

    Args:
        name: which one.
        logits: `(N, C)`.
        labels: `(N,)` int64; the last two do not look at them.
    """
    logs = functional.log_softmax(logits, 1)
    if name == "uniform":
        return -math.log(logits.shape[1]) - logs.mean()
    if name == "entropy":
        return (logs.exp() * logs).sum(1).mean()
    if name == "negated":
        return functional.cross_entropy(-logits, labels)
    own = functional.one_hot(labels, logits.shape[1]).bool()
    # log(1 - p) through the other classes: exact where p rounds to 1.
    others = logs.masked_fill(own, -math.inf).logsumexp(1)
    return -others.mean()
