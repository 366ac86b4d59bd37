"""IDX files are read without trust: anything but a whole, right file is an InputError."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from rootbound.core.errors import InputError
from rootbound.datasets import Dataset, idx, idx_folder
from toy import write_idx_folder

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


GOOD = header(2, 3) + bytes(range(6))


def read_bytes(content: bytes, suffix: str = "", md5: str | None = None) -> Tensor:
    # Not tmp_path: hypothesis would run all of its examples in one.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"values{suffix}"
        path.write_bytes(content)
        return idx.read(path, md5)


@pytest.fixture
def folder(tmp_path: Path, toy: Dataset) -> Path:
    """Give a folder of files that a test may damage."""
    write_idx_folder(tmp_path / "own", toy)
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress)], ids=["plain", "gzip"]
)
def test_reads_a_whole_file(suffix: str, pack: Callable[[bytes], bytes]) -> None:
    digest = hashlib.md5(GOOD, usedforsecurity=False).hexdigest()
    values = read_bytes(pack(GOOD), suffix, digest)
    assert values.dtype == torch.uint8
    assert values.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0\x08",
        GOOD[:7],
        GOOD[:11],
        GOOD[:-1],
        GOOD + b"\0",
        b"\1" + GOOD[1:],
        b"\0\1" + GOOD[2:],
        b"\0\0\x0d\1" + struct.pack(">I", 1) + bytes(4),
        b"\0\0\x08\0",
        b"\0\0\x08\5" + bytes(20),
        header(2**32 - 1) + b"\0",
        header(2**16, 2**16) + bytes(100),
        header(2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1),
    ],
    ids=[
        "empty file",
        "one byte",
        "three bytes",
        "half a header",
        "header less a byte",
        "truncated",
        "a byte too many",
        "wrong magic",
        "wrong second byte",
        "floats",
        "no dimensions",
        "five dimensions",
        "claims 4 GiB",
        "claims 4 GiB in two dimensions",
        "claims more than a machine has",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_refuses_a_damaged_file(content: bytes, suffix: str) -> None:
    with pytest.raises(InputError, match="fetch it again"):
        read_bytes(gzip.compress(content) if suffix else content, suffix)


def test_refuses_a_wrong_digest() -> None:
    with pytest.raises(InputError, match="with MD5 " + "0" * 32):
        read_bytes(GOOD, md5="0" * 32)


def test_refuses_a_plain_file_named_gz() -> None:
    with pytest.raises(InputError, match="the file is damaged"):
        read_bytes(GOOD, ".gz")


@pytest.mark.parametrize("kept", [0, 1, 12, 0.5, -1, -4, -9])
def test_refuses_a_truncated_gzip(kept: float) -> None:
    content = gzip.compress(header(4000) + bytes(i * i % 251 for i in range(4000)))
    end = int(kept * len(content)) if isinstance(kept, float) else int(kept)
    with pytest.raises(InputError):
        read_bytes(content[:end], ".gz")


@given(position=st.integers(10, 10_000), flip=st.integers(1, 255))
@example(position=308, flip=32)
def test_gzip_damaged_in_the_middle_never_misreads(position: int, flip: int) -> None:
    whole = gzip.compress(header(4000) + bytes(i * i % 251 for i in range(4000)))
    content = bytearray(whole)
    # After the ten bytes of the gzip header every bit is under a checksum, but for those that
    # fill the last byte of the compressed stream: they hold nothing.
    content[10 + position % (len(content) - 10)] ^= flip
    try:
        found = read_bytes(bytes(content), ".gz")
    except InputError:
        return
    assert torch.equal(found, read_bytes(whole, ".gz"))


def test_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        idx.read(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["folder", "folder.gz"])
def test_refuses_a_folder_in_place_of_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="a readable IDX file"):
        idx.read(tmp_path / name)


def test_refuses_oversized_files_before_parsing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idx, "LARGEST", 1000)
    assert len(read_bytes(gzip.compress(header(900) + bytes(900)), ".gz")) == 900
    with pytest.raises(InputError, match="at most 1000 bytes"):
        read_bytes(gzip.compress(header(5000) + bytes(5000)), ".gz")


almost_idx = st.builds(
    lambda shape, values: header(*shape) + values,
    st.lists(st.one_of(st.integers(0, 4), st.integers(0, 2**32 - 1)), min_size=1, max_size=4),
    st.binary(max_size=64),
)


@given(
    content=st.one_of(
        st.binary(max_size=64), st.binary(max_size=32).map(lambda b: GOOD[:4] + b), almost_idx
    ),
    zipped=st.booleans(),
)
@example(content=header(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), zipped=False)
@example(content=header(0), zipped=False)
@example(content=GOOD, zipped=True)
def test_any_bytes_give_a_tensor_or_an_input_error(content: bytes, zipped: bool) -> None:
    try:
        values = read_bytes(gzip.compress(content) if zipped else content, ".gz" * zipped)
    except InputError:
        return
    assert values.dtype == torch.uint8
    start = 4 + 4 * values.dim()
    assert header(*values.shape) == content[:start]
    assert values.numpy().tobytes() == content[start:]


@given(content=st.binary(max_size=200))
def test_any_bytes_named_gz_give_a_tensor_or_an_input_error(content: bytes) -> None:
    # Random bytes are never gzip of an IDX file: ten bytes of header and a CRC-32 stand before.
    with pytest.raises(InputError):
        read_bytes(content, ".gz")


def test_folder_survives_a_round_trip(toy_folder: Path, toy: Dataset) -> None:
    loaded = idx_folder(toy_folder)
    for part in ("train", "test"):
        assert torch.equal(getattr(loaded, part).inputs, getattr(toy, part).inputs)
        assert torch.equal(getattr(loaded, part).labels, getattr(toy, part).labels)
    assert loaded.name == "toy"
    assert loaded.classes == tuple("012345")
    images, _ = loaded.train.batch(slice(None))
    assert float(images.mean()) == pytest.approx(0, abs=1e-3)
    assert float(images.std()) == pytest.approx(1, abs=1e-3)
    assert loaded.test.scaling == loaded.train.scaling, "the test images were looked at"


def test_labels_starting_at_one_make_no_empty_class(folder: Path, toy: Dataset) -> None:
    for path in folder.glob("*labels*.gz"):
        content = gzip.decompress(path.read_bytes())
        head, labels = content[:8], content[8:]
        path.write_bytes(gzip.compress(head + bytes(label + 1 for label in labels)))
    loaded = idx_folder(folder)
    assert loaded.classes == tuple("123456")
    assert torch.equal(loaded.train.labels, toy.train.labels)


def test_folder_may_hold_plain_files(folder: Path, toy: Dataset) -> None:
    for path in list(folder.glob("*.gz")):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert torch.equal(idx_folder(folder).train.inputs, toy.train.inputs)


def put(folder: Path, name: str, *shape: int) -> None:
    count = int(torch.tensor(shape).prod())
    content = header(*shape) + bytes(i % 2 for i in range(count))
    (folder / f"{name}.gz").write_bytes(gzip.compress(content))


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        (IMAGES, (360,), "3 dimensions"),
        (IMAGES, (360, 1, 16, 16), "3 dimensions"),
        (LABELS, (360, 1), "1 dimensions"),
        (IMAGES, (359, 16, 16), "as many labels as samples"),
        (LABELS, (361,), "as many labels as samples"),
        ("t10k-labels-idx1-ubyte", (119,), "as many labels as samples"),
    ],
)
def test_refuses_files_that_do_not_fit_together(
    folder: Path, name: str, shape: tuple[int, ...], expected: str
) -> None:
    put(folder, name, *shape)
    with pytest.raises(InputError, match=expected):
        idx_folder(folder)


def test_refuses_empty_files(folder: Path) -> None:
    put(folder, IMAGES, 0, 16, 16)
    put(folder, LABELS, 0)
    with pytest.raises(InputError, match="at least one sample"):
        idx_folder(folder)


def test_refuses_test_images_of_another_size(folder: Path) -> None:
    put(folder, "t10k-images-idx3-ubyte", 120, 15, 16)
    with pytest.raises(InputError, match="one shape"):
        idx_folder(folder).split([0, 1], [2, 3])


@pytest.mark.parametrize(
    "name", [IMAGES, LABELS, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_refuses_a_folder_with_a_missing_file(folder: Path, name: str) -> None:
    (folder / f"{name}.gz").unlink()
    with pytest.raises(InputError, match=f"{name} or {name}.gz"):
        idx_folder(folder)


def test_refuses_images_of_one_colour(folder: Path) -> None:
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(header(360, 16, 16) + b"\7" * 360 * 256))
    with pytest.raises(InputError, match="360 that are the same, from 7 to 7"):
        idx_folder(folder)
