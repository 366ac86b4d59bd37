"""One line of Python from a model to a verdict, and what a verdict answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from markupsafe import escape
from torch import Tensor, nn

import by_hand
import rootbound as rb
from architectures import OneConvolution
from rootbound import metrics
from rootbound.api.verdict import Verdict
from rootbound.attacks import Budget
from rootbound.data import TaskPair
from rootbound.datasets import Dataset
from rootbound.records import Evaluation
from rootbound.report.verdicts import first_sentence
from rootbound.suites import Suite

GOLDEN = Path(__file__).parent / "golden"


class Net(nn.Module):
    """A network as users write them."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4 * 14 * 14, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.relu(self.convolution(images)).flatten(1))
        return logits


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return Verdict(Evaluation.load(GOLDEN), GOLDEN)


@pytest.fixture(scope="module")
def audited_net(
    toy_tasks: TaskPair, toy_suite: Suite, tmp_path_factory: pytest.TempPathFactory
) -> Verdict:
    folder = tmp_path_factory.mktemp("audit") / "run"
    suite = toy_suite.with_budgets((Budget(5, 3),))
    net = Net()
    return rb.audit(net, toy_tasks, net, suite=suite, seeds=1, folder=str(folder))


def test_audits_a_module_in_one_call(audited_net: Verdict) -> None:
    evaluation = audited_net.evaluation
    assert metrics.methods(evaluation) == ["undefended", "defended", "scratch"]
    assert {record.error for record in evaluation.records} == {None}
    assert audited_net.models == ["defended"]
    assert audited_net.advantage(5) == metrics.marginal_advantage(evaluation, "defended", 5)
    assert audited_net.advantage() == audited_net.advantage(labels=5)
    assert audited_net.price() is not None
    assert str(audited_net) == first_sentence(evaluation)
    assert not audited_net.passes(limit=99)  # one draw has no spread
    assert "cannot show a spread" in audited_net.gate(99)


def test_audits_a_file_in_one_call(audited: Path, toy_tasks: TaskPair, toy_suite: Suite) -> None:
    suite = toy_suite.with_budgets((Budget(5, 3),))
    found = rb.audit(audited / "model.safetensors", toy_tasks, suite=suite, seeds=1)
    assert {record.error for record in found.evaluation.records} == {None}


def test_verdict_prints_its_sentence(verdict: Verdict) -> None:
    sentence = first_sentence(verdict.evaluation)
    assert str(verdict) == repr(verdict) == sentence
    shown = verdict._repr_html_()
    assert f"<strong>{escape(sentence)}</strong>" in shown and "<img" in shown


def test_evaluation_prints_on_one_line(verdict: Verdict) -> None:
    assert repr(verdict.evaluation) == str(verdict.evaluation)
    assert len(repr(verdict.evaluation)) < 200
    assert "BestResponse" in repr(verdict.evaluation)


def test_asks_which_of_several_models_is_meant(verdict: Verdict) -> None:
    with pytest.raises(rb.InputError, match=r"one of the models .* choose one with `model`"):
        verdict.passes()
    gain = verdict.advantage(5, "BestResponse")
    assert gain == metrics.marginal_advantage(verdict.evaluation, "BestResponse", 5)
    worst = verdict.advantage(model="BestResponse")
    assert worst.mean >= verdict.advantage("all", "BestResponse").mean
    assert verdict.advantage(model="Plain").mean >= worst.mean


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda one: one.advantage(10, "bestresponse"), "did you mean 'BestResponse'"),
        (lambda one: one.passes(1, "nobody"), "a model out of"),
        (lambda one: one.price("nobody"), "a model out of"),
        (
            lambda one: one.advantage(11, "BestResponse"),
            "labels per class that attacks were given: ",
        ),
        (lambda one: one.figure("curve-labels"), "did you mean 'curves-labels'"),
        (lambda one: one.passes(float("nan"), "BestResponse"), "a number of points"),
        (lambda one: one.figure("words"), "what the figure 'words' shows; got none"),
        (lambda one: one.price(3), "a model out of .*; got 3; pick one"),
        (lambda one: one.figure(3), "a figure out of .*; got 3; pick one"),
        (lambda one: one.figure([]), r"a figure out of .*; got \[\]; pick one"),
        (lambda one: one.advantage([5], "BestResponse"), r"were given: .*; got \[5\]; ask"),
        (lambda one: one.report(3), "a path in `path`; got 3; name"),
        (lambda one: one.report(""), "a path in `path`; got an empty one; name"),
    ],
)
def test_refuses_unknown_names(
    ask: Callable[[Verdict], object], says: str, verdict: Verdict
) -> None:
    with pytest.raises(rb.InputError, match=says):
        ask(verdict)


