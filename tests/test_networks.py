"""Every kind of network is trained and attacked: a new kind is one new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from safetensors.torch import save_file
from torch import Tensor, nn

import lookalikes
import tiny
from rootbound import datasets
from rootbound.attacks import (
    Attack,
    Budget,
    ExactLastLayer,
    FineTune,
    GradientFree,
    LastLayer,
    Repaired,
)
from rootbound.attacks.repairs import Distil, SelfSupervise, SeparateClasses, TuneOnDesirable
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.datasets import Letters
from rootbound.datasets.texts import Labelled, Texts
from rootbound.evaluation import evaluate
from rootbound.methods import BestResponse, Method, Schedule
from rootbound.networks import Classifier, from_transformers, shallow_cnn, small_text
from rootbound.publishing import Origin, load_model, load_weights, save_model
from rootbound.records import Configuration
from rootbound.suites import Suite
from rootbound.training import Recipe
from test_attacks import ODD_ROWS, RENAMED_ROWS, ROWS
from test_methods import OF_EACH_CLASS, brief
from toy import toy_dataset

RECIPE = Recipe(epochs=1, batch_size=60, learning_rate=3e-3)
SCHEDULE = Schedule(first_block_until=1.0, finishing_steps=3, finishing_batch_size=128)


def shortened(attack: Attack) -> Attack:
    """Return an attack with a few steps where it trains first: here it is about the network."""
    if isinstance(attack, GradientFree):
        return replace(attack, pairs=4)
    trained = TuneOnDesirable, SelfSupervise, SeparateClasses, Distil
    if isinstance(attack, Repaired) and isinstance(attack.repair, trained):
        return replace(attack, repair=replace(attack.repair, steps=3))
    return attack


ATTACKS = tuple(dict.fromkeys(map(shortened, (*ROWS, *ODD_ROWS, *RENAMED_ROWS))))
LENGTH = 10
NOT_FOR_TEXTS = ("CUTI", "HNTL", "SelectiveDistillation", "Unlearning")
"""Three change what a network is given; one needs activations that can be off."""
WORDS = ("abc", "bcd", "cde", "def", "efg", "fgh")


def toy_texts() -> Texts:
    """Return texts of six classes, each with letters of its own, some of them short."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> Labelled:
        labels = torch.arange(6).repeat(count)
        lengths = torch.randint(2, LENGTH, (len(labels),), generator=generator).tolist()
        texts = []
        for label, length in zip(labels.tolist(), lengths, strict=True):
            picks = torch.randint(3, (length,), generator=generator).tolist()
            texts.append("".join(WORDS[label][pick] for pick in picks))
        return Labelled(tuple(texts), labels)

    return Texts("letters", tuple("ABCDEF"), part(40), part(15))


def image_tasks() -> TaskPair:
    return datasets.fitted(toy_dataset(), (3, 16, 16)).split([0, 1, 2], [3, 4, 5])


def text_tasks() -> TaskPair:
    return toy_texts().tokenised(Letters("abcdefgh")).split([0, 1, 2], [3, 4, 5])


def letter_tasks() -> TaskPair:
    return toy_texts().next_letters([0, 1, 2], [3, 4, 5], context=6)


class Residual(nn.Module):
    """Half of its weights are the other half: what comes out goes through the same map again."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = nn.Linear(32, 32), nn.Linear(32, 32)
        self.back.weight = self.there.weight

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = inputs + self.back(self.there(inputs).relu())
        return outputs


def convolutions(norm: Callable[[int], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 5, 2), norm(8), nn.ReLU()),
        nn.Sequential(nn.Dropout(0.3), nn.Flatten(), nn.Linear(8 * 6 * 6, 32), nn.ReLU()),
    )


def group_norm() -> Classifier:
    return Classifier(convolutions(lambda width: nn.GroupNorm(2, width)), nn.Linear(32, 3))


def layer_norm() -> Classifier:
    return Classifier(convolutions(lambda width: nn.LayerNorm([width, 6, 6])), nn.Linear(32, 3))


def tied_with_batch_norm() -> Classifier:
    backbone = nn.Sequential(*convolutions(nn.BatchNorm2d).children(), Residual())
    return Classifier(backbone, nn.Linear(32, 3))


def no_bias() -> Classifier:
    return Classifier(convolutions(nn.InstanceNorm2d), nn.Linear(32, 3, bias=False))


def wrapped_in_half_precision() -> Classifier:
    module = nn.Sequential(*convolutions(nn.BatchNorm2d).children(), nn.Linear(32, 3))
    return Classifier.wrap(module.bfloat16(), "2")


def of_others(make: Callable[[], nn.Module]) -> Callable[[], Classifier]:
    def made() -> Classifier:
        return Classifier.wrap(make())

    made.__name__ = make.__name__
    return made


def of_transformers(family: str) -> Callable[[], Classifier]:
    def made() -> Classifier:
        return from_transformers(tiny.network(family))

    made.__name__ = family
    return made


def language_model() -> Classifier:
    letters = len(letter_tasks().desirable.classes)
    network = tiny.network("gpt2", vocab_size=letters, bos_token_id=None, eos_token_id=None)
    return from_transformers(network)


def text_model() -> Classifier:
    return small_text(3, (LENGTH,), vocabulary=40, width=32)


def row(
    make: Callable[[], Classifier], tasks: Callable[[], TaskPair], *, slow: bool = False
) -> ParameterSet:
    return pytest.param(make, tasks, id=make.__name__, marks=[pytest.mark.slow] if slow else [])


NETWORKS = [
    *(row(make, image_tasks) for make in (group_norm, layer_norm, tied_with_batch_norm, no_bias)),
    row(wrapped_in_half_precision, image_tasks),
    *(
        row(of_others(make), image_tasks, slow=True)
        for make in (lookalikes.TorchvisionResNet, lookalikes.TimmVisionTransformer)
    ),
    row(text_model, text_tasks),
    row(language_model, letter_tasks, slow=True),
    *(
        row(of_transformers(family), text_tasks, slow=True)
        for family in ("bert", "roberta", "distilbert")
    ),
    *(
        row(of_transformers(family), image_tasks, slow=True)
        for family in ("vit", "resnet", "convnext")
    ),
]


QUICK = [row for row in NETWORKS if not row.marks]
"""The networks of which each meets a share of the attacks in `make test`; all meet all in all."""


def check(
    make: Callable[[], Classifier], make_tasks: Callable[[], TaskPair], attacks: tuple[Attack, ...]
) -> None:
    """Train a network and attack it, and new weights, with some attacks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    tasks, suite = make_tasks(), Suite("networks-1", attacks, (Budget(5, 2),))
    defended = BestResponse(RECIPE, schedule=SCHEDULE).fit(model, tasks)
    found = evaluate(defended, tasks, suite=suite, seeds=1, workers=1)
    assert found.complete
    assert {record.arm for record in found.records} == {"defended", "scratch"}
    failed = {record.attack: record.error for record in found.records if record.error is not None}
    assert not failed, failed
    for record in found.records:
        assert len(record.losses) == len(record.test) > 0
        assert all(torch.isfinite(torch.tensor(record.losses)))


