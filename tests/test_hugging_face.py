"""Images that `datasets` reads: right ones come whole, wrong ones are named in one line."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from rootbound import datasets
from rootbound.core.errors import InputError

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")

CLASSES = ["cat", "dog", "eel"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def pixels(count: int, channels: int = 3, size: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(256, (count, channels, size, size), generator=generator).byte()


def pictures(values: Tensor) -> list[Image.Image]:
    images = [value.permute(1, 2, 0).squeeze(2).numpy() for value in values]
    return [Image.fromarray(np.ascontiguousarray(image)) for image in images]


def parquet(folder: Path, **columns: Callable[[int], list[Any]]) -> Path:
    """Write a folder in the hub's layout; each column is made from the number of rows."""
    folder.mkdir()
    kinds = {"img": hf.Image(), "label": hf.ClassLabel(names=CLASSES)}
    features = hf.Features({name: kinds.get(name, hf.Value("int64")) for name in columns})
    for part, count in (("train", 12), ("test", 6)):
        rows = {name: make(count) for name, make in columns.items()}
        hf.Dataset.from_dict(rows, features=features).to_parquet(folder / f"{part}.parquet")
    return folder


def labels(count: int) -> list[int]:
    return [row % 3 for row in range(count)]


@pytest.mark.parametrize("channels", [1, 3])
def test_reads_a_parquet_folder(channels: int, tmp_path: Path) -> None:
    folder = parquet(
        tmp_path / "zoo", img=lambda count: pictures(pixels(count, channels)), label=labels
    )
    found = datasets.load(str(folder))
    assert (found.name, found.classes) == ("zoo", tuple(CLASSES))
    assert torch.equal(found.train.inputs, pixels(12, channels))
    assert torch.equal(found.test.inputs, pixels(6, channels))
    assert found.test.labels.tolist() == labels(6)
    inputs, _ = found.train.batch(slice(None))
    assert abs(float(inputs.mean())) < 1e-4 and abs(float(inputs.std()) - 1) < 1e-4


def test_reads_a_folder_of_images_per_class(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("test", 2)):
        for number, name in enumerate(CLASSES):
            (tmp_path / "zoo" / part / name).mkdir(parents=True)
            for row, image in enumerate(pictures(pixels(4, size=5 + number // 9)[:count])):
                image.save(tmp_path / "zoo" / part / name / f"{row}.png")
    found = datasets.load(str(tmp_path / "zoo"))
    assert found.classes == tuple(CLASSES)
    assert found.train.labels.bincount().tolist() == [4, 4, 4]
    assert torch.equal(found.test.inputs[:2], pixels(4, size=5)[:2])


def test_reads_photographs_of_the_data_folder() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "cifar10"
    if not folder.is_dir():
        pytest.skip("the folder of development data is not here")
    parts = hf.load_dataset(str(folder), split="test[:20]")
    assert parts.features["label"].names[0] == "airplane"


def refused(folder: Path | str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        datasets.hugging_face(str(folder))
    assert "\n" not in str(caught.value)


def test_refuses_images_of_several_sizes(tmp_path: Path) -> None:
    def mixed(count: int) -> list[Image.Image]:
        return [*pictures(pixels(count - 1)), *pictures(pixels(1, size=7))]

    refused(parquet(tmp_path / "zoo", img=mixed, label=labels), r"\(7, 7\) at row 11")


def test_names_a_corrupt_image(tmp_path: Path) -> None:
    def broken(count: int) -> list[Any]:
        return [*pictures(pixels(count - 1)), {"bytes": b"\x89PNG not quite", "path": None}]

    refused(parquet(tmp_path / "zoo", img=broken, label=labels), "readable image at row 11")


def test_refuses_missing_columns(tmp_path: Path) -> None:
    images: Callable[[int], list[Any]] = lambda count: pictures(pixels(count))  # noqa: E731
    refused(parquet(tmp_path / "a", img=images, number=labels), "one column of type ClassLabel")
    refused(parquet(tmp_path / "b", label=labels), "one column of strings")


def test_holds_out_a_test_part(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "zoo", img=lambda n: pictures(pixels(n)), label=labels)
    (folder / "test.parquet").unlink()
    found = datasets.load(str(folder))
    assert (len(found.train), found.test.labels.bincount().tolist()) == (9, [1, 1, 1])
    assert found.conversion == (
        "20 % of each class held out to be judged on, for there is no test part"
    )


def test_refuses_other_folders(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "code.py").write_text("raise SystemExit('executed')")
    refused(tmp_path / "zoo", "a data set that `datasets` can load")
    (tmp_path / "zoo" / "train.parquet").write_bytes(b"PAR1 not at all")
    refused(tmp_path / "zoo", "a data set that `datasets` can load")


def test_names_the_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    refused(tmp_path, r"pip install 'rootbound\[data\]'")