def test_table_has_a_row_per_model_and_number_of_labels(verdict: Verdict) -> None:
    pytest.importorskip("pandas")
    frame = verdict.to_frame()
    budgets = metrics.budgets(verdict.evaluation)
    assert len(frame) == len(verdict.models) * len(budgets)
    row = frame[(frame["model"] == "BestResponse") & (frame["labels"] == 5)].iloc[0]
    gain = verdict.advantage(5, "BestResponse")
    assert row["advantage"] == pytest.approx(gain.mean, abs=1e-4)
    assert row["advantage_low"] == pytest.approx(gain.low, abs=1e-4)


def test_verdict_offers_figures_by_name(verdict: Verdict) -> None:
    figure = verdict.figure("curves-labels")
    assert figure.axes
    assert verdict.figure("grad-cam").axes  # from the folder of the run


def test_report_is_one_page(verdict: Verdict, tmp_path: Path, no_figures: None) -> None:
    verdict.report(str(tmp_path / "page.html"))
    assert "BestResponse" in (tmp_path / "page.html").read_text()


def test_refuses_non_networks_in_one_line(toy_tasks: TaskPair, tmp_path: Path) -> None:
    with pytest.raises(rb.InputError, match=r"a network: a torch\.nn\.Module"):
        rb.evaluate("model", toy_tasks)  # type: ignore[arg-type]
    calls: tuple[Any, ...] = (rb.audit, rb.defend)
    for call in calls:
        with pytest.raises(rb.InputError, match=r"rootbound\.Classifier; got int; load"):
            call(3, toy_tasks)
    with pytest.raises(rb.InputError, match="no such file; train one, or check the path"):
        rb.audit("nothing.safetensors", toy_tasks)
    torch.save(Net().state_dict(), tmp_path / "net.pt")
    with pytest.raises(rb.InputError, match=r"net\.pt; load them into it with rb\.load\("):
        rb.audit(tmp_path / "net.pt", toy_tasks)
    with pytest.raises(rb.InputError, match="a head for 3 desirable classes; got one for 4"):
        rb.methods.Plain().fit(Net(4), toy_tasks)


def test_refuses_a_non_pair_of_tasks_in_one_line(toy: Dataset, toy_tasks: TaskPair) -> None:
    calls: tuple[Any, ...] = (rb.audit, rb.defend)
    for call in calls:
        with pytest.raises(
            rb.InputError, match="returns them; got Dataset; split the data by their"
        ):
            call(Net(), toy)
    with pytest.raises(rb.InputError, match=r"TaskPair, as .*; got Tasks; split"):
        rb.defend(Net(), rb.Tasks.alone(toy_tasks.undesirable))  # type: ignore[arg-type]


