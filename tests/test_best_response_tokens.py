"""What the closed form says where the classes are the tokens of a vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rootbound.training.explained_variance import explained_variance, linear_information
from test_best_response_oracle import sample


def test_frequent_tokens_dominate_the_share_but_not_the_information() -> None:
    """What docs/method.md says of vocabularies."""
    generator = torch.Generator().manual_seed(3)
    labels = (torch.rand(20_000, generator=generator) ** 3 * 12).long()
    faint = torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    faint[:, 0] += 0.8 * (labels == 11)
    frequency = torch.bincount(labels) / len(labels)
    assert frequency[0] > 10 * frequency[11] > 0
    alone = [float(explained_variance(faint, (labels == k).long(), 1e-9)) for k in range(12)]
    shares, weights = torch.tensor(alone), frequency * (1 - frequency)
    share = float((weights * shares).sum() / weights.sum())
    assert float(explained_variance(faint, labels, 1e-9)) == pytest.approx(share, rel=1e-4)
    information = float(((1 - frequency) * shares).sum() / 11)
    assert information == pytest.approx(float(linear_information(faint, labels, 1e-9)), rel=0.02)
    # Here the best head tells the rarest token alone.
    assert information > 1.5 * share


def test_tokens_seen_once_teach_nothing() -> None:
    """Then both values are constants of the batch, whatever the features are."""
    labels = torch.arange(60)
    for seed in range(3):
        features = sample(seed)[0].requires_grad_()
        share = explained_variance(features, labels, 1e-9)
        information = linear_information(features, labels, 1e-9)
        assert float(share.detach()) == pytest.approx(7 / 59, rel=1e-5)
        assert float(information.detach()) == pytest.approx(7 / 59 * np.log(10_001), rel=1e-3)
        (share + information).backward()
        assert features.grad is not None
        assert float(features.grad.abs().max()) < 1e-4
