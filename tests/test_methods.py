"""The contract of every method: a new method is one new row."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rootbound as rb
from rootbound import methods
from rootbound.core.errors import InputError
from rootbound.data import Augmentation, TaskPair
from rootbound.inspection.between import measure_jump
from rootbound.inspection.pictures import with_best_head
from rootbound.methods import (
    CUTI,
    HNTL,
    IMMA,
    METHODS,
    MLAC,
    NTL,
    SOPHON,
    TAR,
    AdversarialHead,
    BestResponse,
    ConditionNumber,
    GradientAscent,
    Method,
    Plain,
    RepNoise,
    ReverseMAML,
    Schedule,
    SelectiveDistillation,
    SpectralDeformation,
    Terms,
    Unlearning,
)
from rootbound.networks import Classifier, batch_norm_cnn, deep_cnn, shallow_cnn
from rootbound.training import Recipe, TrainingDiverged, accuracy, predict

FAST = Recipe(epochs=6, batch_size=30, learning_rate=1e-2)
BRIEF = 5
"""Steps at the end of `BestResponse`, which has a hundred."""
ROWS: tuple[Method, ...] = (
    Plain(FAST),
    BestResponse(FAST, undesirable_batch_size=45, schedule=Schedule(finishing_steps=BRIEF)),
    BestResponse(
        FAST,
        terms=Terms(before_activation=0.0, depth_weight=0.0, first_weight=0.0),
        schedule=Schedule(wait=0.0, warm_in=0.0, finishing_steps=BRIEF),
    ),
    BestResponse(
        FAST,
        terms=Terms(projection=8),
        schedule=Schedule(first_block_until=0.0, finishing_steps=BRIEF),
    ),
    SelectiveDistillation(FAST, target=-2.0, head_epochs=4),
    Unlearning(
        FAST, noise_images=8, noise_steps=3, retained=20, impair_rate=1e-3, repair_rate=5e-3
    ),
    GradientAscent(FAST, steps=20, head_steps=20),
    AdversarialHead(FAST, undesirable_batch_size=30),
    AdversarialHead(FAST, heads=1, hidden=0, capped=False, weight=0.1),
    NTL(FAST, undesirable_batch_size=30),
    NTL(FAST, form="code", depth=1),
    CUTI(FAST, undesirable_batch_size=30),
    CUTI(FAST, style="random"),
    HNTL(FAST, undesirable_batch_size=30, latent=8, hidden=16),
    RepNoise(FAST, steps=20, head_steps=20),
    RepNoise(FAST, steps=10, noise="rectified", along=0),
    ConditionNumber(FAST, immunisation=Recipe(2, 30, 1e-3)),
    IMMA(FAST, outer_steps=20, inner_steps=5),
    MLAC(FAST, outer_steps=8, attack_steps=4, learning_rate=1e-3),
    ReverseMAML(FAST, undesirable_batch_size=30),
    SOPHON(FAST, outer_steps=5, attack_steps=5, attack_batch_size=20, check_every=2),
    SpectralDeformation(FAST),
    TAR(FAST, outer_steps=8, attack_steps=8, learning_rate=1e-3),
)

OF_EACH_CLASS = tuple({type(row): row for row in reversed(ROWS)}.values())
"""The first row of each method: for what a method's settings have no part in."""


def brief(method: Method, epochs: int) -> Method:
    """Return a method of few epochs and steps of its own, for what their number has no part in."""
    own = ("outer_steps", "steps", "head_steps")
    few: dict[str, Any] = {name: 3 for name in own if hasattr(method, name)}
    return replace(method.for_epochs(epochs), **few)


def weights(model: Classifier) -> torch.Tensor:
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def test_every_method_has_a_contract_row() -> None:
    assert {type(row).__name__ for row in ROWS} == set(METHODS)


