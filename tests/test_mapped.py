"""Data sets larger than memory: the same samples from a file, whatever is done with them."""

from __future__ import annotations

import copy
import gzip
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from few import FEW
from rootbound import datasets
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.data import Data, mapped
from rootbound.data.mapped import MappedRows, open_rows, select_rows
from rootbound.datasets import Dataset, Layout, cache, fitted
from rootbound.datasets.conversion import rotation_task
from toy import toy_dataset, write_idx_folder

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")
arrow = pytest.importorskip("pyarrow")
parquet_file = pytest.importorskip("pyarrow.parquet")

ON_DISK, IN_MEMORY = Layout(in_memory=0), Layout()


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep files in a folder of the test's, and let no choice of rows be small."""
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "käche dir"))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(mapped, "SMALL", -1)
    return tmp_path / "käche dir"


def idx(folder: Path) -> Path:
    write_idx_folder(folder / "toy", toy_dataset())
    return folder / "toy"


def plain_idx(folder: Path) -> Path:
    for path in idx(folder).glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    return folder / "toy"


def npz(folder: Path) -> Path:
    random = np.random.default_rng(0)
    images: dict[str, Any] = {
        f"x_{part}": random.integers(256, size=(count, 5, 4, 3)).astype(np.uint8)
        for part, count in (("train", 12), ("test", 6))
    }
    np.savez_compressed(
        folder / "toy.npz", y_train=np.arange(12) % 3, y_test=np.arange(6) % 3, **images
    )
    return folder / "toy.npz"


def floats(folder: Path) -> Path:
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {
        "x_train": random.normal(size=(12, 7)),
        "x_test": random.normal(size=(6, 7)),
    }
    np.savez(folder / "toy.npz", y_train=np.arange(12) % 3, y_test=np.arange(6) % 3, **rows)
    return folder / "toy.npz"