LARGE = [row for row in NETWORKS if row.marks]
"""Networks of other libraries, and of language: each meets every ninth attack."""


def share(turn: int, count: int) -> tuple[Attack, ...]:
    """Return two attacks that every network meets, and every so many of the others."""
    always = (ExactLastLayer(1e-3), FineTune(None, "kept", "adam", 1e-2))
    return tuple(dict.fromkeys((*always, *ATTACKS[turn::count])))


def rest(turn: int) -> tuple[Attack, ...]:
    """Return the attacks that a quick network does not meet in `make test`."""
    met = share(turn, len(QUICK))
    return tuple(attack for attack in ATTACKS if attack not in met)


SHARED = [
    pytest.param(*row.values, share(turn, len(QUICK)), id=row.id) for turn, row in enumerate(QUICK)
]
REST = [
    *(pytest.param(*row.values, rest(turn), id=row.id) for turn, row in enumerate(QUICK)),
    *(pytest.param(*row.values, share(turn % 9, 9), id=row.id) for turn, row in enumerate(LARGE)),
]


@pytest.mark.usefixtures("one_behaviour")
@pytest.mark.parametrize(("make", "make_tasks", "attacks"), SHARED)
def test_trains_and_attacks_every_network(
    make: Callable[[], Classifier], make_tasks: Callable[[], TaskPair], attacks: tuple[Attack, ...]
) -> None:
    check(make, make_tasks, attacks)


@pytest.mark.slow
@pytest.mark.usefixtures("one_behaviour")
@pytest.mark.parametrize(("make", "make_tasks", "attacks"), REST)
def test_remaining_methods_and_attacks_work_on_every_network(
    make: Callable[[], Classifier], make_tasks: Callable[[], TaskPair], attacks: tuple[Attack, ...]
) -> None:
    check(make, make_tasks, attacks)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_attacked_in_single_precision(
    kind: torch.dtype, tmp_path: Path
) -> None:
    tasks, shape = image_tasks(), (3, 16, 16)
    model = shallow_cnn(3, shape)
    halved = {name: value.to(kind).contiguous() for name, value in model.state_dict().items()}
    save_file(halved, tmp_path / "weights.safetensors")
    torch.save(halved, tmp_path / "weights.pt")
    origin = Origin(
        Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
    )
    save_model(shallow_cnn(3, shape).to(kind), tmp_path / "ours.safetensors", shape, origin)
    expected = {name: value.float() for name, value in halved.items()}
    given = shallow_cnn(3, shape, seed=1)
    for name in ("weights.safetensors", "weights.pt"):
        load_weights(given, tmp_path / name)
        assert all(torch.equal(value, expected[name]) for name, value in given.state_dict().items())
    loaded, _ = load_model(tmp_path / "ours.safetensors")
    for one in (given, loaded):
        assert {value.dtype for value in one.state_dict().values()} == {torch.float32}
    suite = Suite("few-1", (LastLayer(), FineTune(2), ExactLastLayer()), (Budget(5, 2),))
    found = evaluate(loaded, tasks, suite=suite, seeds=1, workers=1)
    assert [record.error for record in found.records] == [None] * len(found.records)


@pytest.mark.parametrize("method", OF_EACH_CLASS, ids=repr)
def test_method_trains_a_text_model_or_refuses_it(method: Method) -> None:
    model, tasks = text_model(), text_tasks()
    try:
        trained = brief(method, epochs=1).fit(model, tasks)
    except InputError as error:
        assert type(method).__name__ in NOT_FOR_TEXTS
        assert len(str(error).splitlines()) == 1
    else:
        assert type(method).__name__ not in NOT_FOR_TEXTS
        samples, _ = tasks.desirable.test.batch(slice(None))
        assert bool(torch.isfinite(trained(samples)).all())
