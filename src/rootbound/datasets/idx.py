"""The IDX file format of MNIST and its relatives, read without trust.

Format: two zero bytes, one type byte (8 = unsigned byte), one byte with the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values.
Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import torch
from torch import Tensor

from rootbound.errors import InputError

PIECE = 2**20
LARGEST = 4 * 2**30
"""Bytes a file may unpack to; a larger claim is refused before anything is allocated."""


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


def _content(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            content = _unpacked(file)
    except FileNotFoundError:
        raise InputError(f"an IDX file at {path}", "no such file", "check the folder") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"a readable IDX file at {path}", str(error), "the file is damaged: fetch it again"
        ) from None
    if len(content) > LARGEST:
        raise InputError(f"{path} of at most {LARGEST} bytes", "more", "split the file")
    return content


def _unpacked(file: gzip.GzipFile) -> bytes:
    """Return what a file holds, or a little more than `LARGEST` of it."""
    found = bytearray()
    # A single read would ask for memory for all that there may be.
    while len(found) <= LARGEST and (part := file.read(PIECE)):
        found += part
    return bytes(found)


def _parse(content: bytes, path: Path) -> Tensor:
    again = "the file is damaged or of another format: fetch it again"
    if len(content) < 4 or content[:3] != b"\0\0\x08" or not 1 <= content[3] <= 4:
        raise InputError(
            f"an IDX file of unsigned bytes at {path}", f"it begins with {content[:4]!r}", again
        )
    dimensions, start = content[3], 4 + 4 * content[3]
    if len(content) < start:
        raise InputError(f"a whole IDX header in {path}", f"{len(content)} bytes", again)
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    # Without values the other sizes would be anything, even too large for a tensor.
    if len(content) - start != math.prod(shape) or (0 in shape and max(shape) > LARGEST // 2**16):
        raise InputError(
            f"{math.prod(shape)} values of shape {shape} in {path}",
            f"{len(content) - start}",
            again,
        )
    return torch.frombuffer(bytearray(content[start:] or b"\0"), dtype=torch.uint8)[
        : math.prod(shape)
    ].view(shape)
