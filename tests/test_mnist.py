"""The bundled MNIST is the original, and damage to it is noticed."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import shutil
from pathlib import Path

import pytest
import torch

from rootbound import datasets
from rootbound.core.errors import InputError
from rootbound.datasets import mnist
from rootbound.datasets.mnist import FOLDER

# Digests and counts as they are published, written down here a second time on purpose.
KNOWN = {
    "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", 16 + 60_000 * 784),
    "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", 8 + 60_000),
    "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", 16 + 10_000 * 784),
    "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", 8 + 10_000),
}


@pytest.mark.parametrize("name", KNOWN)
def test_bundled_file_is_the_original(name: str) -> None:
    digest, size = KNOWN[name]
    content = gzip.decompress((FOLDER / f"{name}.gz").read_bytes())
    assert len(content) == size
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == digest


def test_has_known_shapes_and_labels() -> None:
    data = datasets.load("mnist")
    assert data.train.inputs.shape == (60_000, 1, 28, 28)
    assert data.test.inputs.shape == (10_000, 1, 28, 28)
    assert data.train.inputs.dtype == data.test.inputs.dtype == torch.uint8
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.classes == tuple("0123456789")
    # The class counts that are known of MNIST.
    assert data.train.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip


def test_images_are_centred() -> None:
    images, _ = datasets.load("mnist").train.subset(5000).batch(slice(None))
    assert float(images.mean()) == pytest.approx(0, abs=0.02)
    assert float(images.std()) == pytest.approx(1, abs=0.02)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def swap_labels(path: Path) -> None:
    """Change one label and pack it well: only the digest can tell."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[8] = 6
    path.write_bytes(gzip.compress(bytes(content)))


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "relabel"])
def test_refuses_a_damaged_bundled_file(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "mnist_idx"
    copied.mkdir()
    for name in KNOWN:
        shutil.copy(FOLDER / f"{name}.gz", copied)
    victim = copied / "train-labels-idx1-ubyte.gz"
    if damage == "flip":
        flip(victim, victim.stat().st_size // 2)
    elif damage == "truncate":
        truncate(victim)
    elif damage == "remove":
        victim.unlink()
    else:
        swap_labels(victim)
    # The function hides the module of the same name from a dotted path.
    monkeypatch.setattr(importlib.import_module("rootbound.datasets.mnist"), "FOLDER", copied)
    with pytest.raises(InputError, match="train-labels-idx1-ubyte"):
        mnist.__wrapped__()


def test_refuses_an_unknown_data_set_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        datasets.load("MINST")
