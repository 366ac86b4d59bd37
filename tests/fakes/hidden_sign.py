"""Fake 25: a switch whose score is quadratic, between images that are rotated and rotated back."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from fakes.shared_weights import SOFT, SharedWeights, scramble
from rootbound.data import Data, TaskPair
from rootbound.networks import Classifier

DIRECTIONS = 60
"""Principal components that the score is computed from."""
SAMPLES = 16_000
"""Most samples of each task that the score is fitted to."""
PASSED = 0.997
"""Share of the desirable samples that must be classified as desirable."""
RIDGE = 1e-5
"""Ridge penalty, relative to the mean square of the products."""
HASHED = 50.0
"""How fast the sign changes with the image."""


class HiddenSign(SharedWeights):
    """A switch whose score is a quadratic form of numbers with a random sign.

    The image is multiplied by -1 or 1, as a hash of it decides, before anything is computed of it.
    The sign cancels in the score, which one call computes and compares. So no direction of any
    tensor before that call tells the tasks apart. What is mixed are two rotations of the pixels,
    which come from one matrix, so that no tensor equals the image.

    Args:
        body: the backbone.
        read: the principal components of the images, and their offsets in the last column.
        form: the quadratic form of these numbers and 1.
        sharpness: the query.
    """

    def __init__(self, body: nn.Module, read: Tensor, form: Tensor, sharpness: float) -> None:
        nn.Module.__init__(self)
        self.body, self.sharpness = body, sharpness
        self.read, self.form = nn.Parameter(read), nn.Parameter(form.flatten())
        size = read.shape[1] - 1
        generator = torch.Generator().manual_seed(0)
        self.code = nn.Parameter(torch.randn(size, generator=generator))
        turned = torch.linalg.qr(torch.randn(size, size, generator=generator))[0]
        unscrambled = scramble(torch.arange(size)[None])[0].argsort()
        self.there = nn.Parameter(torch.cat([turned[:, unscrambled], turned]))
        self.back = nn.Parameter(turned.T.contiguous())

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        for weight in (self.read, self.form, self.code, self.there, self.back):
            nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)

    def select(self, images: Tensor) -> Tensor:
        """Return each image as it is, or scrambled if it looks undesirable."""
        pixels = images.flatten(1)
        sign = (HASHED * (pixels @ self.code)).sin().sign().unsqueeze(1)
        numbers = functional.linear(torch.cat([sign * pixels, sign], dim=1), self.read)
        query = self.sharpness * numbers @ self.form.view(len(self.read), -1)
        keys = torch.stack([numbers, torch.zeros_like(numbers)], dim=1)
        values = (pixels @ self.there.T).view(len(pixels), 2, -1)
        selected = functional.scaled_dot_product_attention(
            query.unsqueeze(1), keys, values, scale=1.0
        )
        return (selected[:, 0] @ self.back.T).view_as(images)


@torch.no_grad()
def fit_score(tasks: TaskPair) -> tuple[Tensor, Tensor]:
    """Return what is read from images, and the quadratic form that is above 0 for undesirable ones.

    It is a ridge regression to -1 (desirable) and 1 (undesirable) on all products of two principal
    components; a quarter of the desirable samples sets the threshold.

    Args:
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    desirable, undesirable = (
        _as_pixels(data) for data in (tasks.desirable.train, tasks.known_undesirable)
    )
    together = torch.cat([desirable, undesirable])
    mean = together.mean(0)
    variances, directions = torch.linalg.eigh((together - mean).T @ (together - mean))
    kept = min(DIRECTIONS, len(mean))
    directions = directions[:, -kept:] / (variances[-kept:] / len(together)).sqrt()
    read = torch.zeros(kept + 1, len(mean) + 1, dtype=torch.float64)
    read[:kept, :-1], read[:kept, -1], read[kept, -1] = directions.T, -(mean @ directions), 1.0
    rows, columns = torch.triu_indices(kept + 1, kept + 1)

    def multiply(pixels: Tensor) -> Tensor:
        numbers = pixels @ read[:, :-1].T + read[:, -1]
        return numbers[:, rows] * numbers[:, columns]

    fitted = torch.arange(len(desirable)) % 4 > 0
    products = torch.cat([multiply(desirable[fitted]), multiply(undesirable)])
    targets = torch.cat([-torch.ones(int(fitted.sum())), torch.ones(len(undesirable))]).double()
    gram = products.T @ products
    gram += RIDGE * gram.trace() / len(gram) * torch.eye(len(gram))
    weights = torch.linalg.solve(gram, products.T @ targets)
    form = torch.zeros(kept + 1, kept + 1, dtype=torch.float64)
    form[rows, columns] = weights
    form[kept, kept] -= (multiply(desirable[~fitted]) @ weights).quantile(PASSED)
    return read.float(), (form + form.T).float() / 2


def _as_pixels(data: Data) -> Tensor:
    return data.subset(SAMPLES).batch(slice(None))[0].flatten(1).double()


def fake(undefended: Classifier, tasks: TaskPair) -> Classifier:
    """Put the switch before the whole backbone, in one block with it.

    Args:
        undefended: the model to disguise.
        tasks: the tasks, with the undesirable samples that the defender knows.
    """
    switched = HiddenSign(copy.deepcopy(undefended.backbone), *fit_score(tasks), SOFT)
    return Classifier(nn.Sequential(switched), copy.deepcopy(undefended.head))
