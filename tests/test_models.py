"""Classifiers: cutting, wrapping, and drawing weights anew leave everything else alone."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lookalikes
from rootbound.core.errors import InputError
from rootbound.data import Data
from rootbound.inspection.pictures import find_convolution
from rootbound.networks import MODELS, Classifier, batch_norm_cnn, build, deep_cnn, shallow_cnn
from rootbound.networks.registry import TEXT_MODELS
from samples import IMAGE as SHAPE
from samples import samples_for, shape_for


class Nested(nn.Module):
    """A network of someone else's, with its head two levels down and not last by name."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.ModuleDict(
            {"drop": nn.Dropout(0.5), "out": nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 4))}
        )
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU())

    def forward(self, inputs: Tensor) -> Tensor:
        dropped = self.classifier["drop"](self.trunk(inputs))
        logits: Tensor = self.classifier["out"](dropped)
        return logits


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(256, 5)
        self.fc = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.hidden(inputs.flatten(1)).relu())
        return logits


class Raw(nn.Module):
    """Holds weights of its own and cannot draw them anew."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(256))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1) * self.scale


def images(count: int = 5) -> Tensor:
    return samples_for("an image model", count)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Classifier:
    name = str(request.param)
    return build(name, 3, shape_for(name), seed=0)


@pytest.mark.parametrize("name", list(MODELS))
def test_splitting_anywhere_changes_nothing(name: str) -> None:
    model, samples = build(name, 3, shape_for(name)).eval(), samples_for(name)
    expected = model(samples)
    for trained in range(len(model.blocks) + 1):
        prefix, rest = model.split(trained)
        assert torch.equal(rest(prefix(samples)), expected), f"{trained} trained blocks"
        assert len(rest.blocks) == trained
        assert not any(parameter.requires_grad for parameter in prefix.parameters())
        assert all(parameter.requires_grad for parameter in rest.parameters())


def test_splitting_a_wrapped_network_changes_nothing() -> None:
    model = Classifier.wrap(Flat(), "fc").eval()
    for trained in (0, 1):
        prefix, rest = model.split(trained)
        assert torch.equal(rest(prefix(images())), model(images()))


def test_split_parts_share_no_weights_with_the_whole(model: Classifier) -> None:
    before = weights(model)
    for part in model.split(2):
        for parameter in part.parameters():
            parameter.data.add_(1)
    assert same(weights(model), before)


@pytest.mark.parametrize(("make", "head"), [(Flat, "fc"), (Nested, "classifier.out.1")])
def test_head_is_the_layer_that_gives_the_output(make: Callable[[], nn.Module], head: str) -> None:
    module = make().eval()
    model = Classifier.wrap(module, example=images()).eval()
    assert same(weights(model), weights(Classifier.wrap(module, head)))
    assert torch.equal(model(images()), module(images()))


@pytest.mark.parametrize(
    "make", [Raw, nn.ReLU, lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 4), nn.ReLU())]
)
def test_asks_for_a_head_that_does_not_come_last(make: Callable[[], nn.Module]) -> None:
    for example in (None, images()):
        with pytest.raises(InputError, match="whose outputs are the logits"):
            Classifier.wrap(make(), example=example)


@pytest.mark.parametrize("head", ["trunk.1", "hidden"])
def test_refuses_a_head_with_layers_behind_it(head: str) -> None:
    module = nn.Sequential()
    module.add_module("trunk", nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU()))
    module.add_module("hidden", nn.Linear(8, 4))
    module.add_module("last", nn.Linear(4, 4))
    with pytest.raises(InputError, match=f"does more after {head}"):
        Classifier.wrap(module, head, images())


class Tied(Nested):
    """Computes the logits itself, with the weights of its last layer."""

    def forward(self, inputs: Tensor) -> Tensor:
        last = self.get_submodule("classifier.out.1")
        assert isinstance(last, nn.Linear)
        return functional.linear(self.trunk(inputs), last.weight, last.bias)


def test_names_a_function_behind_the_head() -> None:
    with pytest.raises(InputError, match="got one that ends with the function linear; end its"):
        Classifier.wrap(Tied(), example=images())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("inside", [False, True])
def test_refuses_torchscript(inside: bool) -> None:
    traced = torch.jit.trace(Flat().eval(), images())
    module = nn.Sequential(traced, nn.ReLU(), nn.Linear(4, 4)) if inside else traced
    got = "TorchScript in 0" if inside else "a network of TorchScript"
    with pytest.raises(InputError, match=f"Python modules; got {got}; build it by its Python"):
        Classifier.wrap(module, example=images())


class Held(nn.Module):
    """As in `transformers`: what comes out is an object with the logits in it."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = Flat()

    def forward(self, inputs: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.flat(inputs))