@pytest.mark.parametrize("method", ROWS, ids=repr)
def test_method_keeps_the_contract(
    method: Method, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    before = weights(toy_model).clone()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    fitted = method.fit(toy_model, toy_tasks, seed=3)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state changed"
    assert torch.equal(weights(toy_model), before), "the argument was changed"
    assert not torch.equal(weights(fitted), before), "nothing was learned"
    assert bool(torch.isfinite(weights(fitted)).all())
    assert accuracy(fitted, toy_tasks.desirable.test) > 0.6
    assert not fitted.training
    assert all(parameter.requires_grad for parameter in fitted.parameters())
    assert fitted.classes == 3
    found = measure_jump(fitted, toy_tasks.undesirable.train, toy_tasks.desirable.train)
    assert found["jump_between_tasks"] < 0.03, "the flag for switches is near"


@pytest.mark.parametrize("method", ROWS, ids=repr)
def test_seed_determines_everything(
    method: Method, toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    short = brief(method, epochs=2)
    first = weights(short.fit(toy_model, toy_tasks, seed=3))
    torch.manual_seed(99)  # a method that draws from it would now give other weights
    again = weights(short.fit(toy_model, toy_tasks, seed=3))
    assert torch.equal(first, again), "the seed does not determine everything"
    other = weights(short.fit(toy_model, toy_tasks, seed=4))
    assert not torch.equal(first, other), "the seed changes nothing"


@pytest.mark.parametrize("method", OF_EACH_CLASS, ids=repr)
def test_methods_train_a_deeper_network(method: Method, toy_tasks: TaskPair) -> None:
    model = deep_cnn(classes=3, shape=(1, 16, 16))
    short = brief(method, epochs=1)
    assert bool(torch.isfinite(weights(short.fit(model, toy_tasks))).all())


@pytest.mark.parametrize("method", OF_EACH_CLASS, ids=repr)
def test_frozen_weights_stay_frozen(method: Method, toy_tasks: TaskPair) -> None:
    """Only `SpectralDeformation` changes them: it splits every layer, which computes the same."""
    model = shallow_cnn(3, (1, 16, 16))
    first = next(block for block in model.blocks if list(block.parameters()))
    first.requires_grad_(False)
    fitted = brief(method, epochs=1).fit(model, toy_tasks)
    given, found = dict(model.named_parameters()), dict(fitted.named_parameters())
    for name, weight in given.items():
        if isinstance(method, SpectralDeformation) and name.startswith("backbone"):
            continue
        assert found[name].requires_grad == weight.requires_grad
        assert torch.equal(found[name], weight) == (not weight.requires_grad)


class Forward(nn.Module):
    """A network whose forward calls functions; its backbone ends in a ReLU that runs twice.

    Its head has no bias.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.hidden = nn.Linear(4 * 8 * 8, 12)
        self.head = nn.Linear(12, 3, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.max_pool2d(self.relu(self.convolution(images)), 2)
        logits: Tensor = self.head(self.relu(self.hidden(maps.flatten(1))))
        return logits


@pytest.mark.parametrize("method", OF_EACH_CLASS, ids=repr)
def test_every_method_gives_the_users_network_back(method: Method, toy_tasks: TaskPair) -> None:
    network = Forward()
    network.convolution.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    model = rb.defend(network, toy_tasks, brief(method, epochs=1))
    fitted = brief(method, epochs=1).fit(network, toy_tasks)
    assert type(model) is Forward
    inputs, _ = toy_tasks.desirable.test.batch(slice(None))
    torch.testing.assert_close(model(inputs), fitted(inputs))
    if isinstance(method, SpectralDeformation):
        return  # it adds a layer behind every other, also behind a frozen one
    assert list(model.state_dict()) == list(before)
    frozen = [name for name, one in model.named_parameters() if not one.requires_grad]
    assert frozen == ["convolution.weight", "convolution.bias"]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)


@pytest.mark.parametrize("method", OF_EACH_CLASS, ids=repr)
def test_methods_train_in_half_precision(method: Method, toy_tasks: TaskPair) -> None:
    half = brief(method, epochs=1).in_precision("bfloat16")
    fitted = half.fit(shallow_cnn(3, (1, 16, 16)), toy_tasks)
    assert {value.dtype for value in fitted.state_dict().values()} == {torch.float32}
    assert all(value.isfinite().all() for value in fitted.state_dict().values())


@pytest.mark.parametrize("method", ROWS, ids=repr)
def test_repr_is_the_configuration(method: Method) -> None:
    assert (
        eval(repr(method), {**vars(methods), "Recipe": Recipe, "Augmentation": Augmentation})
        == method
    )


def test_best_response_blinds_the_last_layer(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    def read(model: Classifier) -> float:
        return accuracy(with_best_head(model, toy_tasks.undesirable), toy_tasks.undesirable.test)

    recipe = Recipe(epochs=25, batch_size=30, learning_rate=1e-2)
    plain = Plain(recipe).fit(toy_model, toy_tasks)
    defended = BestResponse(recipe, undesirable_batch_size=90, weight=1.0).fit(toy_model, toy_tasks)
    assert read(plain) > 0.9
    assert read(defended) < read(plain) - 0.2
    assert accuracy(defended, toy_tasks.desirable.test) > 0.9


@pytest.mark.parametrize(("until", "left"), [(0.0, True), (0.5, False)])
def test_best_response_freezes_the_first_block(
    toy_model: Classifier, toy_tasks: TaskPair, until: float, left: bool
) -> None:
    schedule = Schedule(first_block_until=until, finishing_steps=BRIEF)
    defended = BestResponse(FAST, schedule=schedule).fit(toy_model, toy_tasks)
    start, end = toy_model.blocks[0].state_dict(), defended.blocks[0].state_dict()
    assert all(torch.equal(start[name], end[name]) for name in start) is left


def test_last_steps_use_the_labels_of_each_task(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    recipe = replace(FAST, augmentation=Augmentation(shift=0))
    model, met = copy.deepcopy(toy_model), []

    def loss(*batches: Tensor) -> Tensor:
        met.append(batches)
        return model.head.weight.sum()

    generator = torch.Generator().manual_seed(0)
    Schedule(finishing_steps=3, finishing_batch_size=20).finish(
        model, toy_tasks, recipe, loss, generator
    )
    prefix = nn.Sequential(*toy_model.blocks[:-1])
    tasks = (toy_tasks.desirable.train, toy_tasks.known_undesirable)
    for own, wanted, others, labels in met:
        assert (len(own), len(others)) == (2 * recipe.batch_size, 20)
        for outputs, names, data in zip((own, others), (wanted, labels), tasks, strict=True):
            near = torch.cdist(outputs.flatten(1), predict(prefix, data).flatten(1)).min(1)
            assert float(near.values.max()) < 1e-3
            assert torch.equal(data.labels[near.indices], names)


def test_batch_norm_keeps_only_desirable_statistics(toy_tasks: TaskPair) -> None:
    model = batch_norm_cnn(3, shape=(1, 16, 16))
    method = BestResponse(
        replace(FAST, epochs=1),
        schedule=Schedule(first_block_until=0.0, wait=0.0, finishing_steps=BRIEF),
    )
    known = toy_tasks.known_undesirable
    dark = replace(
        toy_tasks, known_undesirable=replace(known, inputs=torch.zeros_like(known.inputs))
    )
    one, other = (method.fit(model, tasks) for tasks in (toy_tasks, dark))
    statistics = [dict(fitted.blocks[0].named_buffers()) for fitted in (one, other)]
    assert all(torch.equal(statistics[0][name], found) for name, found in statistics[1].items())
    assert not torch.equal(one.head.weight, other.head.weight)


def test_selective_distillation_removes_undesirable_features(
    toy_model: Classifier, toy_tasks: TaskPair
) -> None:
    method = SelectiveDistillation(replace(FAST, epochs=20), target=-5.0)
    model = method.fit(toy_model, toy_tasks)
    inputs, _ = toy_tasks.undesirable.test.batch(slice(None))
    dead = (model.features(inputs) == 0).all(dim=1).float().mean()
    assert dead > 0.5


def test_selective_distillation_needs_a_final_relu(toy_tasks: TaskPair) -> None:
    model = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.Tanh()), nn.Linear(8, 3))
    with pytest.raises(InputError, match="ends in a ReLU"):
        SelectiveDistillation(FAST).fit(model, toy_tasks)


def test_refuses_a_model_for_other_classes(toy_tasks: TaskPair) -> None:
    with pytest.raises(InputError, match="a head for 3 desirable classes"):
        Plain(FAST).fit(shallow_cnn(classes=4, shape=(1, 16, 16)), toy_tasks)


def test_divergence_is_an_error(toy_model: Classifier, toy_tasks: TaskPair) -> None:
    broken = copy.deepcopy(toy_model)
    with torch.no_grad():
        broken.head.weight.fill_(math.nan)
    with pytest.raises(TrainingDiverged, match="not finite"):
        Plain(FAST).fit(broken, toy_tasks)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: Recipe(epochs=0), "epochs of at least 1"),
        (lambda: Recipe(learning_rate=-1.0), "learning_rate above 0"),
        (lambda: BestResponse(weight=-0.1), "weight of at least 0; got -0.1"),
        (lambda: Terms(ridge=0.0), "above 0"),
        (lambda: Schedule(warm_in=1.5), "warm_in from 0 to 1"),
        (lambda: Schedule(wait=-0.1), "wait from 0 to 1"),
        (lambda: SelectiveDistillation(target=1.0), "target below 0"),
        (lambda: Unlearning(retained=0), "retained of at least 1; got 0"),
    ],
)
def test_refuses_settings_out_of_range(build: object, text: str) -> None:
    assert callable(build)
    with pytest.raises(InputError, match=text):
        build()