ANY: Any = rb
"""The package, called with arguments of types that it does not take."""
SUITE: Any = rb.suites.find_suite("demo-2")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda tasks: ANY.audit(Net(), tasks, folder=3),
            "in `folder`; got 3; name a file",
        ),
        (lambda tasks: ANY.audit(Net(), tasks, folder="a\0b"), r"`folder`; got 'a\\x00b'; name"),
        (lambda tasks: ANY.audit(Net(), tasks, folder="x" * 300), "got File name too long; name"),
        (
            lambda tasks: ANY.audit(Net(), tasks, adaptive="x"),
            "in adaptive; got 'x'; write",
        ),
        (
            lambda tasks: ANY.audit(Net(), tasks, adaptive=SUITE.attacks[0]),
            "got LastLayer; write",
        ),
        (lambda tasks: ANY.audit(Net(), tasks, adaptive=[3]), "in adaptive; got list; write"),
        (lambda tasks: ANY.evaluate(Net(), tasks, folder=3), "a path in `folder`; got 3; name"),
        (lambda tasks: ANY.evaluate(Net(), tasks, adaptive="x"), "in adaptive; got 'x'; write"),
        (lambda tasks: ANY.evaluate(Net(), tasks.undesirable), "Tasks, as .*; got Task; split"),
        (
            lambda tasks: ANY.compare("Plain", tasks, Net()),
            "a list of methods; got 'Plain'; write",
        ),
        (lambda tasks: ANY.compare(3, tasks, Net()), "a list of methods; got 3; write"),
        (lambda tasks: ANY.compare(["Plain"], tasks.desirable, Net()), "got Task; split"),
        (lambda _: ANY.load(3), "a path in `name`; got 3; name a file or a folder"),
        (lambda _: ANY.load(Net()), "a path in `name`; got Net; name"),
        (lambda _: ANY.Classifier.wrap(3), r"a network: a torch\.nn\.Module, .*; got int"),
        (
            lambda _: ANY.Classifier.wrap(Net(), example=3),
            "an example as a tensor; got int; pass",
        ),
        (lambda _: ANY.Classifier.wrap(Net()).save_pretrained(3), "a path in `folder`; got 3"),
        (lambda _: ANY.models.shallow_cnn("5"), "a whole number for classes; got '5'"),
        (lambda _: ANY.models.resnet_20(0), "classes of at least 1; got 0"),
        (lambda _: ANY.models.shallow_cnn(5, (28, 28)), r"\(channels, .*; got shape \(28, 28\)"),
        (lambda _: ANY.models.small_vit(5, 28), r"\(channels, height, width\); got shape 28;"),
        (
            lambda _: ANY.models.deep_cnn(5, (1, 2, 2)),
            r"the model can take; got shape \(1, 2, 2\)",
        ),
        (lambda _: SUITE.with_budgets(Budget(5, 2)), r"budgets in a tuple; got Budget\(labels=5"),
        (lambda _: SUITE.with_budgets((5, 2)), r"budgets in a tuple; got \(5, 2\); write"),
        (lambda _: SUITE.with_attacks("x"), "a list of attacks in the suite; got 'x'"),
        (lambda _: SUITE.with_attackers("x"), "a whole number for attackers; got 'x'"),
        (
            lambda _: ANY.methods.BestResponse(3),
            "a Recipe; got 3; write for example recipe=rb.Rec",
        ),
        (
            lambda _: ANY.Scaling("x"),
            "numbers as divisor, mean and deviation; got 'x', 0.0 and 1",
        ),
        (lambda _: ANY.Scaling(255, 0.5, 0), "divisor and deviation above 0; got divisor 255"),
        (lambda _: ANY.Scaling(255, (0.5, 0.5), 0.5), "as many means as deviations; got divisor"),
        (lambda _: ANY.load_data((torch.zeros(2, 2), [0, 1]), classes=3), "a list; got 3; write"),
        (lambda _: ANY.load_data("nowhere"), "out of mnist; got 'nowhere'; check the path"),
        (lambda _: ANY.Data(3, 4), "an array or a tensor of numbers; got 3; pass all"),
    ],
)
def test_refuses_common_mistakes_in_one_line(
    call: Callable[[Any], object], says: str, toy_tasks: TaskPair
) -> None:
    with pytest.raises(rb.InputError, match=says) as error:
        call(toy_tasks)
    assert "\n" not in str(error.value)


def test_refuses_to_write_a_run_into_a_data_folder(
    toy_tasks: TaskPair, toy_suite: Suite, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "1.png").touch()
    with pytest.raises(rb.InputError, match="photos, which holds a data set; pass another `folde"):
        rb.audit(Net(), toy_tasks, suite=toy_suite, folder=folder)
    assert [path.name for path in folder.iterdir()] == ["cat"]


def test_accepts_methods_by_name(toy_tasks: TaskPair, toy_suite: Suite) -> None:
    with pytest.raises(rb.InputError, match="did you mean 'Plain'"):
        rb.compare(["Plane"], toy_tasks, Net(), suite=toy_suite)
    with pytest.raises(rb.InputError, match="a method or the name of one"):
        rb.compare([rb.methods.Plain], toy_tasks, Net())  # type: ignore[list-item]


