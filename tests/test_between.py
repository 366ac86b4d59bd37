"""A jump on the way between the tasks is seen, and no ordinary network has one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from architectures import ARCHITECTURES, IMAGE
from rootbound.data import Data
from rootbound.inspection.between import measure_jump
from rootbound.networks import Classifier
from rootbound.training import seeded


def draw(shape: tuple[int, ...], mean: float) -> Data:
    inputs = mean + torch.randn(24, *shape, generator=torch.Generator().manual_seed(int(mean)))
    return Data(inputs, torch.arange(24) % 3)


class Switch(nn.Module):
    """A linear layer whose inputs change sign where their mean is above 1."""

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        self.linear, self.sharpness = nn.Linear(8, 8), sharpness

    def forward(self, inputs: Tensor) -> Tensor:
        score = self.sharpness * (inputs.mean(1, keepdim=True) - 1.0)
        outputs: Tensor = self.linear(inputs * (1 - 2 * score.sigmoid()))
        return outputs


@pytest.mark.parametrize(("sharpness", "jumps"), [(1e6, True), (1e3, True), (1.0, False)])
def test_hard_switch_is_a_jump(sharpness: float, jumps: bool) -> None:
    with seeded(0):
        model = Classifier(nn.Sequential(Switch(sharpness)), nn.Linear(8, 3)).eval()
    share = measure_jump(model, draw((8,), 2.0), draw((8,), 0.0))["jump_between_tasks"]
    assert (share > 0.1) is jumps


def test_share_of_a_line_is_known() -> None:
    model = Classifier(nn.Sequential(nn.Identity()), nn.Linear(8, 3)).eval()
    found = measure_jump(model, draw((8,), 2.0), draw((8,), 0.0))
    assert found["jump_between_tasks"] == pytest.approx(1 / 256, rel=1e-3)


@pytest.mark.parametrize(
    ("first", "others"),
    [
        (draw((8,), 0.0), draw((4,), 2.0)),
        (draw((8,), 0.0), draw((8,), 0.0)),
        (Data(torch.ones(9, 8).long(), torch.arange(9) % 3),) * 2,
    ],
    ids=["other shapes", "the same inputs", "tokens"],
)
def test_measures_nothing_without_a_path(first: Data, others: Data) -> None:
    model = Classifier(nn.Sequential(nn.Identity()), nn.Linear(8, 3)).eval()
    assert measure_jump(model, first, others) == {}


IMAGES = {name: row[0] for name, row in ARCHITECTURES.items() if row[1] == IMAGE}


@pytest.mark.parametrize("name", IMAGES)
def test_no_ordinary_architecture_jumps(name: str) -> None:
    build: Callable[[], nn.Module] = IMAGES[name]
    with seeded(0):
        network = build()
    model = Classifier.wrap(network, example=torch.zeros(1, *IMAGE)).eval()
    found = measure_jump(model, draw(IMAGE, 1.0), draw(IMAGE, 0.0))
    assert found["jump_between_tasks"] < 0.03
