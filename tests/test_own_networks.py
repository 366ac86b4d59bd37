"""A network of the user's own, from the command line: trained, attacked, published, and back.

All of it in folders with spaces and letters beyond ASCII in their names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import tiny
from few import FEW
from rootbound.cli.main import main
from rootbound.networks import from_transformers
from rootbound.networks.registry import build, read_architecture
from rootbound.publishing import load, load_weights
from rootbound.publishing.checkpoint import read_header
from rootbound.publishing.hub import CARD, CONFIG, README, WEIGHTS
from rootbound.records import Evaluation

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

NETWORK = """
import torch
from torch import nn

def network():
    hidden = nn.Linear(256, 8), nn.BatchNorm1d(8), nn.ReLU()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, 3))

def transformer():
    from lookalikes import TimmCait

    return TimmCait(3, channels=1)

def pretrained():
    torch.manual_seed(0)
    return network()

def not_last():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 3), nn.Softmax(1))
"""
SPLIT = ("--desirable", "0-2", "--undesirable", "3-5")
SPENT = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(256, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    )


class Made:
    """Where everything lies."""

    def __init__(self, root: Path) -> None:
        self.model, self.run, self.folder = (
            root / "mein ü.safetensors",
            root / "a run",
            root / "öut",
        )
        self.named = ("--model", f"{root / 'my net.py'}:network")


@pytest.fixture(scope="module")
def original(toy_folder: Path, made_once: Callable[..., Path]) -> Made:
    name = "eine Mappe 漢字"

    def make(folder: Path) -> None:
        root = folder / name
        root.mkdir(parents=True)
        (root / "my net.py").write_text(NETWORK)
        shutil.copytree(toy_folder, root / "the data")
        made = Made(root)
        data = ("--data", str(root / "the data"), *SPLIT)
        train = ["train", *made.named, *data, "--epochs", "1", "--out", str(made.model)]
        assert main(train) == 0
        audit = ["audit", str(made.model), *made.named, *SPENT, "--out", str(made.run)]
        assert main(audit) == 0
        export = ["export", str(made.model), str(made.run), *made.named, "--out", str(made.folder)]
        assert main(export) == 0

    return Made(made_once("own-network", make) / name)


@pytest.fixture
def made(original: Made, tmp_path: Path) -> Made:
    """Give a copy that a test may damage."""
    return Made(Path(shutil.copytree(original.model.parent, tmp_path / "noch eine Mappe")))


@pytest.mark.slow
def test_own_load_state_dict_reads_the_published_weights(made: Made) -> None:
    assert {path.name for path in made.folder.iterdir()} == {WEIGHTS, CONFIG, README, CARD}
    plain = network()
    plain.load_state_dict(load_file(made.folder / WEIGHTS))
    assert "network.load_state_dict" in (made.folder / README).read_text()
    assert 'load("öut", network)' in (made.folder / README).read_text()
    model = load(made.folder, network())
    samples = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(samples), plain.eval()(samples))
    trained = Evaluation.load(made.run)
    assert trained.context["adaptive"], "the file says by which method it was trained"


@pytest.mark.slow
def test_published_files_hide_local_paths(made: Made, original: Made) -> None:
    root = original.model.parent
    assert str(root) in str(read_header(original.model)), "nothing could leak"
    own = (root.name, "eine Mappe", root.parents[1].name, "mein", "my net", "a run")
    for path in made.folder.iterdir():
        for word in own:
            written = (word, json.dumps(word)[1:-1])
            assert not [one for one in written if one.encode() in path.read_bytes()], path.name
    assert json.loads((made.folder / CONFIG).read_text())["origin"]["data"] == "…/the data"


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_asks_for_the_location_of_the_data(
    made: Made, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    audit = ["audit", str(made.folder), *made.named, *SPENT, "--out", str(tmp_path / "run")]
    assert main(audit) == 2
    assert "the data, in a published model; give its path with --data" in capsys.readouterr().err
    assert main([*audit, "--data", str(made.model.parent / "the data")]) == 0
    found, first = (Evaluation.load(folder).context for folder in (tmp_path / "run", made.run))
    assert [found[name] for name in ("desirable", "undesirable", "adaptive", "weights")] == [
        first[name] for name in ("desirable", "undesirable", "adaptive", "weights")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("published", [False, True])
def test_training_continues_from_own_weights(published: bool, made: Made, tmp_path: Path) -> None:
    torch.save(load_file(made.model), tmp_path / "w.pt")
    out, start = tmp_path / "further.safetensors", made.folder if published else tmp_path / "w.pt"
    data = ("--data", str(made.model.parent / "the data"), *SPLIT, "--method", "Plain")
    begun = ("--from", str(start), "--epochs", "1", "--out", str(out))
    assert main(["train", *made.named, *data, *begun]) == 0
    assert load_file(out).keys() == network().state_dict().keys()


@pytest.mark.slow
def test_refuses_a_card_of_other_weights(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    card = json.loads((made.folder / CARD).read_text())
    card["weights_sha256"] = "0" * 64
    (made.folder / CARD).write_text(json.dumps(card))
    capsys.readouterr()
    data = ("--data", str(made.model.parent / "the data"))
    begun = ["train", "--from", str(made.folder), *SPLIT]
    for command in (["audit", str(made.folder), *SPENT], begun):
        assert main([*command, *made.named, *data]) == 2
        assert "do not trust the card" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("function", ["transformer", "pretrained"])
@pytest.mark.usefixtures("no_figures")
def test_scratch_uses_random_weights_of_the_function(
    function: str, made: Made, tmp_path: Path
) -> None:
    named = ("--model", f"{made.model.parent / 'my net.py'}:{function}")
    data, out = ("--data", str(made.model.parent / "the data"), *SPLIT), tmp_path / "w.safetensors"
    trained = ("--method", "Plain", "--epochs", "1", "--out", str(out))
    assert main(["train", *named, *data, *trained]) == 0
    spent = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "2", "--workers", "2")
    assert main(["audit", str(out), *named, *spent, "--out", str(tmp_path / "run")]) == 0
    records = Evaluation.load(tmp_path / "run").records
    assert {record.arm for record in records} >= {"defended", "scratch"}
    assert not any(record.error for record in records)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["audit", "MODEL"], "pass that network as --model"),
        (["export", "MODEL", "RUN"], "pass that network as --model"),
        (["audit", "MODEL", "--model", "FILE:nothing"], "expected nothing in"),
        (["audit", "MODEL", "--model", "FILE:not_last"], "fit the network"),
        (["train", "--model", "FILE:not_last", "--data", "DATA", *SPLIT], "whose outputs are"),
        (["train", "--model", "FILE:not_last", "--head", "1", "--data", "DATA", *SPLIT], "after 1"),
        (["audit", "MODEL", "--model", "nowhere/config.json"], "No such file"),
    ],
)
def test_names_missing_arguments(
    command: list[str], said: str, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    root = made.model.parent
    places = {"MODEL": made.model, "RUN": made.run, "DATA": root / "the data"}
    words = [str(places.get(word, word)) for word in command]
    words = [word.replace("FILE", str(root / "my net.py")) for word in words]
    capsys.readouterr()
    assert main(words) == 2
    written = capsys.readouterr().err
    assert said in written and len(written.splitlines()) == 1


@pytest.mark.parametrize("family", ["bert", "vit"])
def test_reads_transformers_weights_and_configuration_from_two_files(
    family: str, tmp_path: Path
) -> None:
    given = tiny.network(family)
    given.save_pretrained(tmp_path / "x y")
    architecture = read_architecture(tmp_path / "x y" / "config.json")
    model = build(architecture, given.config.num_labels, tuple(tiny.samples(family).shape[1:]))
    load_weights(model, tmp_path / "x y" / "model.safetensors")
    expected = from_transformers(given).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", "{" * 100_000, '"model_type"'])
def test_refuses_an_invalid_configuration(
    content: str, tmp_path: Path, toy_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(content)
    torch.save(network().state_dict(), tmp_path / "w.pt")
    named = ("--model", str(tmp_path / "config.json"), "--data", str(toy_folder), *SPLIT)
    assert main(["audit", str(tmp_path / "w.pt"), *named, *SPENT]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
