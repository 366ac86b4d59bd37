"""The card and what is published with it: true to the records, and no better than its weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import jsonschema
import pytest
import torch
from safetensors.torch import load_file

import by_hand
from few import FEW
from rootbound import datasets, metrics
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.datasets import Dataset
from rootbound.networks import shallow_cnn
from rootbound.networks.weights import weights_digest
from rootbound.publishing import load, load_model
from rootbound.publishing.card import SCHEMA, resistance_card, to_markdown
from rootbound.publishing.hub import CARD, CONFIG, README, WEIGHTS
from rootbound.records import Evaluation
from rootbound.training import accuracy

GOLDEN = Path(__file__).parent / "golden"
DIGEST = "0" * 64
ORIGIN = {
    *("method", "arm", "seed", "data", "undesirable_data", "desirable", "undesirable", "shared"),
    *("tokeniser", "length", "input_column", "label_column", "label_names"),
    *("train_split", "test_split", "holdout", "layout"),
    "classes_by_name",
}
"""What a published model says of its training, by the names that older versions read."""


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return Evaluation.load(GOLDEN)


def test_card_matches_its_schema_and_the_records(evaluation: Evaluation) -> None:
    card = json.loads(json.dumps(resistance_card(evaluation, "BestResponse", DIGEST)))
    jsonschema.validate(card, SCHEMA)
    assert [cell["labels"] for cell in card["cells"]] == metrics.budgets(evaluation)
    for cell in card["cells"]:
        expected = metrics.advantage(evaluation, "BestResponse", cell["labels"])
        assert expected is not None
        assert (cell["advantage"]["mean"], cell["advantage"]["low"]) == (
            pytest.approx(expected.mean),
            pytest.approx(expected.low),
        )
        gap = cell["attacked"]["mean"] - cell["scratch"]["mean"]
        assert gap == pytest.approx(cell["advantage"]["mean"])


def test_schema_has_the_name_that_cards_state(evaluation: Evaluation) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    stated = resistance_card(evaluation, "Plain", DIGEST)["schema"]
    assert SCHEMA["$id"] == f"{stated}.json"
    with pytest.raises(jsonschema.ValidationError, match="card-1"):
        jsonschema.validate(
            {**resistance_card(evaluation, "Plain", DIGEST), "schema": "rootbound-card-2"}, SCHEMA
        )


@pytest.mark.parametrize("name", list(SCHEMA["required"]))
def test_schema_refuses_an_incomplete_card(name: str, evaluation: Evaluation) -> None:
    card = resistance_card(evaluation, "Plain", DIGEST)
    jsonschema.validate(card, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({key: card[key] for key in card if key != name}, SCHEMA)


def test_untrusted_words_are_escaped(evaluation: Evaluation) -> None:
    named = {**evaluation.context["undesirable"], "name": "<script>\n# x</script>"}
    hostile = replace(evaluation, context={**evaluation.context, "undesirable": named})
    page = to_markdown(resistance_card(hostile, "Plain", DIGEST), "<img src=x>")
    assert "<script" not in page
    assert "<img" not in page
    assert "\n# x" not in page


def test_interrupted_run_makes_no_card(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match="complete"):
        resistance_card(replace(evaluation, complete=False), "Plain", DIGEST)


def test_unattacked_model_has_no_card(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match="audit it first"):
        resistance_card(evaluation, "Other", DIGEST)


def test_every_number_of_the_card_is_in_its_column() -> None:
    card = resistance_card(by_hand.evaluation(public=True), "Good", DIGEST)
    jsonschema.validate(json.loads(json.dumps(card)), SCHEMA)
    assert card["undesirable"]["majority"] == 50.0
    page = to_markdown(card, "model")
    head, _, few, many = (line for line in page.splitlines() if line.startswith("|"))
    rows = [
        dict(zip(head.strip("| ").split(" | "), line.strip("| ").split(" | "), strict=True))
        for line in (few, many)
    ]
    assert rows[0] == {
        "labels per class": "10",
        "strongest attack, %": "62.00 (61.50 to 62.50)",
        "from scratch, %": "60.00 (58.76 to 61.24)",
        "advantage, points": "2.00 (1.25 to 2.75)",
        "from the public model, %": "61.00 (59.51 to 62.49)",
        "advantage over that, points": "1.00 (0.01 to 1.99)",
        "new last layer, solved exactly, %": "42.00 (41.50 to 42.50)",
    }
    assert [rows[1][name].split()[0] for name in rows[1]] == [
        "all", "75.00", "76.00", "-1.00", "78.00", "-3.00", "55.00"
    ]  # fmt: skip
    assert (
        "Accuracy on cats: 97.40 % (97.15 to 97.65); against the undefended model -0.60 points "
        "(-0.85 to -0.35)." in page
    )
    assert "class is 50.0 %. A harmless third task changes by -5.00 points (-6.99 to -3.01)" in page


def test_card_warns_only_about_its_model() -> None:
    run = by_hand.evaluation()
    lost = replace(run, trainings=tuple(
        replace(one, desirable_accuracy=0.3) if one.method == "Weak" else one
        for one in run.trainings))  # fmt: skip
    good, weak = (resistance_card(lost, name, DIGEST)["flags"] for name in ("Good", "Weak"))
    assert not good and {one["flag"] for one in weak} == {"desirable accuracy lost"}


NOT_VERIFIED = "No attack that knows the method was tried: the result is not verified."
ALONE = "No undefended model was attacked beside it."
OVER = "The time was over before all settings were tried."
ONE_SEED = "One seed: differences of a few points mean nothing."


@pytest.mark.parametrize(
    ("context", "limits"),
    [
        ({}, {NOT_VERIFIED}),
        ({"adaptive": 1}, set()),
        # One model, but several draws of labels, as most suites make them.
        ({"adaptive": 1, "seeds": 1}, set()),
        ({"adaptive": 1, "time": {"stopped": True, "minutes": 1, "spent": 60, "rounds": 1,
                                  "rungs": []}}, {OVER}),
        ({"adaptive": 1, "time": {"stopped": False, "minutes": 1, "spent": 60, "rounds": 1,
                                  "rungs": []}}, set()),
    ],
)  # fmt: skip
def test_card_states_the_limits_of_its_run(context: dict[str, Any], limits: set[str]) -> None:
    run = by_hand.evaluation(**context)
    stated = set(resistance_card(run, "Good", DIGEST)["limits"])
    assert stated & {NOT_VERIFIED, ALONE, OVER, ONE_SEED} == limits
    without = replace(
        run,
        trainings=tuple(one for one in run.trainings if one.method != "Plain"),
        records=tuple(one for one in run.records if one.method != "Plain"),
    )
    assert ALONE in resistance_card(without, "Good", DIGEST)["limits"]


def test_card_says_when_a_number_has_no_interval() -> None:
    run = by_hand.evaluation(seeds=1)
    first = replace(
        run,
        trainings=tuple(one for one in run.trainings if one.seed == 1),
        records=tuple(one for one in run.records if one.seed == 1),
    )
    card = resistance_card(first, "Good", DIGEST)
    assert "| 62.00 (one value) |" in to_markdown(card, "model")
    assert ONE_SEED in card["limits"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_digest_depends_on_names_types_shapes_and_values(dtype: torch.dtype) -> None:
    value = torch.arange(6).to(dtype).view(2, 3)
    same = {"b": torch.tensor(1.0), "a": value.clone()}
    others: list[dict[str, torch.Tensor]] = [
        {"b": torch.tensor(1.0), "c": value},
        {"b": torch.tensor(1.0), "aa": value},  # in the same order
        {"b": torch.tensor(1.0), "a": value.view(3, 2)},
        {"b": torch.tensor(1.0), "a": value.double()},
        {"b": torch.tensor(2.0), "a": value},
    ]
    digest = weights_digest({"a": value, "b": torch.tensor(1.0)})
    assert digest == weights_digest(same)
    assert digest not in {weights_digest(other) for other in others}


class Published:
    """A model, its audit, and the folder that was made of them."""

    def __init__(self, root: Path) -> None:
        self.model, self.run, self.folder = root / "model.safetensors", root / "run", root / "out"

    def export(self, *more: str) -> int:
        return main(["export", str(self.model), str(self.run), "--out", str(self.folder), *more])


@pytest.fixture(scope="module")
def made(audited: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    published = Published(shutil.copytree(audited, tmp_path_factory.mktemp("made") / "published"))
    assert published.export() == 0
    return published


@pytest.fixture
def published(made: Published, tmp_path: Path) -> Published:
    """Give a copy that a test may damage."""
    shutil.copytree(made.model.parent, tmp_path / "copy")
    return Published(tmp_path / "copy")


def test_published_model_loads_back(published: Published) -> None:
    assert {path.name for path in published.folder.iterdir()} == {WEIGHTS, CONFIG, README, CARD}
    model, _ = load_model(published.model)
    loaded = load(str(published.folder))
    digest = weights_digest(model.state_dict())
    assert weights_digest(loaded.state_dict()) == digest
    card = json.loads((published.folder / CARD).read_text())
    jsonschema.validate(card, SCHEMA)
    assert card["weights_sha256"] == digest
    model.load_state_dict(load_file(published.folder / WEIGHTS))
    assert 'load("out")' in (published.folder / README).read_text()


def test_config_uses_the_names_that_other_libraries_read(published: Published) -> None:
    config = json.loads((published.folder / CONFIG).read_text())
    assert config["library"] == "rootbound"
    assert set(config) == {"library", "architecture", "classes", "inputs", "origin"}
    assert set(config["inputs"]) == {"shape", "divisor", "mean", "deviation"}
    assert set(config["origin"]) == ORIGIN


def test_config_describes_the_inputs(published: Published, toy_folder: Path, toy: Dataset) -> None:
    inputs = json.loads((published.folder / CONFIG).read_text())["inputs"]
    card = json.loads((published.folder / CARD).read_text())
    assert card["inputs"] == {  # records are rounded
        name: pytest.approx(value, rel=1e-5) for name, value in inputs.items()
    }
    said = (
        f"Inputs: pixels / 255, less {inputs['mean']:.4g}, over {inputs['deviation']:.4g}; 1x16x16"
    )
    assert said in (published.folder / README).read_text()
    assert f"- {said}" in (published.folder / README).read_text()

    network = shallow_cnn(3, tuple(inputs["shape"])).eval()
    network.load_state_dict(load_file(published.folder / WEIGHTS))
    wanted = toy.test.labels < 3
    pixels = toy.test.inputs[wanted].float()  # as they are in the files
    scaled = (pixels / inputs["divisor"] - inputs["mean"]) / inputs["deviation"]
    task = datasets.load(str(toy_folder)).task([0, 1, 2])
    model, _ = load_model(published.model)
    with torch.inference_mode():
        right = network(scaled).argmax(1) == toy.test.labels[wanted]
        bare = network(pixels / 255)
        torch.testing.assert_close(
            network(scaled), model.eval()(task.test.batch(slice(None))[0]), rtol=0, atol=1e-4
        )
    assert right.float().mean().item() == pytest.approx(accuracy(model, task.test))
    assert not torch.allclose(bare, network(scaled), atol=0.1), "the scaling makes no difference"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (
            {"shape": [1, 28, 28], "divisor": 255.0, "mean": 0.1307, "deviation": 0.3081},
            "pixels / 255, less 0.1307, over 0.3081; 1x28x28",
        ),
        (
            {"shape": [20], "divisor": 1.0, "mean": -2.0, "deviation": 1.5},
            "values, less -2, over 1.5; 20",
        ),
        (
            {
                "shape": [3, 32, 32],
                "divisor": 255.0,
                "mean": [0.485, 0.456, 0.406],
                "deviation": [0.229, 0.224, 0.225],
            },
            "pixels / 255, less (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225); 3x32x32",
        ),
        ({"shape": [64]}, "64"),
        (None, None),
    ],
)
def test_card_describes_the_inputs(
    inputs: dict[str, Any] | None, said: str | None, evaluation: Evaluation
) -> None:
    more = {} if inputs is None else {"inputs": inputs}
    tasks = {role: {**evaluation.context[role], **more} for role in ("desirable", "undesirable")}
    told = replace(evaluation, context={**evaluation.context, **tasks})
    card = json.loads(json.dumps(resistance_card(told, "Plain", DIGEST)))
    jsonschema.validate(card, SCHEMA)
    assert card.get("inputs") == inputs
    assert card["threat_model"].get("Inputs") == said
    assert (f"\nInputs: {said}.\n" in to_markdown(card, "out")) is (said is not None)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_published_model_can_be_audited(
    published: Published, toy_folder: Path, tmp_path: Path
) -> None:
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    out = ["--data", str(toy_folder), "--out", str(tmp_path / "again")]
    assert main(["audit", str(published.folder), *spent, *out]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("named", [(), ("--model", "shallow_cnn")])
def test_training_continues_from_a_published_model(
    named: tuple[str, ...], published: Published, toy_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    data = ("--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5")
    begun = ["train", "--from", str(published.folder), *named, "--method", "Plain", *data]
    out = tmp_path / "further.safetensors"
    assert main([*begun, "--epochs", "1", "--out", str(out)]) == 0
    (before, _), (after, _) = load_model(published.model), load_model(out)
    moved = [
        float((value - after.state_dict()[name]).abs().max())
        for name, value in before.state_dict().items()
    ]
    assert 0 < max(moved) < 0.5, "it began anew, or did not go on"
    misstate(published.folder / CARD)
    capsys.readouterr()
    assert main([*begun, "--out", str(tmp_path / "no.safetensors")]) == 2
    assert "do not trust the card" in capsys.readouterr().err


def misstate(card: Path) -> None:
    card.write_text(card.read_text().replace('"weights_sha256": "', '"weights_sha256": "f'))


def test_refuses_a_card_of_other_weights(published: Published) -> None:
    misstate(published.folder / CARD)
    with pytest.raises(InputError, match="do not trust the card"):
        load(str(published.folder))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "null", "{" * 100_000, '{"weights_sha256": ' + "1" * 2**21]
)
def test_names_a_damaged_card(content: str, published: Published) -> None:
    (published.folder / CARD).write_text(content)
    with pytest.raises(InputError, match="resistance card") as caught:
        load(str(published.folder))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_refuses_a_run_of_other_weights(
    published: Published, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    again = ["train", *split, "--epochs", "1", "--seed", "7", "--out", str(published.model)]
    assert main(again) == 0
    shutil.rmtree(published.folder)
    assert published.export() == 2
    assert "one of other weights" in capsys.readouterr().err
    assert not published.folder.exists()


def test_card_is_written_last(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is, all that it is about is there, too."""
    written: list[str] = []
    monkeypatch.setattr(
        "rootbound.cli.export.write_atomically", lambda path, _: written.append(path.name)
    )
    assert published.export() == 0
    assert sorted(written) == sorted([WEIGHTS, CONFIG, README, CARD]) and written[-1] == CARD


