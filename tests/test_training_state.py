"""Trainings that are stopped anywhere continue to the same weights, bit for bit."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rootbound.cli import main
from rootbound.data import Batch, TaskPair
from rootbound.methods import (
    HNTL,
    MLAC,
    NTL,
    AdversarialHead,
    BestResponse,
    ConditionNumber,
    GradientAscent,
    LossMethod,
    Method,
    Plain,
    RepNoise,
    Schedule,
    SelectiveDistillation,
    Unlearning,
)
from rootbound.networks import Classifier, batch_norm_cnn, shallow_cnn
from rootbound.training import Recipe, minimise, seeded
from rootbound.training.state import TrainingState, _Training
from stopped import Stopped, stop_after

SHORT = Recipe(epochs=1, batch_size=30)
METHODS: tuple[Method, ...] = (
    Plain(SHORT),
    BestResponse(SHORT, schedule=Schedule(finishing_steps=4)),
    BestResponse(SHORT, undesirable_every=2, taught=0.5, schedule=Schedule(finishing_steps=4)),
    BestResponse(SHORT, max_desirable_drop=1.0, schedule=Schedule(finishing_steps=4, warm_in=0.2)),
    SelectiveDistillation(SHORT, head_epochs=1),
    Unlearning(SHORT, noise_images=4, noise_steps=2, retained=20),
    GradientAscent(SHORT, steps=4, head_steps=2),
    AdversarialHead(SHORT, undesirable_batch_size=30),
    NTL(SHORT, undesirable_batch_size=30),
    HNTL(SHORT, undesirable_batch_size=30, latent=4, hidden=8),
    RepNoise(SHORT, steps=4, head_steps=2),
    ConditionNumber(SHORT),
    # Its own loop begins again: what its simulated attackers draw lies between the batches.
    MLAC(SHORT, outer_steps=3),
)


def fit(
    method: Method, model: Classifier, tasks: TaskPair, training_state: TrainingState | None = None
) -> dict[str, Tensor]:
    return method.fit(model, tasks, seed=3, training_state=training_state).state_dict()


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_stopped_training_resumes_to_the_same_weights(
    method: Method, toy_tasks: TaskPair, tmp_path: Path
) -> None:
    model = shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)
    whole = fit(method, model, toy_tasks)
    training_state = TrainingState(tmp_path / "unfinished", every=0.0)
    for batches in (2, 3, 5):
        with pytest.MonkeyPatch.context() as patch:
            stop_after(batches, patch)
            try:
                found = fit(method, model, toy_tasks, training_state)
            except Stopped:
                continue
            break
    else:
        assert list(training_state.folder.iterdir())
        found = fit(method, model, toy_tasks, training_state)
    assert same(found, whole)


def test_resumes_where_it_stopped(
    toy_tasks: TaskPair, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = batch_norm_cnn(classes=3, shape=(1, 16, 16), seed=0)
    method, training_state = Plain(SHORT), TrainingState(tmp_path / "unfinished", every=0.0)
    whole = fit(method, model, toy_tasks)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Stopped):
            fit(method, model, toy_tasks, training_state)
    with caplog.at_level(logging.INFO):
        found = fit(method, model, toy_tasks, training_state)
    assert "going on from batch 4" in caplog.text
    assert same(found, whole)
    # Once more, from the end: nothing is left to learn.
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert same(fit(method, model, toy_tasks, training_state), whole)
    assert "going on from batch 6" in caplog.text


PHASES, EACH = 3, 4
"""Phases of a small training, and the batches of each."""


def train_in_phases(
    training_state: TrainingState, stop_at: int | None = None
) -> tuple[Tensor, int]:
    """Return weights, and how many batches this process has learned from."""
    learned, generator = 0, torch.Generator().manual_seed(0)

    def loss(batch: Tensor, _: float) -> Tensor:
        nonlocal learned
        if learned == stop_at:
            raise Stopped
        learned += 1
        outputs: Tensor = model(batch + torch.randn(batch.shape))
        return outputs.square().mean()

    def draw_batches() -> Iterator[Tensor]:
        for _ in range(EACH):
            yield torch.randn(5, 3, generator=generator)

    with seeded(1), training_state.track("it", generator):
        model = torch.nn.Linear(3, 1)
        for _ in range(PHASES):
            minimise(model, loss, draw_batches(), steps=EACH, learning_rate=0.1, changes=())
            torch.randn(2, generator=generator)  # whatever is drawn between the phases
    return model.weight.detach(), learned


@pytest.mark.parametrize("stop_at", [0, 3, 4, 6, 8, 11])
def test_phases_learn_from_no_batch_twice(stop_at: int, tmp_path: Path) -> None:
    whole, _ = train_in_phases(TrainingState(tmp_path / "whole"))
    training_state = TrainingState(tmp_path / "unfinished", every=0.0)
    with pytest.raises(Stopped):
        train_in_phases(training_state, stop_at)
    found, learned = train_in_phases(training_state)
    assert torch.equal(found, whole)
    assert learned == PHASES * EACH - stop_at


def test_late_save_holds_earlier_phases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = train_in_phases(TrainingState(tmp_path / "whole"))
    training_state = TrainingState(tmp_path / "unfinished")
    with monkeypatch.context() as patch:
        patch.setattr(_Training, "is_due", lambda training: training.phases == PHASES)
        with pytest.raises(Stopped):
            train_in_phases(training_state, PHASES * EACH - 1)
    assert len(list(training_state.folder.iterdir())) == PHASES
    found, learned = train_in_phases(training_state)
    assert torch.equal(found, whole)
    assert learned == 1


def test_saves_keep_the_given_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("rootbound.training.state.time.monotonic", lambda: now)
    generator = torch.Generator()
    training = _Training(TrainingState(tmp_path, 60.0), "it", generator, saved_at=now)
    saved = []
    for step in range(300):
        now += 1.0
        if training.is_due():
            training.save(tmp_path / "0.pt", {"position": step})
            saved.append(step + 1)
            found = training.load(tmp_path / "0.pt")
            assert found is not None and found["position"] == step
    assert saved == [60, 120, 180, 240, 300]


@pytest.mark.parametrize("damage", ["another seed", "half a file", "empty", "no state"])
def test_ignores_states_of_other_trainings(
    damage: str, toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path
) -> None:
    method, training_state = Plain(SHORT), TrainingState(tmp_path / "unfinished", every=0.0)
    whole = fit(method, toy_model, toy_tasks)
    method.fit(toy_model, toy_tasks, seed=4, training_state=training_state)
    (path,) = training_state.folder.iterdir()
    if damage == "half a file":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "no state":
        torch.save([], path)
    assert same(fit(method, toy_model, toy_tasks, training_state), whole)


@dataclass(frozen=True)
class Drawing(LossMethod):
    """Breaks the rule: its loss draws from the batches' generator."""

    def train(self, model: Classifier, tasks: TaskPair, generator: torch.Generator) -> None:
        DRAWN.append(generator)
        super().train(model, tasks, generator)

    def loss(
        self, model: Classifier, desirable: Batch, undesirable: Batch, progress: float
    ) -> Tensor:
        noise = torch.randn(1, generator=DRAWN[-1])
        return torch.nn.functional.cross_entropy(model(desirable[0]), desirable[1]) * noise.exp()


