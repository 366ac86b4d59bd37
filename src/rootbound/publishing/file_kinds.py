"""The kind of a file, told by its first bytes and not by its name."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from rootbound.core.errors import InputError, take_first_line

SAFETENSORS, PYTORCH, INDEX = "safetensors", "PyTorch", "index"
WANTED = "a safetensors file at {path}, or one that torch.save wrote"
LARGEST_INDEX = 2**26
"""Largest index file, in bytes; an index names each tensor and its shard."""
LARGEST_PICKLE = 2**24
"""Most bytes of a pickle that are searched for the calls that it would make."""
START = 512
"""Number of bytes at the start of a file that tell its kind."""
OTHERS = {
    b"\x89HDF": "an HDF5 file, as Keras writes them",
    b"\x93NUMPY": "an array of NumPy",
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"BZh": "a bzip2 archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"%PDF": "a PDF file",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<!--")
OLDER = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""Bytes at the start of files that torch.save wrote before it used zip archives."""
LARGEST_HEADER = 2**40
AGAIN = "download or save it again"
SAVE = "save the state dict with safetensors or torch.save"
SAVED = "; then torch.save(module.state_dict(), 'weights.pt')"


def find_kind(path: Path) -> str:
    """Return the kind of a file: safetensors, PyTorch, or an index of several files.

    Raises:
        InputError: It is something else, which the error names, or cannot be read.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(START)
    except OSError as error:
        raise InputError(
            WANTED.format(path=path), take_first_line(error), "check the path"
        ) from None
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header < LARGEST_HEADER:
        if header + 8 > size:
            raise _wrong_kind_error(path, "the beginning of a safetensors file", AGAIN)
        return SAFETENSORS
    if start.startswith(b"PK\x03\x04"):
        _check_archive(path)
        return PYTORCH
    if start.startswith(b"\x80"):
        if OLDER not in start:
            raise _wrong_kind_error(path, "a pickle that torch.save did not write", SAVE)
        return PYTORCH
    if start.lstrip().startswith(b"{") and "weight_map" in read_json(path):
        return INDEX
    raise _unknown_kind_error(path, start)


def read_json(path: Path) -> dict[str, object]:
    """Return the content of a small JSON file; nothing if it is not a JSON object."""
    if path.stat().st_size > LARGEST_INDEX:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def refuse_pickle(path: Path, refused: str) -> InputError:
    """Return the error for a pickle that contains more than tensors and plain values.

    If it is a whole module, the error shows two lines that turn it into weights.

    Args:
        path: The file.
        refused: Dotted name of the first function that it would have called.
    """
    called = list(_find_calls(path))
    whole = bool(called) and called[0] not in ("", "collections.OrderedDict")
    modules = any(name.startswith("torch.nn.modules.") for name in called)
    if modules or refused.startswith("torch.nn.modules."):
        part = "" if whole else "['model'] (or another key)"
        return InputError(
            f"nothing but tensors in {path}",
            f"a pickle that would run code: a whole module ({called[0] if whole else refused})",
            f"if you trust it: module = torch.load({path.name!r}, weights_only=False){part}{SAVED}",
        )
    return InputError(
        f"nothing but tensors in {path}",
        f"a pickle that would run code ({refused})",
        "ask for safetensors: this file is not opened",
    )


def _wrong_kind_error(path: Path, found: str, fix: str) -> InputError:
    return InputError(WANTED.format(path=path), found, fix)


def _unknown_kind_error(path: Path, start: bytes) -> InputError:
    """Return the error for a file without weights, judging by its first bytes."""
    if not start:
        return _wrong_kind_error(path, "an empty file", AGAIN)
    if start.startswith(b"version https://git-lfs"):
        return _wrong_kind_error(path, "a pointer of Git LFS, not the file", "run git lfs pull")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(PAGES):
        return _wrong_kind_error(
            path, "a web page", "download the file itself, not the page about it"
        )
    found = next((name for magic, name in OTHERS.items() if start.startswith(magic)), None)
    if start[257:262] == b"ustar":
        found = "a tar archive: unpack it"
    if found is not None:
        return _wrong_kind_error(path, found, SAVE)
    if all(byte >= 32 or byte in b"\t\r\n" for byte in start):
        begin = " ".join(start[:60].decode(errors="replace").split())
        return _wrong_kind_error(path, f"a text that begins with {begin!r}", AGAIN)
    return _wrong_kind_error(path, "something else", SAVE)


def _check_archive(path: Path) -> None:
    """Raise an error if a zip archive was not written by `torch.save`."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _wrong_kind_error(path, "the beginning of one: its end is missing", AGAIN) from None
    parts = {name.partition("/")[2] for name in names}
    if "constants.pkl" in parts:
        raise _wrong_kind_error(
            path,
            "a program of TorchScript, which is code",
            f"if you trust it: module = torch.jit.load({path.name!r}){SAVED}",
        )
    if "data.pkl" not in parts:
        shown = ", ".join(ascii(name)[1:-1][:80] for name in names[:3]) or "nothing"
        kind = "a program of torch.export" if "archive_format" in parts else "another zip archive"
        raise _wrong_kind_error(
            path, f"{kind} (it holds {shown})", "name the file of weights itself"
        )


def _find_calls(path: Path) -> Iterator[str]:
    """Yield the classes and functions that a pickle names, in order, without running it.

    The first one is empty if the pickle begins with a plain value, such as a dictionary.
    """
    first, texts = True, ["", ""]
    try:
        for code, value in _read_codes(path):
            if code.name in ("PROTO", "FRAME"):
                continue
            if code.name in ("GLOBAL", "INST"):
                yield str(value).replace(" ", ".")
            elif code.name == "STACK_GLOBAL":
                yield ".".join(texts)
            elif first and "UNICODE" not in code.name:
                yield ""
            if isinstance(value, str):
                texts = [texts[1], value]
            first = False
    except Exception:  # a damaged file may fail in any way; the names found so far are enough
        return


def _read_codes(path: Path) -> Iterator[tuple[pickletools.OpcodeInfo, object]]:
    """Yield the instructions of the pickle in a file, and their values."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                content = file.read(LARGEST_PICKLE)
    else:
        with path.open("rb") as file:
            content = file.read(LARGEST_PICKLE)
        for _ in range(3):  # in the older kind, a number, a version and a machine come first
            *_, (_, _, end) = pickletools.genops(content)
            content = content[(end or 0) + 1 :]
    for code, value, _ in pickletools.genops(content):
        yield code, value
