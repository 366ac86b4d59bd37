"""A defence of your own: subclass LossMethod and write the loss."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

import rootbound as rb
from rootbound.data import Batch


@dataclass(frozen=True)
class Flatten(rb.LossMethod):
    """Pull all undesirable samples to one point: `CE(desirable) + weight * variance`."""

    weight: float = 0.1

    def loss(
        self, model: rb.Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        spread = model.features(undesirable[0]).var(dim=0).mean()
        return cross_entropy(model(desirable[0]), desirable[1]) + self.weight * spread


if __name__ == "__main__":
    tasks = rb.datasets.mnist().split(range(5), range(5, 10))
    rivals = (rb.methods.Plain(), rb.methods.BestResponse(), Flatten())
    rb.compare(rivals, tasks, rb.models.shallow_cnn(5), seeds=1, workers=2, folder="own-method/")
    print(rb.report.write("own-method/"))