class OneNumber(Flat):
    """As networks for two classes often end."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs)[:, 0]


class Pair(Flat):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs), inputs  # type: ignore[return-value]


class Asserting(Flat):
    """As torchvision's transformers and timm's do with other sizes than their own."""

    def forward(self, inputs: Tensor) -> Tensor:
        assert inputs.shape[-1] == 8, "Wrong image width"
        return super().forward(inputs)


class Two(Flat):
    def forward(self, inputs: Tensor, _: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(inputs)


@pytest.mark.parametrize(
    ("make", "head", "said"),
    [
        (Held, None, r"SimpleNamespace, which holds.*return self.network\(inputs\).logits`"),
        (Held, "flat.fc", r"SimpleNamespace, which holds.*return self.network\(inputs\).logits`"),
        (Pair, None, "got tuple; wrap a module whose forward returns the logits alone"),
        (
            OneNumber,
            None,
            r"outputs of shape \(\d+,\); let it end with .* an output for each class",
        ),
        (Asserting, None, r"shape \(1, 16, 16\) \(Wrong image width\)"),
        (Two, "fc", "shape.*missing 1 required positional argument"),
        (lambda: nn.Linear(9, 3), None, "shape.*cannot be multiplied"),
    ],
)
def test_names_outputs_that_are_no_logits(
    make: Callable[[], nn.Module], head: str | None, said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Classifier.wrap(make(), head, images())
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("head", ["flat.fc", None])
def test_names_non_tensor_outputs_without_an_example(head: str | None) -> None:
    model = Classifier.wrap(Held(), head)
    flat = model.backbone.flat
    assert isinstance(flat, Flat)
    for ask in (lambda: model(images()), lambda: model.check_inputs(SHAPE)):
        with pytest.raises(InputError, match="wrap a module whose forward returns the logits"):
            ask()


LOOKALIKES = [
    (lookalikes.TorchvisionResNet, "fc"),
    (lookalikes.TorchvisionMobileNet, "classifier.1"),
    (lookalikes.TorchvisionVisionTransformer, "heads.head"),
    (lookalikes.TimmVisionTransformer, "head"),
    (lookalikes.TimmCait, "head"),
]
DRAWN_WHOLE = (lookalikes.TimmCait,)
"""Some of their parameters belong to no layer that could draw them anew."""


@pytest.mark.parametrize(("make", "head"), LOOKALIKES)
def test_wraps_and_unwraps_networks_of_other_libraries(
    make: Callable[[], nn.Module], head: str
) -> None:
    module, samples = make().eval(), torch.rand(5, 3, 16, 16)
    draw = make if make in DRAWN_WHOLE else None
    for example in (None, samples):
        model = Classifier.wrap(module, example=example, fresh=draw)
        assert model.head_name == head
        assert torch.allclose(model.eval()(samples), module(samples), atol=1e-6)
        fresh = model.with_head(3, seed=1).reinitialised(seed=2)
        assert not same(weights(fresh.unwrapped()), weights(module))
        back = make().eval()
        back.load_state_dict(fresh.unwrapped().state_dict())
        assert torch.allclose(back(samples), fresh.eval()(samples), atol=1e-6)
    assert same(weights(model.unwrapped()), weights(module))


class Bare(nn.Module):
    """A block as ConvNeXt's: what its layer says is scaled by a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(256, 256)
        self.scale = nn.Parameter(0.1 * torch.randn(256))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = inputs + self.scale * self.linear(inputs)
        return outputs


