"""The contract of any network of a user: its blocks together compute what the network does."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures import ARCHITECTURES, TEXT, PlainCNN, ShallowCNN
from rootbound.attacks import Budget, ExactLastLayer, FineTune
from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.datasets import mnist
from rootbound.evaluation import evaluate
from rootbound.inspection.pictures import find_convolution
from rootbound.methods import BestResponse, Schedule
from rootbound.networks import Classifier, shallow_cnn
from rootbound.networks.blocks.sequence import Block, BlockSequence
from rootbound.networks.weights import own_weights
from rootbound.suites import Suite
from rootbound.training import Recipe
from test_networks import check, image_tasks, share, text_tasks

each = pytest.mark.parametrize("name", ARCHITECTURES)


def make(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ARCHITECTURES[name][0]()


def samples(name: str, count: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *ARCHITECTURES[name][1])
    if len(shape) == 2:
        return torch.randint(1, 20, shape, generator=generator).int()
    return torch.randn(shape, generator=generator)


def run(network: nn.Module, inputs: Tensor, mode: bool) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        outputs = network.train(mode)(inputs)
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    assert isinstance(outputs, Tensor)
    return outputs


def parts(model: Classifier) -> list[Block]:
    return [block for block in model.blocks if isinstance(block, Block)]


@each
def test_blocks_compute_the_network(name: str) -> None:
    module = make(name)
    model = Classifier.wrap(module, example=samples(name, 1))
    assert len(model.blocks) >= ARCHITECTURES[name][2]
    exact = name != "conv_head"  # the mean before the linear layer in place of after it
    for mode in (True, False):
        inputs = samples(name, seed=1)
        expected, outputs = run(module, inputs, mode), run(model, inputs, mode)
        assert torch.equal(outputs, expected) if exact else torch.allclose(outputs, expected)
        expected.square().sum().backward()
        outputs.square().sum().backward()
    own = dict(module.named_parameters())
    assert isinstance(model.backbone, BlockSequence)
    seen = dict(model.backbone.named_weights())
    for path, value in seen.items():
        if exact and isinstance(value, nn.Parameter):
            expected_gradient = own[path].grad
            assert value.grad is not None
            assert expected_gradient is not None
            assert torch.equal(value.grad, expected_gradient), path
    left_out = {path.split(".")[0] for path in own.keys() - seen.keys()} - {"aux"}
    assert left_out == {model.head_name.split(".")[0]} or name == "data_parallel"


@each
def test_network_survives_copying_and_unwrapping(name: str) -> None:
    module = make(name)
    model = Classifier.wrap(module, example=samples(name, 1))
    inputs = samples(name)
    expected = run(model, inputs, mode=False)
    back = model.unwrapped()
    assert type(back) is type(module)
    own, given = back.state_dict(), module.state_dict()
    assert list(own) == list(given)
    assert all(torch.equal(own[key], given[key]) for key in own)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(run(copied, inputs, mode=False), expected)
    for trained in range(len(model.blocks) + 1):
        prefix, rest = model.eval().split(trained)
        # Without gradients, torch may take another way to the same numbers.
        assert torch.allclose(rest(prefix(inputs)), expected, atol=1e-5)
    drawn = model.reinitialised(seed=1)
    again = make(name)
    again.load_state_dict(drawn.unwrapped().state_dict())
    assert torch.equal(run(again, inputs, mode=False), run(drawn.unwrapped(), inputs, mode=False))


@pytest.mark.slow
@pytest.mark.usefixtures("one_behaviour")
@each
def test_network_is_trained_and_attacked_at_every_depth(name: str) -> None:
    module, turn = make(name), list(ARCHITECTURES).index(name)
    model = Classifier.wrap(module, example=samples(name, 1))
    tasks = text_tasks if ARCHITECTURES[name][1] == TEXT else image_tasks
    check(lambda: model, tasks, share(turn % 28, 28))


def test_writing_style_changes_no_bit() -> None:
    digits = mnist()
    digits = replace(digits, train=digits.train.subset(600), test=digits.test.subset(300))
    few = digits.split(range(5), range(5, 10))
    built_in = shallow_cnn(5)
    module = ShallowCNN(5).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    values = list(built_in.state_dict().values())
    module.load_state_dict(dict(zip(module.state_dict(), values, strict=True)))
    written = Classifier.wrap(module, example=few.desirable.train.batch(slice(0, 1))[0])
    schedule = Schedule(finishing_steps=5)
    method = BestResponse(Recipe(epochs=1, batch_size=64), schedule=schedule)
    suite = Suite(
        "bits-1", (ExactLastLayer(1e-2), FineTune(None, "kept", "adam", 1e-3)), (Budget(10, 2),)
    )
    found = []
    for model in (built_in, written):
        defended = method.fit(model, few)
        records = evaluate(defended, few, suite=suite, seeds=1, workers=1).records
        weights = list(own_weights(defended).values())
        found.append((weights, [(record.arm, record.attack, record.test) for record in records]))
    (weights, attacked), (written_weights, written_attacked) = found
    assert all(map(torch.equal, weights, written_weights))
    assert attacked == written_attacked


def test_accepts_points_named_by_hand() -> None:
    module = make("resnet_basic")
    model = Classifier.wrap(module, blocks=["layer1", "layer2.0"])
    assert [next(iter(block.network.named_children()))[0] for block in parts(model)] == [
        "stem",
        "layer2",
        "layer2",
    ]
    assert torch.equal(
        run(model, samples("cnn"), mode=True), run(module, samples("cnn"), mode=True)
    )


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("inception", ["layer1.0.one"]),
        ("resnet_basic", ["layer2", "layer1"]),
        ("resnet_basic", ["nowhere"]),
        ("lstm", ["lstm"]),
    ],
)
def test_refuses_points_that_data_can_bypass(name: str, points: list[str]) -> None:
    with pytest.raises(InputError, match="blocks to name modules") as caught:
        Classifier.wrap(make(name), example=samples(name), blocks=points)
    assert len(str(caught.value).splitlines()) == 1


def test_points_need_fitting_samples() -> None:
    unusual = nn.Sequential(nn.Conv2d(3, 4, 9), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 13 * 9, 3))
    with pytest.raises(InputError, match="pass example="):
        Classifier.wrap(unusual, blocks=["1"])


def test_network_that_only_runs_in_evaluation_mode_is_one_block() -> None:
    class Deployed(PlainCNN):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("merged for inference")
            return super().forward(x)

    model = Classifier.wrap(Deployed().eval(), example=samples("cnn"))
    assert len(model.blocks) == 1
    assert not model.training


class TwoFaced(PlainCNN):
    """Has other layers for where it is looked at than for where it is used."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.other, self.when = nn.Conv2d(3, 8, 3), when
        if when == "calls":
            self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.when == "calls":
            self.calls += 1
        is_seen = {
            "gradients": torch.is_grad_enabled(),
            "inference": not torch.is_inference_mode_enabled(),
            "one": len(x) == 1,
            "few": len(x) < 100,
            "calls": getattr(self, "calls", 0) < 100,
        }[self.when]
        x = (self.conv1 if is_seen else self.other)(x).relu()
        logits: Tensor = self.fc(self.hidden(F.adaptive_avg_pool2d(x, 3).flatten(1)).relu())
        return logits


