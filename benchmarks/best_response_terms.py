"""BestResponse with one more term of the last features: what was tried beside the method."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from rootbound.data import Batch
from rootbound.methods import BestResponse
from rootbound.methods.parts.blocks import passed_on
from rootbound.networks import Classifier
from rootbound.networks.block_outputs import pool_outputs
from rootbound.training.explained_variance import explained_variance, linear_information


@dataclass(frozen=True)
class More(BestResponse):
    """One term more, of the undesirable batch's last features; subclasses write it.

    Args:
        more: its weight, relative to the others.
    """

    more: float = 1.0

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        """Return the loss with the term."""
        value = super().loss(model, desirable, undesirable, progress)
        weight = self._weight(progress)
        return value + weight * self.more * self.term(model, *undesirable) if weight else value

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the term of an undesirable batch."""
        raise NotImplementedError

    def outputs(self, model: Classifier, inputs: Tensor) -> list[Tensor]:
        """Return the output of every block but the first, which is not trained by this term."""
        return list(passed_on(model.blocks, inputs, 1))[1:]


@dataclass(frozen=True)
class FewShot(More):
    """What a ridge head of `shots` samples explains of the rest, differentiated through."""

    shots: int = 50

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the share explained of samples that the head has not seen, at least 0."""
        return generalised(self.outputs(model, inputs)[-1], labels, self.shots)


@dataclass(frozen=True)
class FewShotEverywhere(FewShot):
    """The same for the outputs of every block that is trained, averaged over places."""

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean share explained over blocks."""
        blocks = model.blocks[1:]
        found = [
            generalised(pool_outputs(block, outputs).flatten(1), labels, self.shots)
            for block, outputs in zip(blocks, self.outputs(model, inputs), strict=True)
        ]
        return torch.stack(found).mean()


def generalised(features: Tensor, labels: Tensor, shots: int) -> Tensor:
    """Return the share of the other labels' variance that a ridge head of some samples explains."""
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        targets = functional.one_hot(labels).to(features.dtype)
        support, query = features[:shots], features[shots:]
        middle, mean = support.mean(0), targets[:shots].mean(0)
        support, query = support - middle, query - middle
        products = support @ support.T
        ridge = 0.1 * products.diagonal().mean().detach() + 1e-8
        head = torch.linalg.solve(products + ridge * torch.eye(shots), targets[:shots] - mean)
        wanted = targets[shots:] - mean
        missed = (query @ support.T @ head - wanted).square().sum()
        explained: Tensor = 1 - missed / wanted.square().sum()
        least: Tensor = explained.clamp_min(0)
        return least


@dataclass(frozen=True)
class RandomFeatures(More):
    """The best response of a head on 96 fresh random ReLU features of the last ones."""

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the information of the random features."""
        features = self.outputs(model, inputs)[-1]
        spread = features.std(0).detach() + 1e-6
        standard = (features - features.mean(0).detach()) / spread
        mixed = standard @ torch.randn(features.shape[1], 96) / math.sqrt(features.shape[1])
        hidden = functional.relu(mixed + torch.randn(96))
        return linear_information(hidden, labels, self.ridge)


@dataclass(frozen=True)
class Pillai(More):
    """R2, the trace, in place of the information after the activation (weigh `more` 1 or 2)."""

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the share explained, less the information that the loss has of them."""
        features = self.outputs(model, inputs)[-1]
        known = linear_information(features, labels, self.ridge)
        return 2 * explained_variance(features, labels, self.ridge) - known


@dataclass(frozen=True)
class WithinClasses(More):
    """Covariances within classes in place of all samples': the trace of Hotelling and Lawley."""

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the sum of `E / (1 - E)`, less the information that the loss has of them."""
        features = self.outputs(model, inputs)[-1]
        targets = functional.one_hot(labels).to(features.dtype)
        counts = targets.sum(0).clamp_min(1)
        means = (targets.T @ features) / counts[:, None]
        within = features - targets @ means
        covariance = within.T @ within / len(features)
        loading = self.ridge * covariance.diagonal().mean().detach() + 1e-8
        between = (means - features.mean(0)) * (counts / len(features)).sqrt()[:, None]
        solved = torch.linalg.solve(covariance + loading * torch.eye(len(covariance)), between.T)
        trace: Tensor = (between * solved.T).sum() / (targets.shape[1] - 1)
        return 0.2 * trace - linear_information(features, labels, self.ridge)


@dataclass(frozen=True)
class Simulated(More):
    """First-order: some steps of fine-tuning everything, then no better than knowing nothing.

    Args:
        inner_steps: of the simulated attacker, with a new head.
        inner_rate: of its gradient descent.
    """

    inner_steps: int = 3
    inner_rate: float = 0.1

    def term(self, model: Classifier, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return what its cross-entropy on the other half of the batch lacks of log K."""
        classes, half = int(labels.max()) + 1, len(labels) // 2
        attacker = model.with_head(classes, int(torch.randint(2**31, ())))
        fixed = {id(one) for one in model.blocks[0].parameters()}
        named = model.backbone.named_parameters(prefix="backbone")
        own = {name: value for name, value in named if id(value) not in fixed}
        fast = {
            name: own.get(name, value.detach().requires_grad_())
            for name, value in attacker.named_parameters()
        }
        for _ in range(self.inner_steps):
            logits = functional_call(attacker, fast, inputs[:half])
            loss = functional.cross_entropy(logits, labels[:half])
            slopes = torch.autograd.grad(loss, list(fast.values()), allow_unused=True)
            fast = {
                name: value if slope is None else value - self.inner_rate * slope.detach()
                for (name, value), slope in zip(fast.items(), slopes, strict=True)
            }
        logits = functional_call(attacker, fast, inputs[half:])
        missing = math.log(classes) - functional.cross_entropy(logits, labels[half:])
        return functional.relu(missing)
