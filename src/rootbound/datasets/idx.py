"""Reading the IDX file format of MNIST and its relatives; files are not trusted.

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
"""Number of bytes that are read at a time."""
LARGEST = 4 * 2**30
"""Most bytes that a file may unpack to; a larger claim is refused before anything is allocated."""
DENSEST = 1032
"""Largest compression ratio of DEFLATE (https://zlib.net/zlib_tech.html)."""
AGAIN = "the file is damaged or of another format: fetch it again"


def read(path: Path, md5: str | None = None) -> Tensor:
    """Read one IDX file, plain or gzip-compressed (`.gz`), as a uint8 tensor.

    Args:
        path: The file.
        md5: Hexadecimal digest that the uncompressed file must have.

    Raises:
        InputError: The file is missing, damaged, truncated, not IDX, or has another digest.
    """
    content = bytearray()
    with _open(path) as file:
        # A single read would allocate memory for the largest possible content.
        while len(content) <= LARGEST and (piece := file.read(PIECE)):
            content += piece
    if len(content) > LARGEST:
        raise InputError(f"{path} of at most {LARGEST} bytes", "more", "split the file")
    if md5 is not None:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != md5:
            raise InputError(f"{path} with MD5 {md5}", digest, "the file is damaged: install again")
    shape = _parse_shape(bytes(content[:20]), path)
    start = 4 + 4 * len(shape)
    size = len(content) - start
    # In a file without values, the other sizes could be anything, even too large for a tensor.
    if size != math.prod(shape) or (0 in shape and max(shape) > LARGEST // 2**16):
        raise _wrong_size_error(shape, str(size), path)
    if not size:
        return torch.empty(shape, dtype=torch.uint8)
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).view(shape)


def read_shape(path: Path) -> tuple[int, ...]:
    """Return the shape that a file claims in its header.

    Raises:
        InputError: The file is missing, damaged or not IDX.
    """
    with _open(path) as file:
        return _read_head(file, path)


def read_parts(path: Path, samples: int) -> Iterator[Tensor]:
    """Yield the samples of a file of any size, at most `samples` at a time.

    Raises:
        InputError: As for `read`, at the latest with the last samples.
    """
    with _open(path) as file:
        shape = _read_head(file, path)
        for start in range(0, shape[0], samples):
            part = (min(samples, shape[0] - start), *shape[1:])
            content = file.read(math.prod(part))
            if len(content) != math.prod(part):
                raise _wrong_size_error(shape, f"none after sample {start}", path)
            yield torch.frombuffer(bytearray(content), dtype=torch.uint8).view(part)
        if file.read(1):
            raise _wrong_size_error(shape, "more", path)


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield cast(IO[bytes], file)
    except FileNotFoundError:
        raise InputError(f"an IDX file at {path}", "no such file", "check the folder") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"a readable IDX file at {path}", str(error), "the file is damaged: fetch it again"
        ) from None


def _read_head(file: IO[bytes], path: Path) -> tuple[int, ...]:
    """Return the shape in the header, unless the file is too small for it."""
    start = file.read(4)
    dimensions = min(4, start[3]) if len(start) == 4 else 0
    shape = _parse_shape(start + file.read(4 * dimensions), path)
    room = path.stat().st_size * (DENSEST if path.suffix == ".gz" else 1)
    if math.prod(shape) > room:
        raise _wrong_size_error(shape, f"room for {room} at most", path)
    return shape


def _parse_shape(content: bytes, path: Path) -> tuple[int, ...]:
    """Return the shape in the first bytes of a file."""
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        raise InputError(
            f"an IDX file of unsigned bytes at {path}", f"it begins with {content[:4]!r}", AGAIN
        )
    dimensions, start = content[3], 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"a whole IDX header in {path}", f"{len(content)} bytes", AGAIN)
    return struct.unpack(f">{dimensions}I", content[4:start])


def _wrong_size_error(shape: tuple[int, ...], got: str, path: Path) -> InputError:
    return InputError(f"{math.prod(shape)} values of shape {shape} in {path}", got, AGAIN)