def test_bare_weights_get_the_call_to_make_as_an_answer(
    toy_tasks: TaskPair, tmp_path: Path
) -> None:
    torch.save(OneConvolution().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(rb.InputError, match=r"weights of another network.*rb\.load\(path, network"):
        rb.audit(tmp_path / "weights.pt", toy_tasks)


def test_price_is_positive_for_a_loss() -> None:
    verdict = Verdict(by_hand.evaluation())
    good, weak = verdict.price("Good"), verdict.price("Weak")
    assert good is not None and weak is not None
    assert (good.mean, good.low, good.high) == pytest.approx(by_hand.interval(0.6, 0.1))
    assert (weak.mean, weak.low, weak.high) == pytest.approx(by_hand.interval(-1.0, 0.1))


def test_limit_passes_only_without_objections() -> None:
    assert Verdict(by_hand.evaluation()).passes(3.0, "Good")
    unseen = Verdict(by_hand.evaluation(one_block={"Good": 3}))
    assert not unseen.passes(3.0, "Good")
    assert "would say 'holds', but" in unseen.gate(3.0, "Good")


def test_every_number_of_the_table_is_under_its_name() -> None:
    pytest.importorskip("pandas")
    frame = Verdict(by_hand.evaluation()).to_frame()
    row = frame[(frame["model"] == "Good") & (frame["labels"] == 10)].iloc[0]
    for name, mean, deviation in (
        ("advantage", 2.0, 0.3), ("attacked", 62.0, 0.2), ("scratch", 60.0, 0.5),
        ("against_undefended", -18.0, 0.8),
    ):  # fmt: skip
        told = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
        assert told == pytest.approx(by_hand.interval(mean, deviation), abs=1e-4), name


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give what `evaluate` is called with, by name; nothing is attacked."""
    given: dict[str, Any] = {}

    def record(model: nn.Module, tasks: TaskPair, **options: Any) -> Evaluation:
        given.update(options, model=model, tasks=tasks)
        return by_hand.evaluation()

    monkeypatch.setattr("rootbound.api.audit.evaluate", record)
    return given


def test_audit_passes_its_arguments_on(
    asked: dict[str, Any], toy_tasks: TaskPair, tmp_path: Path
) -> None:
    own, usual, known = Net(), Net(), Net()
    knowing = rb.attacks.LastLayer("adam", 0.123)
    rb.audit(
        own, toy_tasks, usual, public=known, adaptive=[knowing], minutes=2.0, seeds=7,
        folder=tmp_path,
    )  # fmt: skip
    assert (asked["model"], asked["undefended"], asked["public"]) == (own, usual, known)
    assert asked["adaptive"] == (knowing,)
    assert (asked["suite"].minutes, asked["seeds"]) == (2.0, 7)
    assert asked["folder"].path == tmp_path
    rb.audit(own, toy_tasks)
    assert asked["suite"].minutes is asked["seeds"] is asked["folder"] is None
    # The attacker has 30 samples of each class, so that 100 labels are left out.
    assert [one.labels for one in asked["suite"].budgets] == [10]


def test_default_budgets_leave_labels_for_validation(
    asked: dict[str, Any], toy_tasks: TaskPair
) -> None:
    labels = toy_tasks.undesirable.train.labels
    for count, budgets in ((11, [10]), (10, [None])):
        few = torch.cat([(labels == label).nonzero()[:count, 0] for label in range(3)])
        train = toy_tasks.undesirable.train.select(few)
        tasks = replace(toy_tasks, undesirable=replace(toy_tasks.undesirable, train=train))
        rb.audit(Net(), tasks)
        assert [one.labels for one in asked["suite"].budgets] == budgets


def test_loads_one_of_several_weights_by_key(tmp_path: Path) -> None:
    states = {name: Net().state_dict() for name in ("model", "ema")}
    torch.save(states, tmp_path / "both.pt")
    for name, state in states.items():
        loaded = rb.load(tmp_path / "both.pt", Net(), key=name)
        assert torch.equal(loaded.unwrapped().state_dict()["head.weight"], state["head.weight"])