def bare() -> nn.Module:
    return nn.Sequential(nn.Flatten(), Bare(), Bare(), nn.Linear(256, 3))


def seeds_itself() -> nn.Module:
    torch.manual_seed(0)
    return bare()


def pretrained_but_for_its_head() -> nn.Module:
    return nn.Sequential(*list(seeds_itself())[:3], nn.Linear(256, 3))  # type: ignore[call-overload]


OTHER = torch.Generator()


def drawn_elsewhere() -> nn.Module:
    module = bare()
    nn.init.normal_(module[1].scale, generator=OTHER)  # type: ignore[index]
    return module


@pytest.mark.parametrize(("make", "_"), LOOKALIKES)
def test_function_draws_random_weights(make: Callable[[], nn.Module], _: str) -> None:
    model, state = Classifier.wrap(make(), fresh=make), torch.get_rng_state()
    first, other = model.reinitialised(1), model.reinitialised(2)
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        expected = Classifier.wrap(make())
    assert same(weights(first.backbone), weights(expected.backbone)), "its own initialisation"
    assert not torch.equal(first.head.weight, model.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    assert not same(weights(first.backbone), weights(other.backbone))
    rest = model.with_head(5, 0).split(1)[1]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), rest):
        for parameter in again.parameters():
            parameter.data.fill_(9.0)
        redrawn = [weights(block) for block in again.reinitialised(1).blocks]
        expected_blocks = first.blocks[-len(redrawn) :]
        assert all(map(same, redrawn, [weights(block) for block in expected_blocks]))


@pytest.mark.parametrize("last", [0, 1, 2, None])
def test_function_draws_only_the_last_blocks(last: int | None) -> None:
    model = Classifier.wrap(bare(), fresh=bare)
    drawn, whole = model.reinitialised(5, last), model.reinitialised(5)
    unchanged = 0 if last is None else len(model.blocks) - last
    for position, (old, new) in enumerate(zip(model.blocks, drawn.blocks, strict=True)):
        expected = old if position < unchanged else whole.blocks[position]
        assert same(weights(new), weights(expected)), f"block {position}"
    assert not torch.equal(model.head.weight, drawn.head.weight)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (seeds_itself, "same ones under two seeds; return the network without pretrained"),
        (pretrained_but_for_its_head, "linear.weight the same ones under two seeds"),
        (drawn_elsewhere, "scale others under the same seed"),
        (lookalikes.TimmCait, "the same network.*got"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), "the same network.*got"),
        (Nested, "the same network.*got"),
        (lambda: None, "got NoneType instead of a torch.nn.Module; correct"),
    ],
)
def test_refuses_a_function_that_draws_other_weights(
    function: Callable[[], nn.Module], said: str
) -> None:
    with torch.random.fork_rng(devices=[]), pytest.raises(InputError, match=said) as caught:
        Classifier.wrap(bare(), fresh=function)
    assert len(str(caught.value).splitlines()) == 1


def test_refuses_a_function_that_cannot_be_pickled() -> None:
    model = Classifier.wrap(bare(), fresh=lambda: bare())  # noqa: PLW0108
    assert same(weights(copy.deepcopy(model).reinitialised(1)), weights(model.reinitialised(1)))
    with pytest.raises(InputError, match="define it with def at the top of a module"):
        pickle.dumps(model)


def test_tied_weights_stay_tied_after_unwrapping() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    module[2].weight = module[0].weight
    back = Classifier.wrap(module).unwrapped()
    assert isinstance(back, nn.Sequential)
    assert back[2].weight is back[0].weight
    assert same(weights(back), weights(module))


def test_refuses_to_unwrap_a_built_in_network(model: Classifier) -> None:
    with pytest.raises(InputError, match="made by wrap"):
        model.unwrapped()


