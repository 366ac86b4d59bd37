"""The IDX file format of MNIST and its relatives, read without trust.

Format: two zero bytes, one type byte (8 = unsigned byte), one byte with the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import torch
from torch import Tensor

from rootbound.core.errors import InputError

PIECE = 2**20
LARGEST = 4 * 2**30
"""Bytes a file may unpack to; a larger claim is refused before anything is allocated."""

DENSEST = 1032
"""Bytes that one of DEFLATE can stand for, at most (https://zlib.net/zlib_tech.html)."""
AGAIN = "the file is damaged or of another format: fetch it again"


def read(path: Path, md5: str | None = None) -> Tensor:
    """Read one IDX file, plain or gzip-compressed (`.gz`), as a uint8 tensor.

    Args:
        path: of the file.
        md5: hexadecimal digest that the uncompressed file must have.

    Raises:
        InputError: the file is missing, damaged, truncated, not IDX, or has another digest.
    """
    content = _content(path)
    if (
        md5 is not None
        and (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5
    ):
        raise InputError(f"{path} with MD5 {md5}", found, "the file is damaged: install again")
    return _parse(content, path)


def claimed(path: Path) -> tuple[int, ...]:
    """Return the shape that a file says it has.

    Raises:
        InputError: the file is missing, damaged or not IDX.
    """
    with _opened(path) as file:
        return _claim(file, path)


def parts(path: Path, samples: int) -> Iterator[Tensor]:
    """Yield the samples of a file of any size, at most so many at a time.

    Raises:
        InputError: as `read`, at the latest when the last samples are taken.
    """
    with _opened(path) as file:
        shape = _claim(file, path)
        for start in range(0, shape[0], samples):
            some = (min(samples, shape[0] - start), *shape[1:])
            content = file.read(math.prod(some))
            if len(content) != math.prod(some):
                raise _other_size(shape, f"none after sample {start}", path)
            yield torch.frombuffer(bytearray(content), dtype=torch.uint8).view(some)
        if file.read(1):
            raise _other_size(shape, "more", path)


def _content(path: Path) -> bytes:
    with _opened(path) as file:
        content = _unpacked(file)
    if len(content) > LARGEST:
        raise InputError(f"{path} of at most {LARGEST} bytes", "more", "split the file")
    return content


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except FileNotFoundError:
        raise InputError(f"an IDX file at {path}", "no such file", "check the folder") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"a readable IDX file at {path}", str(error), "the file is damaged: fetch it again"
        ) from None


def _claim(file: IO[bytes], path: Path) -> tuple[int, ...]:
    """Return the shape in the head, unless there cannot be as many values in the file."""
    shape = _shape(_head(file), path)
    room = path.stat().st_size * (DENSEST if path.suffix == ".gz" else 1)
    if math.prod(shape) > room:
        raise _other_size(shape, f"room for {room} at most", path)
    return shape


def _head(file: IO[bytes]) -> bytes:
    start = file.read(4)
    return start + file.read(4 * min(4, start[3] if len(start) == 4 else 0))


def _unpacked(file: IO[bytes]) -> bytes:
    """Return what a file holds, or a little more than `LARGEST` of it."""
    found = bytearray()
    # A single read would ask for memory for all that there may be.
    while len(found) <= LARGEST and (part := file.read(PIECE)):
        found += part
    return bytes(found)


def _parse(content: bytes, path: Path) -> Tensor:
    shape = _shape(content, path)
    size = len(content) - 4 - 4 * len(shape)
    # Without values the other sizes would be anything, even too large for a tensor.
    if size != math.prod(shape) or (0 in shape and max(shape) > LARGEST // 2**16):
        raise _other_size(shape, str(size), path)
    values = torch.frombuffer(bytearray(content[4 + 4 * len(shape) :] or b"\0"), dtype=torch.uint8)
    return values[: math.prod(shape)].view(shape)


def _shape(content: bytes, path: Path) -> tuple[int, ...]:
    """Return the shape in the head of a file."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        raise InputError(
            f"an IDX file of unsigned bytes at {path}", f"it begins with {content[:4]!r}", AGAIN
        )
    dimensions, start = content[3], 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"a whole IDX header in {path}", f"{len(content)} bytes", AGAIN)
    return struct.unpack(f">{dimensions}I", content[4:start])


def _other_size(shape: tuple[int, ...], found: str, path: Path) -> InputError:
    return InputError(f"{math.prod(shape)} values of shape {shape} in {path}", found, AGAIN)
