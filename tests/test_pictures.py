"""Pictures as people have them: each is read correctly, with a remark, or refused by name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from rootbound import datasets
from rootbound.datasets import Dataset, Layout
from rootbound.datasets.pixels import Kind, read_pixels
from rootbound.errors import InputError

SIDE = 8
RANDOM = np.random.default_rng(0)
RAMP = np.linspace(0.2, 0.7, SIDE * SIDE).reshape(SIDE, SIDE)
BYTES = (RAMP * 255).astype(np.uint8)
DEEP = (RAMP * 65535).astype(np.uint16)
COLOURS = RANDOM.integers(256, size=(SIDE, SIDE, 3)).astype(np.uint8)
INK = np.zeros((SIDE, SIDE), np.uint8)
INK[2] = 255


def stored(image: Image.Image, kind: str = "png", **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def of(values: NDArray[Any], mode: str | None = None, **settings: Any) -> bytes:
    image = Image.fromarray(values)
    return stored(image if mode is None else image.convert(mode), **settings)


def with_alpha(colour: int, alpha: NDArray[Any]) -> bytes:
    return of(np.dstack([np.full((SIDE, SIDE, 3), colour, np.uint8), alpha]))


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return stored(Image.fromarray(COLOURS[:6]), exif=exif)


def palette(**settings: Any) -> bytes:
    return stored(Image.fromarray(COLOURS).quantize(8), **settings)


def frames(kind: str, count: int) -> bytes:
    images = [Image.fromarray(np.roll(COLOURS, one, 0)) for one in range(count)]
    return stored(images[0], kind, save_all=True, append_images=images[1:])


def rgb(content: bytes) -> NDArray[Any]:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)


ON_WHITE = np.repeat((255 - INK)[None], 3, axis=0)
CMYK = stored(Image.fromarray(COLOURS).convert("CMYK"), "jpeg", quality=95)
READ: dict[str, tuple[bytes, NDArray[Any], Kind, str]] = {
    "grey": (of(BYTES), BYTES[None], Kind(1, 8), ""),
    "colour": (of(COLOURS), COLOURS.transpose(2, 0, 1), Kind(3, 8), ""),
    "one bit": (of(INK, "1"), INK[None], Kind(1, 8), ""),
    "palette": (palette(), rgb(palette()), Kind(3, 8), ""),
    "16-bit png": (of(DEEP), DEEP[None], Kind(1, 16), ""),
    "16-bit tiff": (of(DEEP, kind="tiff"), DEEP[None], Kind(1, 16), ""),
    "float tiff": (
        of(RAMP.astype(np.float32), kind="tiff"),
        RAMP.astype(np.float32)[None],
        Kind(1, 32),
        "",
    ),
    "whole tiff of 32 bits that fits 16": (
        of(DEEP.astype(np.int32), kind="tiff"),
        DEEP[None],
        Kind(1, 16),
        "",
    ),
    "opaque": (with_alpha(7, INK * 0 + 255), np.full((3, 8, 8), 7), Kind(3, 8), ""),
    "black ink on nothing": (with_alpha(0, INK), ON_WHITE, Kind(3, 8), "FLATTENED"),
    "grey with transparency": (
        stored(Image.merge("LA", [Image.fromarray(INK * 0), Image.fromarray(INK)])),
        ON_WHITE[:1],
        Kind(1, 8),
        "FLATTENED",
    ),
    "a transparent grey": (
        of(INK // 2, transparency=0),
        np.where(INK, 127, 255)[None].astype(np.uint8),
        Kind(1, 8),
        "FLATTENED",
    ),
    "upright": (turned(1), COLOURS[:6].transpose(2, 0, 1), Kind(3, 8), ""),
    **{
        f"orientation {number}": (
            turned(number),
            change(COLOURS[:6]).transpose(2, 0, 1),
            Kind(3, 8),
            "TURNED",
        )
        for number, change in (
            (2, np.fliplr),
            (3, lambda values: np.rot90(values, 2)),
            (4, np.flipud),
            (5, lambda values: values.transpose(1, 0, 2)),
            (6, lambda values: np.rot90(values, -1)),
            (7, lambda values: np.rot90(values, 2).transpose(1, 0, 2)),
            (8, np.rot90),
        )
    },
    "CMYK": (CMYK, rgb(CMYK), Kind(3, 8), "CONVERTED"),
    "a photograph with a preview": (
        frames("mpo", 2),
        rgb(frames("mpo", 2)),
        Kind(3, 8),
        "",
    ),
    "one frame": (frames("gif", 1), rgb(frames("gif", 1)), Kind(3, 8), ""),
}


@pytest.mark.parametrize("name", READ)
def test_reads_an_image_correctly(name: str) -> None:
    content, expected, kind, change = READ[name]
    picture = read_pixels(Image.open(io.BytesIO(content)))
    assert picture.kind == kind
    assert np.array_equal(picture.values, expected)
    assert (picture.changes.name or "") == change


REFUSED: dict[str, tuple[bytes, str]] = {
    "animated gif": (frames("gif", 3), "3 frames"),
    "animated png": (frames("png", 3), "3 frames"),
    "animated webp": (frames("webp", 3), "3 frames"),
    "pages": (frames("tiff", 2), "2 frames or pages"),
    "truncated png": (of(COLOURS)[:-60], ""),
    "truncated jpeg": (of(COLOURS, kind="jpeg")[:-60], "truncated"),
    "empty": (b"", "cannot identify"),
    "a web page": (b"<!DOCTYPE html><html></html>", "cannot identify"),
    "NaN": (of(np.where(INK, np.nan, RAMP).astype(np.float32), kind="tiff"), "NaN"),
    "whole numbers of 32 bits": (
        of(DEEP.astype(np.int32) * 9, kind="tiff"),
        "whose range is not known",
    ),
    "white ink on nothing": (with_alpha(255, INK), "invisible on white"),
    "nothing but alpha": (with_alpha(255, BYTES), "invisible on white"),
}


def folder_of(place: Path, contents: dict[str, bytes], suffix: str = "png") -> Path:
    """Write each picture as one of a class, beside another."""
    for part in ("train", "test"):
        for name, content in (("a", of(COLOURS)), *contents.items()):
            (place / part / name).mkdir(parents=True)
            (place / part / name / f"1.{suffix}").write_bytes(content)
    return place


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_an_image_by_name(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    folder = folder_of(tmp_path, {"b": content})
    with pytest.raises(InputError, match=rf"a readable image at .*b/1\.png; got .*{reason}"):
        datasets.load(str(folder))
    with pytest.raises(InputError, match="samples"):  # the test part has none left of that class
        datasets.load(str(folder), layout=Layout(skip_unreadable=True)).task([1])


MIXED: dict[str, tuple[list[bytes], tuple[Any, ...], str]] = {
    "grey first": ([of(BYTES), of(COLOURS)], (3, 255.0), "2 of 4 images of grey among colours"),
    "colour first": ([of(COLOURS), of(BYTES)], (3, 255.0), "2 of 4 images of grey among colours"),
    "8 and 16 bits": ([of(BYTES), of(DEEP)], (1, 65535.0), "2 of 4 images of 8 bits among 16"),
    "16 bits and colour": ([of(DEEP), of(COLOURS)], (3, 65535.0), "of 8 bits among 16"),
    "transparent": ([with_alpha(0, INK), of(COLOURS)], (3, 255.0), "2 of 4 images with transp"),
    "turned": ([turned(3), of(COLOURS[:6])], (3, 255.0), "2 of 4 images turned upright"),
}


@pytest.mark.parametrize("name", MIXED)
def test_states_how_images_were_converted(name: str, tmp_path: Path) -> None:
    contents, (channels, divisor), remark = MIXED[name]
    for part in ("train", "test"):
        for label, content in enumerate(contents):
            (tmp_path / part / "ab"[label]).mkdir(parents=True)
            (tmp_path / part / "ab"[label] / "1.png").write_bytes(content)
    found = datasets.load(str(tmp_path))
    assert (found.train.shape[0], found.train.scaling.divisor) == (channels, divisor)
    assert remark in found.conversion
    assert found.task([0, 1]).conversion == found.conversion
    small = datasets.fitted(found, (channels, 4, 4))
    assert small.conversion.startswith(found.conversion), "both are said"


def test_cached_set_states_the_same_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOTBOUND_CACHE", str(tmp_path / "cache"))
    folder = folder_of(tmp_path / "zoo", {"b": with_alpha(0, INK)})
    here = datasets.load(str(folder))
    for _ in range(2):
        there = datasets.load(str(folder), layout=Layout(in_memory=0))
        assert there.conversion == here.conversion
        assert torch.equal(there.train.inputs[:], here.train.inputs)


def test_refuses_floating_point_among_integers(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"b": of(RAMP.astype(np.float32), kind="tiff")})
    with pytest.raises(InputError, match="floating point among whole numbers"):
        datasets.load(str(folder))


def bare(place: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for number in range(count):
            path = place / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(of(np.roll(COLOURS, number + len(name), 0)))
    return place


def sizes(found: Dataset) -> tuple[list[int], list[int]]:
    return found.train.labels.bincount().tolist(), found.test.labels.bincount().tolist()


def test_accepts_one_folder_per_class(tmp_path: Path) -> None:
    folder = bare(tmp_path, {"cat": 10, "dog": 5, "eel": 2})
    found = datasets.load(str(folder))
    assert found.classes == ("cat", "dog", "eel")
    assert sizes(found) == ([8, 4, 1], [2, 1, 1])
    assert found.conversion.startswith("20 % of each class held out")
    half = datasets.load(str(folder), layout=Layout(holdout=0.5))
    assert sizes(half) == ([5, 3, 1], [5, 2, 1])
    again = datasets.load(str(folder), layout=Layout(holdout=0.5))
    assert torch.equal(again.test.inputs, half.test.inputs), "the same are held out every time"


Change = Callable[[Path], object]
ODD: dict[str, tuple[Change, str]] = {
    "hidden": (lambda place: (place / "train" / "cat" / "._0.png").write_bytes(b"no image"), ""),
    "of a system": (
        lambda place: bare(place / "train" / "cat", {"@eaDir": 1, "__MACOSX": 1}),
        "",
    ),
    "thumbnails": (lambda place: (place / "train" / "cat" / "Thumbs.db").write_bytes(b""), ""),
    "other files": (
        lambda place: (place / "train" / "cat" / "1.heic").write_bytes(b""),
        "no images known here: 1 .heic",
    ),
    "beside the classes": (
        lambda place: (place / "train" / "1.png").write_bytes(of(COLOURS)),
        "1 images in no folder of a class",
    ),
    "two parts to be judged on": (
        lambda place: bare(place / "val", {"cat": 1}),
        "the part val not used",
    ),
    "a class that is not judged": (
        lambda place: bare(place / "train", {"yak": 3}),
        "no images of yak in test",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_reports_other_files_in_a_folder(name: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        bare(tmp_path / part, {"cat": 3, "dog": 3})
    change, remark = ODD[name]
    change(tmp_path)
    found = datasets.load(str(tmp_path))
    assert found.train.labels.bincount().tolist()[:2] == [3, 3]
    assert found.conversion == remark or (remark and remark in found.conversion)


WRONG: dict[str, tuple[Change, Layout, str]] = {
    "deeper": (
        lambda place: bare(place / "train" / "cat", {"2021": 2}),
        Layout(),
        "images in .*cat itself, whose name is their class; got folders of images: 2021",
    ),
    "a part under another name": (
        lambda place: (place / "test").rename(place / "testing"),
        Layout(),
        "got testing beside train",
    ),
    "held out beside a part": (lambda _: None, Layout(holdout=0.2), "no `holdout`"),
    "no training part": (
        lambda place: (place / "train").rename(place / "training"),
        Layout(),
        "a folder train",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refuses_folders_it_does_not_understand(name: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        bare(tmp_path / part, {"cat": 3, "dog": 3})
    change, layout, message = WRONG[name]
    change(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(str(tmp_path), layout=layout)
    assert len(str(caught.value).splitlines()) == 1


def test_refuses_to_hold_out_a_single_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 samples of dog"):
        datasets.load(str(bare(tmp_path, {"cat": 3, "dog": 1})))


AXES: dict[tuple[int, ...], tuple[int, ...] | None] = {
    (8, 8, 3): (3, 8, 8),
    (8, 8, 1): (1, 8, 8),
    (8, 8, 4): (4, 8, 8),
    (32, 32, 12): (12, 32, 32),
    (3, 8, 8): (3, 8, 8),
    (4, 8, 6): (4, 8, 6),
    (12, 32, 32): (12, 32, 32),
    (5, 4, 3): (3, 5, 4),
    (8, 8, 8): None,
    (3, 8, 3): None,
    (64, 4, 4): None,
    (4, 4, 64): None,
}


@pytest.mark.parametrize("shape", AXES)
def test_reads_axes_of_arrays(shape: tuple[int, ...], tmp_path: Path) -> None:
    path, parts = tmp_path / "zoo.npz", {"train": 6, "test": 3}
    arrays = {f"y_{part}": np.arange(count) % 3 for part, count in parts.items()}
    for part, count in parts.items():
        arrays[f"x_{part}"] = RANDOM.integers(256, size=(count, *shape)).astype(np.uint8)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    if AXES[shape] is None:
        with pytest.raises(InputError, match="`axes` NHWC or NCHW"):
            datasets.load(str(path))
    else:
        assert datasets.load(str(path)).train.shape == AXES[shape]
    found = datasets.load(str(path), layout=Layout(axes="NHWC")).train
    assert np.array_equal(found.inputs.permute(0, 2, 3, 1), arrays["x_train"])
    found = datasets.load(str(path), layout=Layout(axes="NCHW")).train
    assert np.array_equal(found.inputs, arrays["x_train"])


def test_refuses_identical_samples(tmp_path: Path) -> None:
    same = np.zeros((6, 8, 8), np.uint8)
    np.savez(tmp_path / "z.npz", x_train=same, y_train=[0, 1] * 3, x_test=same, y_test=[0, 1] * 3)
    with pytest.raises(InputError, match="that differ; got 6 that are the same, from 0 to 0"):
        datasets.load(str(tmp_path / "z.npz"))