def test_card_is_about_the_arm_with_the_same_weights(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Evaluation.load(published.run)
    own = run.context["weights"]
    for name in ("records.json.gz", "verdict.json"):
        (published.run / name).unlink()
    given = {"undefended": "f" * 64, **own}
    replace(run, context={**run.context, "weights": given}).save(published.run)
    assert published.export() == 0
    assert json.loads((published.folder / CARD).read_text())["weights_sha256"] == own["defended"]
    others = dict.fromkeys(own, "f" * 64)
    replace(run, context={**run.context, "weights": others}).save(published.run)
    assert published.export() == 2
    assert "one of other weights" in capsys.readouterr().err


def test_export_leaves_other_files_alone(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published.folder = tmp_path / "mine"
    published.folder.mkdir()
    (published.folder / "README.md").write_text("my notes")
    assert published.export() == 2
    assert "README.md, which would be lost" in capsys.readouterr().err
    assert [path.name for path in published.folder.iterdir()] == ["README.md"]
    assert (published.folder / "README.md").read_text() == "my notes"


def test_pushing_sends_the_four_files(
    published: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    api = create_autospec(hub.HfApi)  # takes what the library takes, and no more
    api.return_value.create_repo.return_value.repo_id = "me/it"
    api.return_value.upload_folder.return_value = "https://hub/me/it/commit/1"
    monkeypatch.setattr(hub, "HfApi", api)
    more = ("--private", "--commit-message", "first", "--branch", "b", "--create-pr")
    assert published.export("--push-to-hub", "me/it", *more) == 0
    assert "hub: https://hub/me/it/commit/1" in capsys.readouterr().out
    made, sent = api.return_value.create_repo.call_args, api.return_value.upload_folder.call_args
    assert (made.args, made.kwargs["private"]) == (("me/it",), True)
    assert sent.kwargs["repo_id"] == "me/it"
    assert set(sent.kwargs["allow_patterns"]) == {WEIGHTS, CONFIG, README, CARD}
    told = [sent.kwargs[name] for name in ("commit_message", "revision", "create_pr")]
    assert told == ["first", "b", True]
    assert 'load("me/it")' in (published.folder / README).read_text()


@pytest.mark.parametrize("name", ["nowhere", "a/b/c", "../up", "/", "", "x/"])
def test_refuses_impossible_names_offline(name: str) -> None:
    with pytest.raises(InputError, match=r"OWNER/NAME|safetensors|model file"):
        load(name)