def image_folder(folder: Path) -> Path:
    random = np.random.default_rng(0)
    for part, count in (("train", 6), ("test", 2)):
        for name in ("<b>cat", "dog é"):
            place = folder / "zoo ü" / part / name
            place.mkdir(parents=True)
            for row in range(count):
                pixels = random.integers(256, size=(5, 6, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{row}.png")
    return folder / "zoo ü"


def parquet(folder: Path) -> Path:
    random = np.random.default_rng(0)
    features = hf.Features({"img": hf.Image(), "label": hf.ClassLabel(names=["a", "b", "c"])})
    (folder / "zoo").mkdir()
    for part, count in (("train", 12), ("test", 6)):
        pixels = random.integers(256, size=(count, 5, 6, 3)).astype(np.uint8)
        rows = {"img": list(map(Image.fromarray, pixels)), "label": [i % 3 for i in range(count)]}
        hf.Dataset.from_dict(rows, features=features).to_parquet(folder / "zoo" / f"{part}.parquet")
    return folder / "zoo"


def texts(folder: Path) -> Path:
    """Write texts of six classes, those to be judged on longer than those to learn from."""
    features = hf.Features({"t": hf.Value("string"), "label": hf.ClassLabel(names=list("abcdef"))})
    (folder / "zoo").mkdir()
    for part, count in (("train", 24), ("test", 18)):
        found = [f"{part} {'é word ' * (row % 5)}" + "and on" * (row == 17) for row in range(count)]
        rows = {"t": found, "label": [row % 6 for row in range(count)]}
        hf.Dataset.from_dict(rows, features=features).to_parquet(folder / "zoo" / f"{part}.parquet")
    return folder / "zoo"


def same(one: Data, other: Data) -> None:
    assert torch.equal(one.labels, other.labels)
    assert (one.scaling, one.shape, len(one)) == (other.scaling, other.shape, len(other))
    assert one.inputs.dtype == other.inputs.dtype
    for mine, theirs in zip(one.in_order(5), other.in_order(5), strict=True):
        assert torch.equal(mine[0], theirs[0]) and torch.equal(mine[1], theirs[1])
    drawn = [
        [batch for batch, _ in data.batches(4, 7, torch.Generator().manual_seed(0))]
        for data in (one, other)
    ]
    assert all(torch.equal(*pair) for pair in zip(*drawn, strict=True))


def loaded(path: Path, layout: Layout) -> Dataset:
    return datasets.load(str(path), layout=layout)


@pytest.mark.parametrize("make", [idx, plain_idx, npz, floats, image_folder, parquet, texts])
def test_file_gives_the_same_samples_as_memory(
    make: Callable[[Path], Path], tmp_path: Path, store: Path
) -> None:
    path = make(tmp_path)
    here, there = loaded(path, IN_MEMORY), loaded(path, ON_DISK)
    assert (there.classes, there.vocabulary) == (here.classes, here.vocabulary)
    for one, other in ((there.train, here.train), (there.test, here.test)):
        assert isinstance(one.inputs, MappedRows) and not isinstance(other.inputs, MappedRows)
        same(one, other)
        assert one.digest == other.digest
    written = {path: path.stat().st_mtime_ns for path in store.glob("*.npy")}
    assert len(written) == 4, "each part's samples and their numbers"
    same(loaded(path, ON_DISK).train, here.train)
    assert {path: path.stat().st_mtime_ns for path in store.glob("*.npy")} == written


@pytest.mark.parametrize(("make", "labels"), [(idx, 4), (texts, 1)])
def test_tasks_are_the_same_and_stay_in_the_file(
    make: Callable[[Path], Path], labels: int, tmp_path: Path
) -> None:
    path = make(tmp_path)
    there, here = (loaded(path, layout).split([0, 2], [3, 4, 5]) for layout in (ON_DISK, IN_MEMORY))
    pairs = (
        (there.desirable.train, here.desirable.train),
        (there.undesirable.train, here.undesirable.train),
        (there.known_undesirable, here.known_undesirable),
        (there.undesirable.test, here.undesirable.test),
    )
    for one, other in pairs:
        assert isinstance(one.inputs, MappedRows)
        same(one, other)
    generator = [torch.Generator().manual_seed(3) for _ in range(2)]
    drawn = [
        tasks.undesirable.train.per_class(labels, one)
        for tasks, one in zip((there, here), generator, strict=True)
    ]
    for one, other in zip(*drawn, strict=True):
        same(one, other)


@pytest.mark.parametrize(
    ("make", "shape"), [(idx, (3, 16, 16)), (idx, (1, 8, 20)), (texts, (90,)), (texts, (3,))]
)
def test_converted_samples_are_the_same(
    make: Callable[[Path], Path], shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = make(tmp_path)
    there, here = (fitted(loaded(path, layout), shape) for layout in (ON_DISK, IN_MEMORY))
    assert isinstance(there.train.inputs, MappedRows) and there.train.shape == shape
    assert (there.name, there.conversion) == (here.name, here.conversion)
    same(there.train, here.train)


def test_rotated_images_are_the_same(tmp_path: Path) -> None:
    path = idx(tmp_path)
    there, here = (
        rotation_task(loaded(path, layout).task([0, 1])) for layout in (ON_DISK, IN_MEMORY)
    )
    assert there is not None and here is not None
    same(there.train, here.train)


INDEXING: list[Callable[[Tensor], Tensor]] = [
    lambda values: values[3],
    lambda values: values[:],
    lambda values: values[2:9:3],
    lambda values: values[torch.tensor([4, 4, 0])],
    lambda values: values[values[:].flatten(1).float().mean(1) > 100],
    lambda values: torch.stack(list(values)),
    lambda values: copy.deepcopy(values)[:],
    lambda values: select_rows(values, torch.tensor([5, 1, 5]))[:],
]


@pytest.mark.parametrize("index", INDEXING)
@pytest.mark.parametrize("rows", [None, torch.tensor([7, 3, 3, 11, 0, 5, 2, 9, 1])])
def test_rows_equal_those_of_a_tensor(
    index: Callable[[Tensor], Tensor], rows: Tensor | None, tmp_path: Path
) -> None:
    values = torch.randint(256, (12, 2, 3), dtype=torch.uint8)
    np.save(tmp_path / "a.npy", values.numpy())
    expected = values if rows is None else values[rows]
    mapped_rows = cast(Tensor, MappedRows(tmp_path / "a.npy", rows))
    assert (mapped_rows.shape, mapped_rows.dtype) == (expected.shape, expected.dtype)
    found = index(mapped_rows)
    assert torch.equal(found, index(expected)) and isinstance(found, Tensor)


def test_caches_conversions_by_rows_and_change(tmp_path: Path) -> None:
    values = torch.arange(12, dtype=torch.uint8).view(6, 2)
    np.save(tmp_path / "values.npy", values.numpy())
    everything = open_rows(tmp_path / "values.npy")
    for index in ([0, 1, 2], [3, 4, 5], [2, 1, 0], [5, 5]):
        rows = torch.tensor(index)
        chosen = select_rows(everything, rows)
        assert isinstance(chosen, MappedRows)
        for more in (1, 2, 1):

            def add(part: Tensor, _: slice, more: int = more) -> Tensor:
                return part + more

            found = cache.convert(chosen, (2,), add, f"{more} more")
            assert torch.equal(found[:], values[rows] + more)


def test_sends_only_the_file_name_to_a_process(tmp_path: Path) -> None:
    values = torch.randint(256, (5000, 100), dtype=torch.uint8)
    np.save(tmp_path / "a.npy", values.numpy())
    data = Data(open_rows(tmp_path / "a.npy"), torch.zeros(5000, dtype=torch.int64))
    sent = pickle.dumps(data.inputs)
    assert len(sent) < 1000
    assert torch.equal(pickle.loads(sent)[:], values)


def test_reads_few_rows_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "SMALL", 100)
    np.save(tmp_path / "a.npy", np.zeros((20, 10), np.uint8))
    data = Data(open_rows(tmp_path / "a.npy"), torch.arange(20) % 2)
    assert not isinstance(data.subset(10).inputs, MappedRows)
    assert isinstance(data.subset(11).inputs, MappedRows)


def test_starts_nothing_without_disk_space(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        free = 10

    path = idx(tmp_path)
    monkeypatch.setattr("rootbound.datasets.cache.shutil.disk_usage", lambda _: Full)
    with pytest.raises(InputError, match=r"free space in .*ROOTBOUND_CACHE") as caught:
        loaded(path, ON_DISK)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(store.iterdir())


def test_truncated_file_leaves_nothing(tmp_path: Path, store: Path) -> None:
    path = plain_idx(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="values of shape"):
        loaded(path.parent, ON_DISK)
    assert not list(store.glob("*"))


def test_refuses_non_finite_values(tmp_path: Path, store: Path) -> None:
    path = floats(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["x_train"][3, 2] = np.inf
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="finite"):
        loaded(path, ON_DISK)
    assert not list(store.iterdir())


def test_other_axes_give_other_samples(tmp_path: Path, store: Path) -> None:
    path = tmp_path / "cubes.npz"
    samples = np.arange(8 * 6**3, dtype=np.uint8).reshape(8, 6, 6, 6)
    labels = np.arange(8) % 2
    np.savez(path, x_train=samples, y_train=labels, x_test=samples, y_test=labels)
    for axes in ("NHWC", "NCHW"):
        in_file, in_memory = (loaded(path, replace(one, axes=axes)) for one in (ON_DISK, IN_MEMORY))
        same(in_file.train, in_memory.train)


def test_skipped_images_stay_skipped(tmp_path: Path) -> None:
    path = image_folder(tmp_path)
    (path / "train" / "<b>cat" / "2.png").write_bytes(b"no image")
    for _ in range(2):
        found = loaded(path, Layout(in_memory=0, skip_unreadable=True))
        assert found.train.labels.tolist() == [0] * 5 + [1] * 6
        assert len(found.train.inputs) == 11
    with pytest.raises(InputError, match=r"a readable image at .*2\.png"):
        loaded(path, ON_DISK)


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_command_line_run_is_the_same(tmp_path: Path) -> None:
    split = ["--data", str(idx(tmp_path)), "--desirable", "0-2", "--undesirable", "3-5"]
    there, here = tmp_path / "there.safetensors", tmp_path / "here.safetensors"
    on_disk = ["--in-memory", "0"]
    assert main(["train", *split, "--epochs", "1", "--out", str(here)]) == 0
    assert main(["train", *split, "--epochs", "1", *on_disk, "--out", str(there)]) == 0
    assert there.read_bytes() == here.read_bytes()
    spent = [*FEW, "--labels", "5", "--steps", "2", "--seeds", "1", "--workers", "2"]
    assert main(["audit", str(there), *spent, *on_disk, "--out", str(tmp_path / "run")]) == 0


GIB = 2**30
LIMITED = """
import os, resource, sys, traceback
import captum.attr, datasets.load, matplotlib.pyplot, scipy.linalg, scipy.optimize, torch._dynamo
import numpy as np
import torch
from torch import nn
from rootbound import datasets
from rootbound.attacks import Budget, FineTune, LastLayer
from rootbound.evaluation import evaluate
from rootbound.methods import Plain
from rootbound.networks import Classifier
from rootbound.networks.text import BagOfWords
from rootbound.suites import Suite
from rootbound.training import Recipe

torch.set_num_threads(1)
# Libraries count for nothing. OpenBLAS would wait for ever for memory that it is refused.
scipy.linalg.inv(np.eye(300)) @ np.linalg.inv(np.eye(300))


def train_and_attack(in_memory):
    status = open("/proc/self/status").read()
    used = int(status.split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[2]), -1))
    layout = datasets.Layout(in_memory=in_memory, length=2048)
    tasks = datasets.load(sys.argv[1], layout=layout).split([0, 1, 2], [3, 4, 5])
    images = nn.AvgPool2d(16), nn.Flatten()
    texts = BagOfWords(), nn.Linear(1024, 64)
    few = texts if tasks.desirable.train.tokens else images
    model = Classifier(nn.Sequential(*few), nn.Linear(64, 3))
    plain = Plain(Recipe(epochs=1, batch_size=512)).fit(model, tasks)
    suite = Suite("two", (LastLayer(), FineTune(None)), (Budget(10, 5),))
    found = evaluate(plain, tasks, suite=suite, seeds=1)
    (training,) = (one for one in found.trainings if one.arm == "defended")
    assert training.desirable_accuracy > 0.9, training
    assert not any(one.error for one in found.records)
    print(len(tasks.desirable.train), "samples")


for in_memory in (4, 0.1):
    # Libraries take seconds to import, and what is limited begins anew.
    if (process := os.fork()) == 0:
        try:
            train_and_attack(in_memory)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print("ended with", code, flush=True)
"""


def write_gibibyte(folder: Path) -> None:
    """Write 1 GiB of images of 128 x 128, six classes that differ in what is bright."""
    side, count = 128, GIB // 128**2
    patterns = np.zeros((6, side, side), np.uint8)
    for label in range(6):
        patterns[label, 20 * label : 20 * label + 20] = 200
    folder.mkdir()
    for prefix, size in (("train", count), ("t10k", 600)):
        labels = (np.arange(size) % 6).astype(np.uint8)
        head = bytes([0, 0, 8, 1]) + struct.pack(">I", size)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
        with (folder / f"{prefix}-images-idx3-ubyte").open("wb") as file:
            file.write(bytes([0, 0, 8, 3]) + struct.pack(">3I", size, side, side))
            for start in range(0, size, 4096):
                file.write(patterns[labels[start : start + 4096]].data)


def write_long_texts(folder: Path) -> None:
    """Write 0.45 GiB of texts, one of them of so many words that tokens take 0.4.

    A letter takes four bytes, and so a word of many bytes has few letters to be read one by one.
    """
    names = [f"class{label}" for label in range(6)]
    features = hf.Features({"text": hf.Value("string"), "label": hf.ClassLabel(names=names)})
    letters = "\N{GOTHIC LETTER AHSA}" * 2400
    folder.mkdir()
    for part, count in (("train", 50_000), ("test", 600)):
        schema = features.arrow_schema
        with parquet_file.ParquetWriter(folder / f"{part}.parquet", schema) as file:
            for start in range(0, count, 1000):
                rows = range(start, min(start + 1000, count))
                found = [f"class{row % 6} {letters}{row}" for row in rows]
                found[0] = found[0] if start else "class0 " + "and " * 2048
                columns = {"text": found, "label": [row % 6 for row in rows]}
                file.write_table(arrow.table(columns, schema=schema))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_DATA"), reason="no limit on memory here")
@pytest.mark.parametrize(
    ("write", "limit", "samples"),
    [(write_gibibyte, GIB // 2, 32769), (write_long_texts, GIB * 3 // 8, 25001)],
)
def test_large_data_need_far_less_memory(
    write: Callable[[Path], None], limit: int, samples: int, tmp_path: Path
) -> None:
    folder = tmp_path / "large"
    write(folder)

    # Large blocks of memory go back when they are freed, whatever lies between them.
    own = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    given = [sys.executable, "-c", LIMITED, str(folder), str(limit)]
    done = subprocess.run(
        given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=280,
        env=own,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    whole, failed, parts, code, _ = re.split(r"ended with (-?\d+)\n", done.stdout)
    assert failed != "0" and "memory" in whole.lower(), whole[-500:]
    assert code == "0", parts[-2000:]
    assert f"{samples} samples" in parts
