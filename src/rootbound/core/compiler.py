"""Loading torch's compiler, which torch itself does even where it is not needed."""

from __future__ import annotations

import torch


def load_compiler() -> None:
    """Let torch load its compiler, as it does with its first optimiser.

    That takes seconds, which should not count for any trial or training. Interrupted by a time
    limit, the compiler would be only half loaded.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)])