DRAWN: list[torch.Generator] = []


def test_detects_a_loss_that_disturbs_batches(
    toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    method, training_state = Drawing(SHORT), TrainingState(tmp_path / "unfinished", every=0.0)
    whole = fit(method, toy_model, toy_tasks)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(3, patch)
        with pytest.raises(Stopped):
            fit(method, toy_model, toy_tasks, training_state)
    with caplog.at_level(logging.INFO):
        assert same(fit(method, toy_model, toy_tasks, training_state), whole)
    assert "other batches came before: the training begins again" in caplog.text


def test_short_training_writes_nothing(
    toy_tasks: TaskPair, toy_model: Classifier, tmp_path: Path
) -> None:
    training_state = TrainingState(tmp_path / "unfinished")
    fit(
        BestResponse(SHORT, schedule=Schedule(finishing_steps=2)),
        toy_model,
        toy_tasks,
        training_state,
    )
    assert not training_state.folder.exists()


@pytest.mark.slow
def test_killed_command_resumes_to_the_same_file(toy_folder: Path, tmp_path: Path) -> None:
    """kill -9 for real, in the loop and again in what follows it."""
    words = [
        sys.executable, "-m", "rootbound", "train", "--data", str(toy_folder), "--desirable",
        "0-2", "--undesirable", "3-5", "--method", "BestResponse", "--epochs", "10",
        "--checkpoint-every", "0.0005",
    ]  # fmt: skip
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    assert main([*words[3:], "--out", str(whole)]) == 0
    unfinished = Path(f"{killed}.unfinished")
    for phase in ("0.pt", "1.pt"):
        running = subprocess.Popen([*words, "--out", str(killed)], stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 120
        while not (unfinished / phase).exists() and time.monotonic() < ends:
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait(timeout=60)
        assert (unfinished / phase).exists() and not killed.exists()
    done = subprocess.run(
        [*words, "--out", str(killed)], check=True, capture_output=True, text=True, timeout=200
    )
    assert "going on from batch" in done.stderr
    assert killed.read_bytes() == whole.read_bytes()
    assert not unfinished.exists()
