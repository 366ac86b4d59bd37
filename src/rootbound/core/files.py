"""Writing files atomically: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rootbound.core.errors import InputError


def as_path(value: object, name: str) -> Path:
    """Return the path that a user passes.

    Args:
        value: The path.
        name: Name of the argument, for the error.

    Raises:
        InputError: It is not a path, is empty, or cannot be looked up.
    """
    got = repr(value) if isinstance(value, str | bytes | int | None) else type(value).__name__
    if isinstance(value, str | os.PathLike) and value != "" and "\0" not in str(value):
        try:
            path = Path(value)
            path.exists()
        except OSError as error:
            got = error.strerror or type(error).__name__
        else:
            return path
    raise InputError(
        f"a path in `{name}`", got if value != "" else "an empty one", "name a file or a folder"
    )


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write to a temporary name beside `path`, then rename: readers never see half a file.

    Raises:
        InputError: The folder cannot be written.
    """
    with _write_aside(path, content) as temporary:
        temporary.replace(path)


def write_once(path: Path, content: bytes | str) -> bool:
    """Write a file atomically if there is none; of several writers only one succeeds.

    Returns:
        Whether this call wrote it; if not, there was a file already, and it stays.

    Raises:
        InputError: The folder cannot be written.
    """
    with _write_aside(path, content) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _write_aside(path: Path, content: bytes | str) -> Iterator[Path]:
    """Write the content to a temporary file beside `path`, down to the disk; yield its path.

    Raises:
        InputError: The folder cannot be written.
    """
    encoded = encode(content) if isinstance(content, str) else content
    make_folder(path.parent)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        yield Path(temporary)
    except OSError as error:
        raise _unwritable_error(path, error) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def encode(text: str) -> bytes:
    """Encode a text in UTF-8; undecodable bytes of paths become codes that JSON can read again."""
    return text.encode(errors="backslashreplace")


def make_folder(folder: Path) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        InputError: It cannot be created or written, or a file is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable_error(folder, error) from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"to be able to write {folder}", "no permission", "pass another `path`")


def _unwritable_error(path: Path, error: OSError) -> InputError:
    reason = error.strerror or type(error).__name__
    return InputError(f"to be able to write {path}", reason, "pass another `path`")
