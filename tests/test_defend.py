"""One line of Python makes a network resistant; the result has the same class."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import rootbound as rb
from rootbound.api.adaptive import MADE_BY, find_adaptive
from rootbound.api.verdict import Verdict
from rootbound.attacks import Attack, Budget, FineTune
from rootbound.core.errors import InputError
from rootbound.data import TaskPair
from rootbound.report.settings import describe_settings
from rootbound.suites import Suite
from rootbound.training import Recipe, accuracy


class Net(nn.Module):
    """A network as users write them: a forward, a dropout, and two ways that join."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(4 * 16 * 16, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.convolution(images))) + images
        logits: Tensor = self.head(self.dropout(maps.flatten(1)))
        return logits


def test_gives_the_users_class_back(toy_tasks: TaskPair) -> None:
    network = Net()
    before = copy.deepcopy(network.state_dict())
    model = rb.defend(network, toy_tasks, rb.methods.BestResponse(Recipe(epochs=2, batch_size=30)))
    assert type(model) is Net
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not torch.equal(model.head.weight, network.head.weight)
    Net().load_state_dict(model.state_dict())
    assert accuracy(rb.Classifier.wrap(model), toy_tasks.desirable.test) > 0.4


def test_same_seed_gives_the_same_model_as_the_method(toy_tasks: TaskPair) -> None:
    network, method = Net(), rb.methods.Plain(Recipe(epochs=1, batch_size=30))
    fitted = method.fit(network, toy_tasks, seed=3)
    model = rb.defend(network, toy_tasks, method, seed=3)
    again = rb.defend(network, toy_tasks, "Plain", seed=3, epochs=1)
    assert torch.equal(fitted.head.weight, model.head.weight)
    assert not torch.equal(model.head.weight, again.head.weight)  # of another batch size


def test_refuses_features_not_from_a_relu(toy_tasks: TaskPair) -> None:
    class Pooled(Net):
        def forward(self, images: Tensor) -> Tensor:
            maps = torch.relu(self.convolution(images))
            logits: Tensor = self.head(functional.avg_pool2d(maps, 3, 1, 1).flatten(1))
            return logits

    with pytest.raises(rb.InputError, match="ends in a ReLU; got one that does more after its las"):
        rb.defend(Pooled(), toy_tasks, "SelectiveDistillation", epochs=1)


def test_frozen_network_is_attacked_like_any_other(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    network = Net()
    suite = toy_suite.with_budgets((Budget(5, 2),))
    expected = rb.audit(network, toy_tasks, suite=suite, seeds=1).evaluation
    frozen = copy.deepcopy(network).requires_grad_(False)
    found = rb.audit(frozen, toy_tasks, suite=suite, seeds=1).evaluation
    for one, other in zip(found.records, expected.records, strict=True):
        assert (one.attack, one.test, one.error) == (other.attack, other.test, other.error)
    assert [one.values for one in found.diagnoses] == [one.values for one in expected.diagnoses]


def test_classifier_comes_back_as_classifier(toy_model: rb.Classifier, toy_tasks: TaskPair) -> None:
    model = rb.defend(toy_model, toy_tasks, "Plain", epochs=1)
    assert isinstance(model, rb.Classifier) and model.architecture == toy_model.architecture


def test_price_limits_what_the_method_costs(
    toy_tasks: TaskPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[rb.methods.BestResponse] = []
    monkeypatch.setattr(rb.methods.BestResponse, "train", lambda method, *_: asked.append(method))
    rb.defend(Net(), toy_tasks, price=0.5, epochs=2)
    (method,) = asked
    assert (method.max_desirable_drop, method.recipe.epochs) == (0.5, 2)
    with pytest.raises(rb.InputError, match="told its price: BestResponse; got NTL; leave the pri"):
        rb.defend(Net(), toy_tasks, "NTL", price=0.5)
    with pytest.raises(rb.InputError, match="did you mean 'BestResponse'"):
        rb.defend(Net(), toy_tasks, "best response")
    for price in (0, -1.0, float("nan"), "1"):
        with pytest.raises(rb.InputError, match="expected a price above 0 points; got "):
            rb.defend(Net(), toy_tasks, price=price)  # type: ignore[arg-type]


def test_audit_knows_the_method(
    toy_tasks: TaskPair, toy_suite: Suite, few_steps_of_their_own: None, tmp_path: Path
) -> None:
    model = pickle.loads(pickle.dumps(rb.defend(Net(), toy_tasks, epochs=1)))
    suite = toy_suite.with_budgets((Budget(5, 2),))
    verdict = rb.audit(model, toy_tasks, suite=suite, seeds=1, folder=tmp_path / "run")
    assert verdict.evaluation.context["adaptive"] == len(find_adaptive(model)) == 1
    loaded = rb.load(tmp_path / "run")
    assert isinstance(loaded, Verdict) and str(loaded) == str(verdict)
    assert loaded.evaluation.to_json() == verdict.evaluation.to_json()
    with pytest.raises(rb.InputError, match="a model; got the run in"):
        rb.audit(tmp_path / "run", toy_tasks)
    assert not find_adaptive(Net())


@dataclass(frozen=True)
class Own(rb.methods.Plain):
    """A method of the user, which names an attack that knows it."""

    def adaptive_attacks(self) -> tuple[Attack, ...]:
        return (FineTune(None, "kept", "sgd", 0.7),)


def test_finds_attacks_that_know_the_users_method(
    toy_tasks: TaskPair, toy_suite: Suite, caplog: pytest.LogCaptureFixture
) -> None:
    suite = toy_suite.with_budgets((Budget(5, 2),))
    model = rb.defend(Net(), toy_tasks, Own(Recipe(epochs=1)))
    assert find_adaptive(model) == Own().adaptive_attacks()
    classifier = Own(Recipe(epochs=1)).fit(Net(), toy_tasks)
    assert find_adaptive(classifier) == Own().adaptive_attacks()
    context = rb.audit(classifier, toy_tasks, suite=suite, seeds=1).evaluation.context
    assert context["adaptive"] == 1 and "unknown_methods" not in context


def test_report_names_a_method_that_is_not_loaded(
    toy_tasks: TaskPair, toy_suite: Suite, caplog: pytest.LogCaptureFixture
) -> None:
    model = rb.defend(Net(), toy_tasks, Own(Recipe(epochs=1)))
    setattr(model, MADE_BY, "Elsewhere")
    assert not find_adaptive(model)
    assert "Elsewhere, which trained the model, is not known here" in caplog.text
    classifier = Own(Recipe(epochs=1)).fit(Net(), toy_tasks)
    assert classifier.origin is not None
    method = replace(classifier.origin.method, kind="Elsewhere")
    classifier.origin = replace(classifier.origin, method=method)
    suite = toy_suite.with_budgets((Budget(5, 2),))
    evaluation = rb.audit(classifier, toy_tasks, suite=suite, seeds=1).evaluation
    assert evaluation.context["unknown_methods"] == {"defended": "Elsewhere"}
    said = " ".join(map(str, describe_settings(evaluation).values()))
    assert "Elsewhere, which trained the model defended, is not known here: attacks that" in said


@pytest.mark.parametrize("seed", [1.5, "0", -1, 2**32, 2**63])
def test_refuses_an_invalid_seed(toy_tasks: TaskPair, seed: Any) -> None:
    with pytest.raises(InputError, match="seed"):
        rb.defend(Net(), toy_tasks, "Plain", epochs=1, seed=seed)
