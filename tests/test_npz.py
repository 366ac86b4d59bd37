"""Data sets in one .npz file: right ones come whole, wrong ones are named in one line."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootbound import datasets
from rootbound.core.errors import InputError
from rootbound.datasets.npz_file import NAMES

KERAS, MEDMNIST = NAMES


def arrays(names: tuple[str, ...] = KERAS, shape: tuple[int, ...] = (8, 8, 3)) -> dict[str, Any]:
    random = np.random.default_rng(0)
    return {
        names[0]: random.integers(256, size=(12, *shape)).astype(np.uint8),
        names[1]: np.arange(12) % 3,
        names[2]: random.integers(256, size=(6, *shape)).astype(np.uint8),
        names[3]: np.arange(6).reshape(6, 1) % 3,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "zoo.npz"


@pytest.mark.parametrize("names", NAMES)
def test_reads_colour_images(path: Path, names: tuple[str, ...]) -> None:
    given = arrays(names)
    np.savez_compressed(path, **given)
    found = datasets.load(str(path))
    assert (found.name, found.classes) == ("zoo", ("0", "1", "2"))
    assert np.array_equal(found.train.inputs.permute(0, 2, 3, 1).numpy(), given[names[0]])
    assert found.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    pixels, _ = found.train.batch(slice(None))
    assert (float(pixels.mean()), float(pixels.std())) == pytest.approx((0, 1), abs=1e-5)


@pytest.mark.parametrize(("shape", "expected"), [((8, 8), (1, 8, 8)), ((5,), (5,))])
def test_reads_other_shapes(path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    np.savez(path, **arrays(shape=shape))
    assert datasets.load(str(path)).train.shape == expected


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([1, 2, 3], ("1", "2", "3")),
        ([0, 4, 2], ("0", "2", "4")),
        ([10**9, 7, 7], ("7", "1000000000")),
    ],
    ids=["from 1", "gaps", "large"],
)
def test_number_without_samples_is_no_class(
    path: Path, labels: list[int], classes: tuple[str, ...]
) -> None:
    given = arrays()
    given |= {"y_train": np.array(labels * 4), "y_test": np.array(labels * 2)}
    np.savez(path, **given)
    found = datasets.load(str(path))
    assert found.classes == classes
    assert [int(found.classes[label]) for label in found.train.labels] == labels * 4
    assert [int(found.classes[label]) for label in found.test.labels] == labels * 2


def test_reports_unused_arrays(path: Path) -> None:
    np.savez(
        path, **arrays(MEDMNIST), val_images=np.zeros((2, 8, 8, 3), np.uint8), val_labels=[0, 1]
    )
    assert datasets.load(str(path)).conversion == "val_images and val_labels not used"
    np.savez(path, **arrays(MEDMNIST))
    assert datasets.load(str(path)).conversion == ""


def test_keeps_floating_point(path: Path) -> None:
    given = arrays()
    np.savez(path, **{**given, "x_train": given["x_train"] / 255, "x_test": given["x_test"] / 255})
    assert datasets.load(str(path)).train.inputs.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_train": np.array([{"a": 1}] * 12, dtype=object)}, "holds objects"),
        ({"x_train": np.zeros((12, 8), dtype=np.complex64)}, "complex64"),
        ({"x_train": np.zeros(12, dtype=np.uint8)}, "two dimensions"),
        ({"y_train": np.linspace(0, 1, 12)}, "one whole number per sample in y_train"),
        ({"y_train": np.zeros((12, 3), dtype=int)}, "one whole number per sample"),
        ({"y_train": -np.ones(12, dtype=int)}, "labels that are whole numbers from 0"),
        ({"y_train": np.zeros(11, dtype=int)}, "as many labels as samples"),
        ({"x_train": np.full((12, 8), np.nan)}, "finite inputs; got 96 NaN .*; clean the data"),
        ({"x_train": np.linspace(-3e38, 3e38, 96).reshape(12, 8)}, "mean and deviation are finite"),
        ({"x_train": np.zeros((0, 8)), "y_train": np.zeros(0, dtype=int)}, "at least one sample"),
    ],
)
def test_names_wrong_arrays(path: Path, change: dict[str, Any], said: str) -> None:
    np.savez(path, **{**arrays(), **change})
    with pytest.raises(InputError, match=said) as caught:
        datasets.load(str(path))
    assert "\n" not in str(caught.value)


def test_names_missing_and_present_arrays(path: Path) -> None:
    np.savez(path, images=np.zeros(3))
    with pytest.raises(InputError, match=r"x_train, y_train.*got images"):
        datasets.load(str(path))


def test_refuses_an_oversized_claim(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(path, **arrays())
    monkeypatch.setattr(sys.modules["rootbound.datasets.npz_file"], "LARGEST", 1000)
    with pytest.raises(InputError, match="at most 1000 bytes"):
        datasets.load(str(path))


@pytest.mark.parametrize("twin", ["x_train", "x_train.npy"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses_two_arrays_of_one_name(path: Path, twin: str) -> None:
    np.savez(path, **arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(twin, archive.read("x_train.npy"))
    with pytest.raises(InputError, match="two arrays of one name"):
        datasets.load(str(path))


def test_refuses_a_header_larger_than_its_data(path: Path) -> None:
    header = b"\x93NUMPY\x01\x00v\x00" + (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999, 28, 28), }".ljust(117)
        + b"\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name in KERAS:
            archive.writestr(f"{name}.npy", header)
    with pytest.raises(InputError, match="readable"):
        datasets.load(str(path))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_give_an_input_error_or_data(path: Path, data: st.DataObject) -> None:
    np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        datasets.load(str(path))
    except InputError as error:
        assert "\n" not in str(error)
