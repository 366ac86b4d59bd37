"""Every reader of foreign files; if a file is damaged, all that it may do is refuse it."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings

from faults.mutations import damaged
from faults.small_run import run
from rootbound.core.errors import InputError
from rootbound.datasets import load
from rootbound.evaluation.limits import Limits, TrialStopped
from rootbound.networks import shallow_cnn
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing import Origin, load_weights, save_model
from rootbound.publishing.published import load_checkpoint
from rootbound.records import Configuration, Evaluation, Spec
from rootbound.report.render import load_pictures
from rootbound.training.state import TrainingState, UnusableTrainingState, _Training
from toy import toy_dataset, write_idx_folder

SECONDS, BYTES = 10.0, 2**30
"""What reading one file may take."""
FORBIDDEN = ("os.system", "subprocess.Popen", "pickle.find_class", "socket.connect", "os.exec")
"""Events of Python's audit that mean that a file has got something run."""


@dataclass(frozen=True)
class Reader:
    """One kind of file and what reads it: a new one is one new row.

    Args:
        name: for the page of results.
        file: within the folder that `samples` makes.
        read: given the folder with a damaged file.
        errors: that are documented.
    """

    name: str
    file: str
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...] = (InputError,)

    @property
    def text(self) -> bool:
        """Whether the file is JSON."""
        return self.file.endswith(".json")


def samples(root: Path) -> None:
    """Make a folder with a whole file for every reader."""
    run(root / "run")
    shutil.copytree(root / "run", root / "unfinished")
    (root / "unfinished" / "records.json.gz").unlink()
    piece = next(
        path
        for path in sorted((root / "unfinished" / "records").glob("*.json"))
        if Evaluation.read(path).records
    )
    piece.rename(piece.with_name("piece.json"))
    model = shallow_cnn(3, (1, 16, 16))
    origin = Origin(
        Configuration("Plain", {}),
        "undefended",
        "mnist",
        "mnist",
        "0-2",
        "3-5",
        seed=0,
        shared=False,
    )
    (root / "published").mkdir()
    save_model(model, root / "published" / "model.safetensors", (1, 16, 16), origin)
    card = {"weights_sha256": weights_digest(own_weights(model))}
    (root / "published" / "card.json").write_text(json.dumps(card))
    torch.save(model.state_dict(), root / "weights.pt")
    toy = toy_dataset()
    write_idx_folder(root / "data", toy)
    images = {"x_train": toy.train.inputs[:20, 0].numpy(), "y_train": toy.train.labels[:20].numpy()}
    images |= {"x_test": toy.test.inputs[:20, 0].numpy(), "y_test": toy.test.labels[:20].numpy()}
    np.savez(root / "data.npz", allow_pickle=False, **images)
    _write_training_state(root)


def _write_training_state(root: Path) -> None:
    state = {"training": "x", "position": 1, "parts": {"a": torch.ones(3)}, "finished": False}
    (root / "unfinished training").mkdir()
    torch.save(state, root / "unfinished training" / "0.pt")


def _read_training_state(root: Path) -> object:
    folder = root / "unfinished training"
    return _Training(TrainingState(folder), "x", torch.Generator()).load(folder / "0.pt")


READERS = (
    Reader("records", "run/records.json.gz", lambda root: Evaluation.load(root / "run")),
    Reader("piece of records", "unfinished/records/piece.json",
           lambda root: Evaluation.load(root / "unfinished")),
    Reader("spec of a run", "run/spec.json", lambda root: Spec.load(root / "run").digest),
    Reader("pictures", "run/pictures.npz", lambda root: load_pictures(root / "run")),
    Reader("model", "published/model.safetensors",
           lambda root: load_checkpoint(str(root / "published" / "model.safetensors"))),
    Reader("card", "published/card.json", lambda root: load_checkpoint(str(root / "published"))),
    Reader("PyTorch's weights", "weights.pt",
           lambda root: load_weights(shallow_cnn(3, (1, 16, 16)), root / "weights.pt")),
    Reader("training state", "unfinished training/0.pt", _read_training_state,
           (UnusableTrainingState,)),
    Reader("IDX images", "data/train-images-idx3-ubyte.gz", lambda root: load(str(root / "data"))),
    Reader("NumPy's arrays", "data.npz", lambda root: load(str(root / "data.npz"))),
)  # fmt: skip


class Harm(AssertionError):
    """A damaged file was not refused."""


def torment(reader: Reader, root: Path, examples: int) -> Counter[str]:
    """Read so many damaged files; return how it ended, in words.

    Raises:
        Harm: with something else than a documented error, too late, with too much memory, or
            after running something.
    """
    whole, outcomes = (root / reader.file).read_bytes(), Counter[str]()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(damaged(whole, text=reader.text))
    def one(content: bytes) -> None:
        (root / reader.file).write_bytes(content)
        outcomes[_outcome(reader, root)] += 1

    try:
        one()
    finally:
        (root / reader.file).write_bytes(whole)
    return outcomes


def _outcome(reader: Reader, root: Path) -> str:
    try:
        with _watched(), _limits().enforce(1):
            reader.read(root)
    except reader.errors as error:
        if len(str(error).splitlines()) > 1:
            raise Harm(f"{reader.name}: more than one line: {error}") from None
        return "refused"
    except (Exception, TrialStopped) as error:
        raise Harm(f"{reader.name}: {type(error).__name__}: {error}") from error
    return "read"


def _limits() -> Limits:
    """Return limits of a gibibyte beyond what is used now."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    (free,) = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return Limits(SECONDS, min(1.0, BYTES / (free * 1024)))


_heard: list[str] = []
_listening = False


def _hear(event: str, _arguments: tuple[Any, ...]) -> None:
    if _listening and event in FORBIDDEN:
        _heard.append(event)


@functools.cache
def _listen() -> None:
    sys.addaudithook(_hear)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Raise where something is run inside."""
    global _listening  # noqa: PLW0603  # an audit hook is the process's for good
    _listen()
    _heard.clear()
    _listening = True
    try:
        yield
    finally:
        _listening = False
    if _heard:
        raise Harm(f"ran {_heard}")
