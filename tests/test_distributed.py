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
from rootbound.core.errors import InputError
from rootbound.training import state

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
    # The main process alone saves, and the others have nobody to clean up after them.
    assert (folder / "unfinished-0").is_dir() and not (folder / "unfinished-1").exists()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("row", ["Plain", "BestResponse"])
def test_two_processes_equal_a_doubled_batch(row: str, alone: Found, both: list[Found]) -> None:
    """Each process learns from half of what one process alone learns from."""
    curve = torch.stack([one[row]["losses"] for one in both]).mean(0)
    expected = alone[row]["losses"]
    assert expected[-1] < 0.8 * expected[0]
    torch.testing.assert_close(curve, expected, rtol=0, atol=1e-8)
    for name, weights in alone[row].items():
        if name != "losses":
            torch.testing.assert_close(both[0][row][name], weights, rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("row", list(together.ROWS))
def test_both_processes_end_with_the_same_weights(row: str, both: list[Found]) -> None:
    """To the bit, running statistics included."""
    for name, weights in both[0][row].items():
        if name != "losses":
            assert torch.equal(weights, both[1][row][name]), name


@pytest.mark.slow
def test_stopped_training_resumes_in_every_process(both: list[Found]) -> None:
    """To the same bits, although only the main process's machine has kept anything."""
    for one in both:
        whole, found = one["batch norm"], one["resumed"]
        assert len(found["losses"]) == len(whole["losses"]) - together.STOPPED_AFTER
        assert torch.equal(found["losses"], whole["losses"][together.STOPPED_AFTER :])
        for name, weights in whole.items():
            if name != "losses":
                assert torch.equal(found[name], weights), name


@pytest.mark.slow
def test_averages_cover_all_processes(both: list[Found]) -> None:
    expected = [
        (one.double() + two.double()) / 2
        for one, two in zip(*map(together.own_gradients, range(2)), strict=True)
    ]
    start = together.Masked(0).state_dict()
    for rank, one in enumerate(both):
        found = one["averaged"]
        for number, gradient in enumerate(expected):
            torch.testing.assert_close(found[f"gradient {number}"].double(), gradient)
        # A weight that one process's part of a batch does not reach has the gradient 0 there.
        assert torch.equal(found["seldom reached"], torch.full((5,), 3.0))
        assert "never reached" not in found
        for name, value in start.items():
            assert torch.equal(found[name], torch.tensor(rank) if name == "count" else value), name


@pytest.mark.slow
@pytest.mark.parametrize("value", ["explained_variance", "linear_information"])
def test_closed_forms_see_every_sample(value: str, alone: Found, both: list[Found]) -> None:
    expected = alone["closed forms"]
    gradient = torch.empty_like(expected[f"{value}, gradient"])
    for rank, one in enumerate(both):
        torch.testing.assert_close(one["closed forms"][value], expected[value])
        gradient[rank::2] = one["closed forms"][f"{value}, gradient"]
    torch.testing.assert_close(gradient, expected[f"{value}, gradient"])


@pytest.mark.slow
def test_command_writes_one_file(toy_folder: Path, tmp_path: Path) -> None:
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


def test_torchrun_refuses_evaluations(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert distributed.count_started() == 2
    assert main(["demo", "--quick"]) == 2
    assert "use --workers or --ray" in capsys.readouterr().err


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_add_up_to_the_batch(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and labels stay together, and every sample is in one part."""
    monkeypatch.setattr(distributed, "count_processes", lambda: count)
    inputs = torch.arange(14).reshape(7, 2)
    pair = ((inputs, inputs[:, 0]), None, "title")
    seen = []
    for rank in range(count):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        (own, labels), nothing, title = distributed.share(pair)
        assert (nothing, title) == (None, "title")
        assert torch.equal(own[:, 0], labels)
        assert len(own) in (7 // count, -(-7 // count))
        seen += labels.tolist()
    assert sorted(seen) == inputs[:, 0].tolist()


def test_a_batch_has_a_sample_for_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count_processes", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 2)
    assert distributed.share(torch.arange(3)).tolist() == [2]
    with pytest.raises(InputError, match="at least 3 samples, one for each process; got 2"):
        distributed.share((torch.zeros(3), torch.zeros(2)))


def test_each_process_resumes_the_stream_of_its_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second device's stream in the main process is that of nobody's training."""
    given: list[tuple[object, object]] = []
    monkeypatch.setattr(distributed, "count_processes", lambda: 2)
    monkeypatch.setattr(torch, "get_default_device", lambda: torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *one: given.append(one))
    with torch.random.fork_rng(devices=[]):
        state._set_random_states([torch.get_rng_state(), torch.ones(1), torch.zeros(1)])
    assert given == [(torch.ones(1), torch.device("cuda", 1))]
