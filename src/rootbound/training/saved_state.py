"""How far a training is, on disk: one that was killed goes on, to the same weights bit for bit.

A training is a sequence of phases, each a call of `training.minimise`. Of a phase that says what
it changes, the state is saved from time to time and at its end: model, optimiser, schedule, random
states, and how many batches it has seen. On going on, everything between the phases is computed
again, as it depends on the seed alone; a finished phase takes up its end; an unfinished one draws
the batches that it has seen once more, without computing anything with them. A phase that does
not say what it changes begins again. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from rootbound.core.files import write_atomically

log = logging.getLogger(__name__)
CONTIGUOUS = torch.contiguous_format
Item = TypeVar("Item")


class Stateful(Protocol):
    """What can say how it is and be made so again, as modules and optimisers can."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return nested tables and lists of tensors, numbers and words."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Be as a state says."""


class SavepointUnfit(RuntimeError):
    """What is saved is not of this training: it has to begin again."""


@dataclass(frozen=True)
class Savepoints:
    """Where a training is saved, and how often.

    Args:
        folder: of this training alone; it is there only while something is saved.
        every: seconds between two savepoints.
    """

    folder: Path
    every: float = 600.0

    @contextlib.contextmanager
    def kept(self, training: str, generator: torch.Generator) -> Iterator[None]:
        """Save the phases inside, and take up what is saved of the same training.

        Args:
            training: text that differs when anything that decides the weights does.
            generator: that everything inside draws from, besides torch's own.
        """
        token = _present.set(_Training(self, training, generator))
        try:
            yield
        finally:
            _present.reset(token)

    def clear(self) -> None:
        """Delete what is saved."""
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass
class _Training:
    """A training with savepoints on its way."""

    savepoints: Savepoints
    name: str
    generator: torch.Generator
    phases: int = 0
    saved: float = field(default_factory=time.monotonic)
    ended: dict[Path, bytes] = field(default_factory=dict)
    """Finished phases that are not worth a write before the next savepoint is due."""

    def save(self, path: Path, state: dict[str, Any], *, finished: bool) -> None:
        """Write a phase's state, where a savepoint is due; keep the end of one in any case."""
        due = time.monotonic() - self.saved >= self.savepoints.every
        if due or finished:
            self.ended[path] = _packed({"training": self.name, **state})
        if due:
            for place, content in self.ended.items():
                write_atomically(place, content)
            self.ended.clear()
            self.saved = time.monotonic()

    def load(self, path: Path) -> dict[str, Any] | None:
        """Return a phase's state, None if none is saved."""
        if not path.is_file():
            return None
        try:
            state = _unpacked(path)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise SavepointUnfit(f"{path}: {error}") from None
        if not isinstance(state, dict) or state.get("training") != self.name:
            raise SavepointUnfit(f"{path} is of another training")
        return state


_present: ContextVar[_Training | None] = ContextVar("_present", default=None)


class Phase:
    """One loop of a training: it knows how many batches it has seen, and saves that.

    Args:
        parts: what it changes, by name.
        changes: what else it changes; None if that is not known, so that it must begin again.
    """

    def __init__(self, parts: Mapping[str, Stateful], changes: Sequence[Stateful] | None) -> None:
        self._training = _present.get()
        self.position, self._finished = 0, False
        self._state: dict[str, Any] | None = None
        if self._training is None:
            return
        number, self._training.phases = self._training.phases, self._training.phases + 1
        if changes is None:
            self._training = None
            return
        self._path = self._training.savepoints.folder / f"{number}.safetensors"
        self._parts = {**parts, **{f"change {i}": one for i, one in enumerate(changes)}}
        self._state = self._training.load(self._path)
        if self._state is not None:
            self._take_up(self._state)

    def _take_up(self, state: dict[str, Any]) -> None:
        try:
            self.position, self._finished = int(state["position"]), bool(state["finished"])
            for name, part in self._parts.items():
                part.load_state_dict(state["parts"][name])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise SavepointUnfit(f"{self._path}: {error}") from None
        log.info("going on from batch %d of %s", self.position, self._path)

    def remaining(self, batches: Iterable[Item]) -> Iterator[Item]:
        """Yield the batches that are still to be learned from."""
        coming = iter(batches)
        if self._state is None or self._training is None:
            yield from coming
            return
        generator, self._training.saved = self._training.generator, time.monotonic()
        if not self._finished:
            for _ in range(self.position):
                next(coming, None)
            if not torch.equal(generator.get_state(), self._state["generator"]):
                raise SavepointUnfit(f"{self._path}: other batches came before")
        generator.set_state(self._state["generator"])
        _set_random(self._state["random"])
        self._state = None
        if not self._finished:
            yield from coming

    def seen(self) -> None:
        """Count a batch as learned from."""
        self.position += 1
        self._save(finished=False)

    def end(self) -> None:
        """Say that all batches have been learned from."""
        self._save(finished=True)

    def _save(self, *, finished: bool) -> None:
        training = self._training
        if training is None or self._finished:
            return
        if not finished and time.monotonic() - training.saved < training.savepoints.every:
            return
        state = {
            "position": self.position,
            "finished": finished,
            "parts": {name: part.state_dict() for name, part in self._parts.items()},
            "generator": training.generator.get_state(),
            "random": _random(),
        }
        training.save(self._path, state, finished=finished)


def _random() -> list[Tensor]:
    """Return the states of torch's own streams, the CPU's first."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return [torch.get_rng_state(), *devices]


def _set_random(states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if states[1:]:
        torch.cuda.set_rng_state_all(states[1:])


def _packed(state: object) -> bytes:
    """Return nested values as safetensors: tensors, and JSON that says where they belong."""
    tensors: dict[str, Tensor] = {}

    def outlined(value: Any) -> Any:
        if isinstance(value, Tensor):
            # A fused optimiser reads its state in the order in which the weights lie in memory.
            strides = value.stride()
            order = sorted(range(value.dim()), key=strides.__getitem__, reverse=True)
            name = str(len(tensors))
            tensors[name] = value.detach().permute(order).clone(memory_format=CONTIGUOUS)
            return {"tensor": [name, order]}
        if isinstance(value, Mapping):
            return {"table": [[key, outlined(entry)] for key, entry in value.items()]}
        if isinstance(value, list | tuple):
            return {"tuple" if isinstance(value, tuple) else "list": [outlined(i) for i in value]}
        return value

    outline = outlined(state)
    return save(tensors, {"outline": json.dumps(outline)})


def _unpacked(path: Path) -> Any:
    """Return what was packed.

    Raises:
        SafetensorError: or another error of the file system or of the values, if it is damaged.
    """
    with safe_open(path, "pt") as file:

        def filled(outline: Any) -> Any:
            if not isinstance(outline, dict):
                return outline
            ((kind, content),) = outline.items()
            if kind == "tensor":
                name, order = content
                tensor: Tensor = file.get_tensor(name)
                return tensor.permute(sorted(order, key=order.__getitem__))
            if kind == "table":
                return {key: filled(entry) for key, entry in content}
            return (tuple if kind == "tuple" else list)(filled(entry) for entry in content)

        return filled(json.loads((file.metadata() or {})["outline"]))