@pytest.mark.parametrize("when", ["gradients", "inference", "one", "few", "calls"])
def test_network_with_data_dependent_flow_runs_unchanged(when: str) -> None:
    """Blocks that hold for what was seen would be another network, without some of its weights."""
    module = TwoFaced(when).eval()
    model = Classifier.wrap(module, example=samples("cnn", 1)).eval()
    assert len(list(model.parameters())) == len(list(module.parameters()))
    inputs = samples("cnn", 128)
    for mode in (torch.enable_grad(), torch.inference_mode()):
        with mode:
            assert torch.equal(model(inputs), copy.deepcopy(module)(inputs))
            assert torch.equal(model(inputs[:1]), copy.deepcopy(module)(inputs[:1]))


def test_accepts_any_tensors_beside_the_weights() -> None:
    module = PlainCNN()
    module.register_buffer("phases", torch.randn(4, dtype=torch.complex64))
    module.register_buffer("sparse", torch.eye(3).to_sparse())
    module.register_buffer("mask", torch.ones(3, dtype=torch.bool))
    assert len(Classifier.wrap(module, example=samples("cnn", 1)).blocks) > 1


@pytest.mark.slow
def test_published_network_is_cut_at_many_points() -> None:
    """EfficientNet-Lite0 as others wrote it, whose layers are classes of their own."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    module = package.EfficientNet.from_name("efficientnet-lite0").eval()
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model = Classifier.wrap(module, example=inputs[:1]).eval()
    assert len(model.blocks) >= 8
    assert model.head_name == "_fc"
    assert torch.equal(model(inputs), module(inputs))
    # Its last maps are of 2 by 2 pixels, which show no place.
    found = find_convolution(model, Data(inputs, torch.tensor([0, 1])))
    assert found is not None
    sizes: list[int] = []
    model.get_submodule(found).register_forward_hook(lambda *seen: sizes.append(len(seen[2][0, 0])))
    model(inputs)
    assert sizes == [4]
