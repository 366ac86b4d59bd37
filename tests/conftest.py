"""Fixtures that all tests share."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from torch import nn

if "PYTEST_XDIST_WORKER" in os.environ:
    # Such a process is a `python -c`, which starts no workers: let it be as `python -m pytest` is.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("pytest.__main__")
sys.path.insert(0, str(Path(__file__).parents[1]))  # for `benchmarks`
sys.path.insert(0, str(Path(__file__).parent))

from fakes import FAKES, base
from faults import small_run
from rootbound import report
from rootbound.attacks import Budget, ExactLastLayer, FineTune, LastLayer
from rootbound.attacks.repairs.by_training import TrainingRepair
from rootbound.cli import main
from rootbound.core import progress
from rootbound.data import TaskPair
from rootbound.datasets import Dataset, mnist
from rootbound.evaluation import jobs
from rootbound.inspection import behaviour
from rootbound.methods import Plain, Schedule
from rootbound.networks import Classifier, shallow_cnn
from rootbound.suites import Suite
from rootbound.training import Recipe
from toy import toy_dataset, write_idx_folder

# More threads than cores make small tensors slower, and numbers differ between machines.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the programs that tests start
os.environ.setdefault("MPLBACKEND", "svg")
# What commands say must not depend on how long they take; tests of signs of life set a short time.
progress.FIRST_LINE = 3600.0
# The same examples everywhere, so that a failure elsewhere is one here; HYPOTHESIS_PROFILE=search
# looks for new ones. No deadline: the first call of a torch function can be slow.
settings.register_profile("repeat", derandomize=True, deadline=None, database=None)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_collection_finish() -> None:
    """Exclude libraries and thousands of tests from garbage collection, which takes long."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put slow tests first: every process begins with a part of the list and ends with others'.

    Slow tests are left out of the coverage: traced, they take half as long again.
    """
    slow = [item for item in items if item.get_closest_marker("slow") is not None]
    if config.pluginmanager.hasplugin("pytest_cov"):
        for item in slow:
            item.add_marker("no_cover")
    kinds = slow, [item for item in items if item.get_closest_marker("slow") is None]
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0"))
    parts = [
        kind[len(kind) * part // count : len(kind) * (part + 1) // count]
        for part in range(count)
        for kind in kinds
    ]
    items[:] = [item for part in parts for item in part] or items


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep cached files out of the user's home."""
    os.environ["ROOTBOUND_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def _without_waiting_for_the_disk() -> Iterator[None]:
    """Do not wait for the disk at every write: that only matters if the machine loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _workers_find_all_imported() -> Iterator[None]:
    """Fork workers from a process that has imported what runs need, whichever test comes first.

    A process starts all its workers from one server, which keeps what the first of them asks for.
    """
    ask = ForkServerContext.set_forkserver_preload

    def ask_for_more(context: ForkServerContext, modules: list[str]) -> None:
        ask(context, [*modules, jobs.__name__, *jobs.PRELOAD])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkServerContext, "set_forkserver_preload", ask_for_more)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Give a function that fills a folder once for all test processes.

    The folder is shared: a test that changes anything in it takes a copy.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, finished = shared / name, shared / f"{name}.finished"
        # Shorter than a hang may be: who waits for a test that hangs says so itself.
        with FileLock(shared / f"{name}.lock", timeout=280):
            if not finished.exists():
                shutil.rmtree(folder, ignore_errors=True)
                fill(folder)
                finished.touch()
        return folder

    return make


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures of reports out, for tests that do not look at them: they take seconds."""
    monkeypatch.setattr("rootbound.report.render.draw", lambda *_: {"curves": [], "portraits": []})


@pytest.fixture
def one_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the behaviour of only one network of a run, for tests of architectures.

    It takes a second, and the others of a run are of the same architecture. A few inputs do where
    nothing is measured.
    """
    monkeypatch.setattr(behaviour, "SAMPLES", 8)
    met = []

    def measure(*given: Any) -> dict[str, float]:
        met.append(given)
        return behaviour.measure_behaviour(*given) if len(met) == 1 else {}

    monkeypatch.setattr("rootbound.inspection.diagnosis.measure_behaviour", measure)


@pytest.fixture(scope="module")
def few_steps_of_their_own() -> Iterator[None]:
    """Limit the last steps of `BestResponse` and repairs that train to 3, whatever settings say.

    In this process, for tests that do not look at what these steps do: each model that the method
    made meets such a repair. All steps are taken in `test_attacks.py`, and in other processes.
    """
    end, train = Schedule.finish, TrainingRepair.train

    def end_soon(schedule: Schedule, *given: Any) -> None:
        end(replace(schedule, finishing_steps=min(3, schedule.finishing_steps)), *given)

    def train_shortly(repair: Any, network: nn.Module, loss: Any, batches: Iterator[Any]) -> None:
        short = replace(repair, steps=min(3, repair.steps))
        train(short, network, loss, islice(batches, short.steps))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schedule, "finish", end_soon)
        patch.setattr(TrainingRepair, "train", train_shortly)
        yield


@pytest.fixture(scope="session")
def finished_run(made_once: Callable[..., Path]) -> Path:
    """Give the folder of a whole small comparison."""
    return made_once("finished-run", small_run.run)


@pytest.fixture(scope="session")
def golden_report(made_once: Callable[..., Path]) -> Path:
    """Give a folder with the committed records, and the report made from them."""

    def make(folder: Path) -> None:
        folder.mkdir()
        for name in ("records.json.gz", "pictures.npz"):
            shutil.copy(Path(__file__).parent / "golden" / name, folder)
        report.write(folder)

    return made_once("golden-report", make)


@pytest.fixture(scope="session")
def toy() -> Dataset:
    return toy_dataset()


@pytest.fixture(scope="session")
def toy_tasks(toy: Dataset) -> TaskPair:
    return toy.split([0, 1, 2], [3, 4, 5])


@pytest.fixture(scope="session")
def toy_folder(made_once: Callable[..., Path], toy: Dataset) -> Path:
    return made_once("toy", lambda folder: write_idx_folder(folder, toy))


@pytest.fixture(scope="session")
def audited(made_once: Callable[..., Path], toy_folder: Path) -> Path:
    """Give a folder with a model that the command line trained, and `run/`, its audit."""

    def make(folder: Path) -> None:
        model, split = str(folder / "model.safetensors"), "--desirable 0-2 --undesirable 3-5"
        few = "--suite demo-1 --labels 5,all --steps 3,3 --seeds 1 --workers 1"
        train = ["train", "--data", str(toy_folder), *split.split(), "--epochs", "1"]
        assert main([*train, "--model", "shallow_cnn", "--out", model]) == 0
        assert main(["audit", model, *few.split(), "--out", str(folder / "run")]) == 0

    return made_once("audited", make)


@pytest.fixture(scope="session")
def few_digits() -> TaskPair:
    """Give the tasks of MNIST, with a fifth of its test images."""
    digits = mnist()
    fewer = replace(digits, test=digits.test.subset(2_000))
    return fewer.split([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])


@pytest.fixture(scope="session")
def mnist_fakes(
    made_once: Callable[..., Path], few_digits: TaskPair
) -> dict[str, tuple[Classifier, Classifier]]:
    """Give, for every fake, an undefended network of MNIST and the fake that was made of it."""

    def make(folder: Path) -> None:
        plain = Plain(Recipe(epochs=2))
        trained = {
            build: plain.fit(build(5, (1, 28, 28)), few_digits) for build in set(map(base, FAKES))
        }
        made = {name: fake(trained[base(name)], few_digits) for name, fake in FAKES.items()}
        folder.mkdir()
        torch.save({name: (trained[base(name)], one) for name, one in made.items()}, folder / "all")

    found: dict[str, tuple[Classifier, Classifier]]
    found = torch.load(made_once("mnist-fakes", make) / "all", weights_only=False)
    return found


@pytest.fixture
def toy_model() -> Classifier:
    return shallow_cnn(classes=3, shape=(1, 16, 16), seed=0)


@pytest.fixture(scope="session")
def toy_suite() -> Suite:
    """One trial of everything, in seconds."""
    attacks = (
        LastLayer("adam", 0.01),
        LastLayer("adam", 0.1),
        ExactLastLayer(1e-3),
        FineTune(2, "re-initialised", "adam", 1e-2),
        FineTune(None, "kept", "sgd", 0.05),
    )
    return Suite("toy-1", attacks, (Budget(5, 6), Budget(None, 12)))
