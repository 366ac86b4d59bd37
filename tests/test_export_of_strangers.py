"""A card for any audited weights: a stranger's, and one's own baseline."""

from __future__ import annotations

import html
import json
from pathlib import Path

import jsonschema
import pytest
import torch

import rootbound as rb
from few import FEW
from rootbound.cli.main import main
from rootbound.networks import shallow_cnn
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing.card import SCHEMA
from rootbound.publishing.hub import CARD, CONFIG, README
from rootbound.records import Evaluation
from test_foreign import FACTORY, SPLIT, network

SPENT = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1", "--out", "run")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder with a stranger's files, and the code of a network."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FACTORY)
    torch.manual_seed(3)
    own = {f"module.{name}": value.half() for name, value in network().state_dict().items()}
    torch.save({"model": own, "ema": network().state_dict()}, "own.ckpt")
    torch.save({"state_dict": shallow_cnn(3, (1, 16, 16)).state_dict()}, "named.pt")


def card_of(folder: str) -> dict[str, object]:
    card: dict[str, object] = json.loads(Path(folder, CARD).read_text())
    jsonschema.validate(card, SCHEMA)
    return card


@pytest.mark.usefixtures("weights", "no_figures")
def test_exports_weights_of_another_program(
    toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("--model", "net.py:network")
    audit = ["audit", "own.ckpt", *named, "--data", str(toy_folder), *SPLIT, *SPENT]
    assert main(audit) == 2
    assert "'model.module', 'ema'; choose one with --weights" in capsys.readouterr().err
    scaled = ("--mean", "0.5", "--deviation", "0.5")
    assert main([*audit, *scaled, "--weights", "model"]) == 0
    assert "the prefix 'module.' was removed" in capsys.readouterr().err
    done = Evaluation.load("run").context["weights_conversions"]["defended"]
    assert "under the key 'model'" in done and "float16 are read as float32" in done
    assert done in html.unescape(Path("run", "report.html").read_text())
    chosen = (*named, "--weights", "model")
    assert main(["export", "own.ckpt", "run", *chosen, "--out", "published"]) == 0
    card = card_of("published")
    assert done in str(card["threat_model"])
    assert weights_digest(own_weights(rb.load("published", network()))) == card["weights_sha256"]
    assert json.loads(Path("published", CONFIG).read_text())["origin"] is None
    assert 'load("published", network)' in Path("published", README).read_text()
    # What they are for must be said again, not how their inputs were scaled.
    again = ["audit", "published", *named, "--data", str(toy_folder), *SPLIT, *SPENT[:-1], "again"]
    assert main(again) == 0
    first, second = (Evaluation.load(folder).context for folder in ("run", "again"))
    assert [first[key] for key in ("weights", "desirable")] == [
        second[key] for key in ("weights", "desirable")
    ]


@pytest.mark.usefixtures("weights", "no_figures")
@pytest.mark.parametrize("purpose", [("--desirable", "0-2"), ()])
def test_exports_weights_of_a_named_network(purpose: tuple[str, ...], toy_folder: Path) -> None:
    named, data = ("--model", "shallow_cnn"), ("--data", str(toy_folder), "--undesirable", "3-5")
    assert main(["audit", "named.pt", *named, *data, *purpose, *SPENT]) == 0
    assert main(["export", "named.pt", "run", *named, "--out", "published"]) == 0
    card = card_of("published")
    assert weights_digest(own_weights(rb.load("published"))) == card["weights_sha256"]
    assert (card["desirable"] is None) == (not purpose)


@pytest.mark.usefixtures("weights", "no_figures")
def test_exports_a_baseline(toy_folder: Path) -> None:
    data = ("--data", str(toy_folder), *SPLIT)
    for seed, name in enumerate(("plain", "other")):
        train = ["train", *data, "--method", "Plain", "--epochs", "1", "--seed", str(seed)]
        assert main([*train, "--out", f"{name}.safetensors"]) == 0
    beside = ("--undefended", "plain.safetensors")
    assert main(["audit", "other.safetensors", *beside, *SPENT]) == 0
    for name in ("plain", "other"):
        assert main(["export", f"{name}.safetensors", "run", "--out", name]) == 0
        assert weights_digest(own_weights(rb.load(name))) == card_of(name)["weights_sha256"]
