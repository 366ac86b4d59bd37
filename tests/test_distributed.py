"""Two processes train what one does: losses, gradients and weights are those of the whole batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import together
from rootbound.cli import main
from rootbound.core import distributed

pytestmark = pytest.mark.slow
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
Found = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def alone(made_once: Callable[..., Path]) -> Found:
    def make(folder: Path) -> None:
        folder.mkdir()
        torch.save(together.everything(), folder / "found")

    found: Found = torch.load(made_once("trained-alone", make) / "found")
    return found


@pytest.fixture(scope="module")
def both(made_once: Callable[..., Path]) -> list[Found]:
    def make(folder: Path) -> None:
        folder.mkdir()
        script = Path(together.__file__)
        command = [*TORCHRUN, str(script), str(folder)]
        subprocess.run(command, check=True, cwd=script.parent, timeout=200)

    folder = made_once("trained-together", make)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("row", ["Plain", "BestResponse"])
def test_the_curve_is_that_of_the_doubled_batch(row: str, alone: Found, both: list[Found]) -> None:
    """Each process learns from half of what one process alone learns from."""
    curve = torch.stack([one[row]["losses"] for one in both]).mean(0)
    expected = alone[row]["losses"]
    assert expected[-1] < 0.8 * expected[0]
    torch.testing.assert_close(curve, expected, rtol=0, atol=1e-8)
    for name, weights in alone[row].items():
        if name != "losses":
            torch.testing.assert_close(both[0][row][name], weights, rtol=0, atol=1e-8)


@pytest.mark.parametrize("row", list(together.ROWS))
def test_both_end_with_the_same_weights(row: str, both: list[Found]) -> None:
    """To the bit, running statistics included."""
    for name, weights in both[0][row].items():
        if name != "losses":
            assert torch.equal(weights, both[1][row][name]), name


@pytest.mark.parametrize("value", ["explained_variance", "linear_information"])
def test_closed_forms_see_every_sample(value: str, alone: Found, both: list[Found]) -> None:
    expected = alone["closed forms"]
    gradient = torch.empty_like(expected[f"{value}, gradient"])
    for rank, one in enumerate(both):
        torch.testing.assert_close(one["closed forms"][value], expected[value])
        gradient[rank::2] = one["closed forms"][f"{value}, gradient"]
    torch.testing.assert_close(gradient, expected[f"{value}, gradient"])


def test_the_command_writes_one_file(toy_folder: Path, tmp_path: Path) -> None:
    arguments = [
        "train", "--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5",
        "--method", "Plain", "--epochs", "1", "--out",
    ]  # fmt: skip
    done = subprocess.run(
        [*TORCHRUN, "--module", "rootbound", *arguments, str(tmp_path / "two.safetensors")],
        check=True, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.stdout.count("desirable test accuracy") == 1
    assert main([*arguments, str(tmp_path / "one.safetensors")]) == 0
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("one", "two")]
    assert sizes[0] == sizes[1]


def test_evaluations_are_not_for_torchrun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.count_started() == 2
    assert main(["demo", "--quick"]) == 2
    assert "use --workers or --ray" in capsys.readouterr().err
