"""Foreign weights: safe ones that fit are attacked, all others are refused in one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from few import FEW
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.networks import shallow_cnn
from rootbound.publishing import load_weights
from rootbound.records import Evaluation

FACTORY = """
from torch import nn

def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 3))

def no_network():
    return 3
"""
SPLIT = ("--desirable", "0-2", "--undesirable", "3-5")
SPENT = (*FEW, "--labels", "2", "--steps", "2", "--seeds", "1", "--workers", "1")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 8), nn.ReLU(), nn.Linear(8, 3))


class Bomb:
    """Leaves a file where it is opened carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth", "w.bin"])
@pytest.mark.parametrize("nested", [False, True])
def test_loads_all_weights(name: str, nested: bool, tmp_path: Path) -> None:
    weights = network().state_dict()
    if name == "w.safetensors":
        save_file(weights, tmp_path / name)
    else:
        torch.save({"epoch": 3, "state_dict": weights} if nested else weights, tmp_path / name)
    module = network()
    load_weights(module, tmp_path / name)
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())


def test_refuses_a_pickle_that_runs_code(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "w.pt"
    torch.save({"state_dict": network().state_dict(), "extra": Bomb(mark)}, path)
    with pytest.raises(InputError, match="would run code"):
        load_weights(network(), path)
    path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(InputError):
        load_weights(network(), path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": torch.zeros(2)}, "fit the network"),
        ({"1.weight": torch.zeros(8, 255)}, "fit the network"),
        ({}, "a state dict"),
        ([1, 2], "a state dict"),
        ({"a": 1}, "a state dict"),
        ({**network().state_dict(), "1.bias": torch.full((8,), torch.nan)}, "NaN"),
    ],
)
def test_names_what_does_not_fit(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match=message) as caught:
        load_weights(network(), tmp_path / "w.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("w.safetensors", b""),
        ("w.safetensors", (10 * 2**30).to_bytes(8, "little") + b"{}"),
        ("w.safetensors", b"\x02" + bytes(7) + b"[]"),
        ("w.pt", b"PK\x03\x04 and no more"),
        ("w.pt", b""),
        ("w.h5", b"anything"),
        ("w", b"anything"),
    ],
)
def test_names_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"readable|safetensors") as caught:
        load_weights(network(), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_weights(network(), tmp_path / "w.pt")


@pytest.mark.slow
@pytest.mark.parametrize("head", [(), ("--head", "3")])
@pytest.mark.usefixtures("no_figures")
def test_audits_a_foreign_network(head: tuple[str, ...], toy_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    torch.save(network().state_dict(), tmp_path / "w.pt")
    options = ["--model", f"{tmp_path / 'net.py'}:network", *head, "--data", str(toy_folder)]
    run = ["--undefended", str(tmp_path / "w.pt"), "--out", str(tmp_path / "run")]
    assert main(["audit", str(tmp_path / "w.pt"), *options, *SPLIT, *SPENT, *run]) == 0
    evaluation = Evaluation.load(tmp_path / "run")
    assert {training.arm for training in evaluation.trainings} >= {
        "defended",
        "undefended",
        "scratch",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_audits_weights_for_a_built_in_network(toy_folder: Path, tmp_path: Path) -> None:
    torch.save(shallow_cnn(3, (1, 16, 16)).state_dict(), tmp_path / "w.pt")
    options = ["--model", "shallow_cnn", "--data", str(toy_folder), "--out", str(tmp_path / "run")]
    assert main(["audit", str(tmp_path / "w.pt"), *options, *SPLIT, *SPENT]) == 0


@pytest.mark.parametrize("model", ["net.py:no_network", "net.py:nothing", "vgg", "no.py:network"])
def test_refuses_functions_that_return_no_network(
    model: str,
    toy_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(FACTORY)
    torch.save(network().state_dict(), "w.pt")
    code = main(["audit", "w.pt", "--model", model, "--data", str(toy_folder), *SPLIT, *SPENT])
    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("rootbound-audit").exists()