@pytest.mark.parametrize("trained", [-1, 99])
def test_refuses_to_split_beyond_the_last_block(model: Classifier, trained: int) -> None:
    with pytest.raises(InputError, match="blocks to train"):
        model.split(trained)


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (Flat, "fc"),
        (Nested, "classifier.out.1"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 6)), "1"),
    ],
    ids=["flat", "nested", "sequential"],
)
def test_wrapped_network_computes_the_same(make: Callable[[], nn.Module], head: str) -> None:
    module = make().eval()
    before = weights(module)
    model = Classifier.wrap(module, head).eval()
    assert torch.equal(model(images()), module(images()))
    assert model.features(images()).shape == (5, model.head.in_features)
    assert model.classes == model.head.out_features
    for parameter in model.parameters():
        parameter.data.add_(1)
    assert same(weights(module), before), "the wrapped network was not copied"


@pytest.mark.parametrize("head", ["nothing", "hidden.weight", "classifier", "trunk.2", ""])
def test_refuses_a_head_that_is_not_linear(head: str) -> None:
    with pytest.raises(InputError, match=r"classifier\.out\.1"):
        Classifier.wrap(Nested(), head)


def test_refuses_a_network_that_is_only_a_head() -> None:
    # It has no backbone: to wrap it all the same would apply the layer twice.
    with pytest.raises(InputError):
        Classifier.wrap(nn.Linear(4, 4), "")


def fresh_head(model: Classifier, seed: int) -> Classifier:
    return model.with_head(7, seed)


def fresh_everything(model: Classifier, seed: int) -> Classifier:
    return model.reinitialised(seed)


fresh = pytest.mark.parametrize("draw", [fresh_head, fresh_everything])


@fresh
def test_fresh_weights_do_not_touch_the_argument_or_random_state(
    model: Classifier, draw: Callable[[Classifier, int], Classifier]
) -> None:
    before, state = weights(model), torch.get_rng_state()
    drawn = draw(model, 3)
    assert torch.equal(torch.get_rng_state(), state)
    for parameter in drawn.parameters():
        parameter.data.add_(1)
    assert same(weights(model), before)


@fresh
def test_seed_determines_fresh_weights(
    model: Classifier, draw: Callable[[Classifier, int], Classifier]
) -> None:
    first = draw(model, 3)
    torch.manual_seed(99)
    assert same(weights(first), weights(draw(model, 3)))
    assert not torch.equal(first.head.weight, draw(model, 4).head.weight)


@pytest.mark.parametrize("training", [False, True])
def test_parts_stay_in_the_mode_of_the_whole(training: bool) -> None:
    model = batch_norm_cnn(classes=3).train(training)
    model.blocks[0].eval()
    prefix, rest = model.split(2)
    assert not any(part.training for part in prefix.modules())
    assert {part.training for part in rest.modules()} == {training}
    other = model.with_head(7, seed=0)
    assert {name: part.training for name, part in other.named_modules()} == {
        name: part.training for name, part in model.named_modules()
    }


def test_with_head_keeps_the_backbone(model: Classifier) -> None:
    other, samples = model.eval().with_head(7, seed=0), samples_for(model.architecture)
    assert other.classes == 7
    assert other(samples).shape == (5, 7)
    assert torch.equal(other.features(samples), model.features(samples))
    assert other.architecture == model.architecture


@pytest.mark.parametrize("last", [0, 1, 2, None])
def test_reinitialised_leaves_the_first_blocks(model: Classifier, last: int | None) -> None:
    drawn = model.reinitialised(5, last)
    unchanged = 0 if last is None else len(model.blocks) - last
    for position, (old, new) in enumerate(zip(model.blocks, drawn.blocks, strict=True)):
        assert same(weights(old), weights(new)) == (position < unchanged), f"block {position}"
    assert not torch.equal(model.head.weight, drawn.head.weight)


@pytest.mark.parametrize("last", [-1, 99])
def test_refuses_to_reinitialise_missing_blocks(model: Classifier, last: int) -> None:
    with pytest.raises(InputError, match="blocks"):
        model.reinitialised(0, last)


def test_reinitialised_has_no_trace_of_the_old_weights(model: Classifier) -> None:
    changed = copy.deepcopy(model)
    for parameter in changed.parameters():
        parameter.data.fill_(9.0)
    assert same(weights(changed.reinitialised(1)), weights(model.reinitialised(1)))


