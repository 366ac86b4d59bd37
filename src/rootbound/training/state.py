"""Saving the state of a training: one that was killed resumes, and ends with identical weights.

A training is a sequence of phases, each a call of `training.minimise`. A phase that says what it
changes is saved from time to time and at its end: model, optimiser, schedule, random states, and
the number of batches seen. When the training is started again, everything between the phases is
computed again, as it depends only on the seed. A finished phase restores the state at its end. An
unfinished one draws the batches that it has seen once more, without computing anything with them,
and continues from there. A phase that does not say what it changes starts again.

If several processes train together, the main one saves, and all take up what it has saved.
"""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from rootbound.core import distributed
from rootbound.core.files import write_atomically

log = logging.getLogger(__name__)
Item = TypeVar("Item")


class Stateful(Protocol):
    """An object whose state can be saved and restored, such as a module or an optimiser."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return nested dictionaries and lists of tensors, numbers and texts."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Restore a state."""


class UnusableTrainingState(RuntimeError):
    """The saved state is damaged or belongs to another training; the training must start again."""


@dataclass(frozen=True)
class TrainingState:
    """Where the state of a training is saved, and how often.

    Args:
        folder: A folder for this training alone; it is deleted when the training has ended.
        every: Seconds between two saves.
    """

    folder: Path
    every: float = 600.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))  # callers may pass a text

    @contextlib.contextmanager
    def track(self, training: str, generator: torch.Generator) -> Iterator[None]:
        """Save the phases inside, and restore the saved state of the same training.

        Args:
            training: A text that changes with everything that decides the weights.
            generator: The generator that everything inside draws from, besides torch's own.
        """
        token = _current.set(_Training(self, training, generator))
        try:
            yield
        finally:
            _current.reset(token)

    def clear(self) -> None:
        """Delete the saved state."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class _Training:
    """A training whose state is saved."""

    state: TrainingState
    name: str
    generator: torch.Generator
    phases: int = 0
    saved_at: float = field(default_factory=time.monotonic)
    pending: dict[Path, bytes] = field(default_factory=dict)
    """Finished phases that will be written when the next save is due."""

    def is_due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.state.every

    def save(self, path: Path, phase: dict[str, Any]) -> None:
        """Write the state of a phase if a save is due, else remember it for the next one."""
        packed = io.BytesIO()
        torch.save({"training": self.name, **phase}, packed)
        self.pending[path] = packed.getvalue()
        if self.is_due():
            for pending_path, content in self.pending.items():
                write_atomically(pending_path, content)
            self.pending.clear()
            self.saved_at = time.monotonic()

    def load(self, path: Path) -> dict[str, Any] | None:
        """Return the state of a phase, None if none is saved."""
        # The main process alone reads: others may be on machines that do not see the file.
        packed = distributed.broadcast(_read(path))
        if packed is None:
            return None
        try:
            phase = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file may fail in any way
            raise UnusableTrainingState(f"{path} is damaged ({type(error).__name__})") from None
        if not isinstance(phase, dict) or phase.get("training") != self.name:
            raise UnusableTrainingState(f"{path} is of another training")
        return phase


_current: ContextVar[_Training | None] = ContextVar("_current", default=None)


class Phase:
    """One loop of a training: it counts the batches it has seen, and saves its state.

    Args:
        parts: The objects that the loop changes, by name.
        changes: Other objects that it changes; None if they are not known, so that the phase must
            start again.
    """

    def __init__(self, parts: Mapping[str, Stateful], changes: Sequence[Stateful] | None) -> None:
        self._training = _current.get()
        self.position, self._finished = 0, False
        self._loaded: dict[str, Any] | None = None
        if self._training is None:
            return
        number, self._training.phases = self._training.phases, self._training.phases + 1
        if changes is None:
            self._training = None
            return
        self._path = self._training.state.folder / f"{number}.pt"
        self._parts = {**parts, **{f"change {i}": part for i, part in enumerate(changes)}}
        self._loaded = self._training.load(self._path)
        if self._loaded is not None:
            self._take_up(self._loaded)

    def _take_up(self, loaded: dict[str, Any]) -> None:
        try:
            self.position, self._finished = int(loaded["position"]), bool(loaded["finished"])
            for name, part in self._parts.items():
                part.load_state_dict(loaded["parts"][name])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UnusableTrainingState(f"{self._path}: {error}") from None
        log.info("going on from batch %d of %s", self.position, self._path)

    def remaining(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield the batches that it has not learned from yet."""
        coming = iter(batches)
        if self._loaded is None or self._training is None:
            yield from coming
            return
        generator, self._training.saved_at = self._training.generator, time.monotonic()
        if not self._finished:
            for _ in range(self.position):
                next(coming, None)
            if not torch.equal(generator.get_state(), self._loaded["generator"]):
                raise UnusableTrainingState(f"{self._path}: other batches came before")
        generator.set_state(self._loaded["generator"])
        _set_random_states(self._loaded["random"])
        self._loaded = None
        if not self._finished:
            yield from coming

    def seen(self) -> None:
        """Count a batch as learned from."""
        self.position += 1
        if self._training is not None and self._training.is_due():
            self._save(self._training, finished=False)

    def end(self) -> None:
        """Save the phase as finished."""
        if self._training is not None and not self._finished:
            self._save(self._training, finished=True)

    def _save(self, training: _Training, *, finished: bool) -> None:
        if not distributed.is_main_process():
            return
        phase = {
            "position": self.position,
            "finished": finished,
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "generator": training.generator.get_state(),
            "random": _get_random_states(),
        }
        training.save(self._path, phase)


def _read(path: Path) -> bytes | None:
    """Return what is in a file, nothing if it cannot be read; None if there is no file."""
    if not distributed.is_main_process() or not path.is_file():
        return None
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def _get_random_states() -> list[Tensor]:
    """Return the states of torch's own streams, the CPU's first."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *devices]


def _set_random_states(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if not states[1:]:
        return
    device = torch.get_default_device()
    if distributed.count_processes() > 1 and device.type == "cuda":
        # These are of the main process, which computes on its machine's first device.
        torch.cuda.set_rng_state(states[1], device)
    else:
        torch.cuda.set_rng_state_all(states[1:])
