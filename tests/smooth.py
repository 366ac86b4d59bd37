"""A small smooth network in float64 and batches for it, for comparing gradients."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from rootbound.data import Batch
from rootbound.networks import Classifier


def small_network(seed: int = 0) -> Classifier:
    """Smooth, in float64, with BatchNorm in training mode."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(
        nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh()), nn.Linear(6, 5)
    )
    return Classifier(backbone, nn.Linear(5, 3)).double().train()


def small_batches(count: int, size: int = 8, seed: int = 1) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, 4, generator=generator, dtype=torch.float64),
            torch.arange(size) % 3,
        )
        for _ in range(count)
    ]


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(batch[0]), batch[1])


def best_mixing(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Solve for W with a general solver for box constraints."""
    z, y = logits.numpy(), labels.numpy()
    classes = z.shape[1]

    def objective(flat: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        mixed = z @ flat.reshape(classes, classes)
        return float(np.mean(np.log(np.exp(mixed).sum(1)) - mixed[np.arange(len(y)), y]))

    options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-10}
    bounds = [(-1, 1)] * classes**2
    solved = minimize(objective, np.zeros(classes**2), bounds=bounds, options=options)
    return float(solved.fun), torch.from_numpy(solved.x).view(classes, classes)