def test_refuses_weights_that_cannot_be_redrawn() -> None:
    model = Classifier(nn.Sequential(Raw()), nn.Linear(256, 3))
    with pytest.raises(InputError, match="Raw, which holds weights"):
        model.reinitialised(0)
    before = weights(model.backbone)
    assert same(weights(model.reinitialised(0, last=0).backbone), before)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 16, 16), (1, 17, 40), (256,), (16, 16)])
def test_refuses_samples_of_another_shape(model: Classifier, shape: tuple[int, ...]) -> None:
    model.check_inputs(shape_for(model.architecture))
    if model.architecture.startswith("resnet") and shape in ((1, 4, 4), (1, 17, 40)):
        model.check_inputs(shape)  # the mean over pixels makes features of any size
        return
    with pytest.raises(InputError, match="samples that the model can take") as caught:
        model.check_inputs(shape)
    assert str(shape) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [RuntimeError(), ValueError("two\nlines"), IndexError("one")])
def test_input_errors_of_a_network_become_one_line(error: Exception) -> None:
    class Picky(nn.Module):
        def forward(self, _: Tensor) -> Tensor:
            raise error

    with pytest.raises(InputError) as caught:
        Classifier(Picky(), nn.Linear(2, 2)).check_inputs(SHAPE)
    assert len(str(caught.value).splitlines()) == 1


def test_check_inputs_changes_nothing() -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(256), nn.Dropout(0.5))
    model = Classifier(backbone, nn.Linear(256, 3)).train()
    before, state = weights(model), torch.get_rng_state()
    model.check_inputs(SHAPE)
    assert same(weights(model), before)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("make", [shallow_cnn, deep_cnn])
def test_seed_determines_built_in_networks(make: Callable[..., Classifier]) -> None:
    state = torch.get_rng_state()
    first = make(classes=3, shape=SHAPE, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert same(weights(first), weights(make(classes=3, shape=SHAPE, seed=1)))
    assert not same(weights(first), weights(make(classes=3, shape=SHAPE, seed=2)))
    assert first(images()).shape == (5, 3)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 20, 31)])
def test_built_in_networks_take_other_image_shapes(
    model: Classifier, shape: tuple[int, ...]
) -> None:
    shape = shape if model.architecture not in TEXT_MODELS else shape[2:]
    build(model.architecture, 4, shape).check_inputs(shape)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("shalow_cnn", SHAPE, "did you mean 'shallow_cnn'"),
        ("shallow_cnn", (256,), "channels, height, width"),
        ("shallow_cnn", (1, 0, 16), "channels, height, width"),
        ("shallow_cnn", (1, 4, 4), "shape"),
        ("deep_cnn", (1, 4, 4), "shape"),
        ("small_text", SHAPE, "texts of"),
        ("small_text", (5000,), "texts of"),
    ],
)
def test_refuses_networks_that_cannot_be_built(
    name: str, shape: tuple[int, ...], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        build(name, 3, shape)


def test_last_convolution_is_nearest_to_the_head() -> None:
    for side, channels in ((28, 32), (16, 16)):  # the last map of the small one is a point
        model = shallow_cnn(3, (1, side, side))
        name = find_convolution(model, Data(torch.rand(1, 1, side, side), torch.tensor([0])))
        assert name is not None
        convolution = model.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d) and convolution.out_channels == channels
    flat = Classifier.wrap(Flat(), "fc")
    assert find_convolution(flat, Data(torch.rand(1, *SHAPE), torch.tensor([0]))) is None


def test_resnet_20_has_the_papers_number_of_weights() -> None:
    model = build("resnet_20", 10, (3, 32, 32))
    # 0.27 million (He et al., table 6): 19 convolutions, their norms, and the head.
    assert sum(value.numel() for value in model.parameters()) == 269_722
    assert len(model.blocks) == 10
    features = model.eval().features(torch.randn(2, 3, 32, 32))
    assert features.shape == (2, 64) and bool((features >= 0).all())
