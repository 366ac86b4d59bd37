"""Images in tables as pandas, `datasets` and Spark write them: the same whichever way."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rootbound import datasets
from rootbound.datasets import Layout
from rootbound.errors import InputError

pytest.importorskip("datasets", reason="the extra `data` is not installed")
arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COUNTS = {"train": 9, "test": 6}
PIXELS = np.random.default_rng(0).integers(256, size=(9, 6, 5, 3)).astype(np.uint8)
LABELS = [number % 3 for number in range(9)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hf"))


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS[number]).save(file, "png")
    return file.getvalue()


def spark(number: int) -> dict[str, Any]:
    height, width, channels = PIXELS[number].shape
    blue_first = PIXELS[number][:, :, ::-1].tobytes()
    sides = {"height": height, "width": width, "nChannels": channels}
    return {"origin": f"file:/{number}.png", **sides, "mode": 16, "data": blue_first}


COLUMNS: dict[str, Callable[[int], Any]] = {
    "bytes": png,
    "bytes and path": lambda number: {"bytes": png(number), "path": f"{number}.png"},
    "Spark": spark,
    "paths": lambda number: f"pictures/{number}.png",
}


def write(folder: Path, cell: Callable[[int], Any], suffix: str = "parquet") -> Path:
    (folder / "pictures").mkdir(parents=True)
    for number in range(9):
        (folder / "pictures" / f"{number}.png").write_bytes(png(number))
    for part, count in COUNTS.items():
        rows = {"id": list(range(count)), "picture": [cell(number) for number in range(count)]}
        table = arrow.table(rows | {"animal": LABELS[:count]})
        if suffix == "parquet":
            parquet.write_table(table, folder / f"{part}.parquet")
        else:
            table.to_pandas().to_csv(folder / f"{part}.csv", index=False)
    return folder


NAMED = Layout(label="animal")


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, "parquet") for name in COLUMNS), ("paths", "csv")]
)
def test_reads_the_same_images_from_every_column_type(
    name: str, suffix: str, tmp_path: Path
) -> None:
    found = datasets.load(str(write(tmp_path / "zoo", COLUMNS[name], suffix)), layout=NAMED)
    assert torch.equal(found.train.inputs, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))
    assert found.classes == ("0", "1", "2")
    assert found.test.labels.tolist() == LABELS[:6]
    assert found.conversion == ""


def test_holds_out_from_a_single_table(tmp_path: Path) -> None:
    folder = write(tmp_path / "zoo", COLUMNS["paths"], "csv")
    found = datasets.load(str(folder / "train.csv"), layout=NAMED)
    assert (len(found.train), len(found.test)) == (6, 3)
    assert found.conversion.startswith("20 % of each class")


def test_reports_all_missing_options_at_once(tmp_path: Path) -> None:
    for part, count in COUNTS.items():
        rows = {"one": list(map(png, range(count))), "two": list(map(png, range(count)))}
        parquet.write_table(
            arrow.table(rows | {"animal": LABELS[:count]}), tmp_path / f"{part}.parquet"
        )
    with pytest.raises(InputError) as caught:
        datasets.load(str(tmp_path))
    assert str(caught.value).startswith("expected one column of images and one column of type")
    assert str(caught.value).endswith("name them by `inputs` and `label`")
    named = Layout(inputs="two", label="animal")
    assert len(datasets.load(str(tmp_path), layout=named).train) == 9


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (lambda number: f"pictures/{number + (number == 7) * 70}.png", "row 7 of .*No such file"),
        (lambda number: None if number == 7 else png(number), "row 7 of .*no image"),
        (
            lambda number: png(number)[:-60] if number == 7 else png(number),
            "readable image at row 7",
        ),
        (lambda number: {**spark(number), "height": 6 + (number == 7)}, "row 7 of .*reshape"),
    ],
)
def test_names_a_missing_image(cell: Callable[[int], Any], message: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "zoo", cell)
    with pytest.raises(InputError, match=message):
        datasets.load(str(folder), layout=NAMED)


def test_names_an_image_by_its_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Samples that are held out count their rows anew, but a user looks for them in the file."""
    (tmp_path / "pictures").mkdir()
    lines = ["file,kind", *(f"pictures/{number % 9}.png,{number % 3}" for number in range(60))]
    for number in range(9):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(png(number))
    lines[58] = "pictures/no.png,0"
    (tmp_path / "one.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"row 57 of .*one\.csv; got .*No such file"):
        datasets.load(tmp_path / "one.csv", layout=Layout("file", "kind"))
    (tmp_path / "one.csv").write_text('a,b\n1\n"x')
    capfd.readouterr()
    with pytest.raises(InputError, match="can load at"):
        datasets.load(tmp_path / "one.csv", layout=Layout("a", "b"))
    assert "Failed to read" not in capfd.readouterr().err
