"""Files are written whole or not at all, and no temporary files stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from rootbound.core.errors import InputError
from rootbound.core.files import as_path, encode, make_folder, write_atomically, write_once


def fail(*_: Any, **__: Any) -> NoReturn:
    raise OSError(28, "No space left on device")


def interrupt(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class FullDisk:
    """Takes half of what is written, then fails as a full disk does."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)

    def write(self, content: bytes) -> NoReturn:
        os.write(self.handle, content[: len(content) // 2])
        fail()


def full_disk(handle: int, *_: Any, **__: Any) -> FullDisk:
    return FullDisk(handle)


def break_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rootbound.core.files.os.fdopen", fail)


def break_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rootbound.core.files.os.fdopen", full_disk)


def break_renaming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", fail)


def break_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rootbound.core.files.tempfile.mkstemp", fail)


def test_writes_content_and_creates_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_atomically(path, "größer")
    assert path.read_bytes() == "größer".encode()
    write_atomically(path, b"\0\1")
    assert path.read_bytes() == b"\0\1"
    assert names(path.parent) == ["c.txt"]


def test_others_can_read_what_is_written(tmp_path: Path) -> None:
    # A temporary file is the owner's alone; what it becomes must not be.
    write_atomically(tmp_path / "a", "x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_first_of_several_writers_wins(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    assert write_once(path, "first")
    assert not write_once(path, "second")
    assert path.read_text() == "first"
    assert names(path.parent) == ["file"]


def test_syncs_before_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a loss of power could leave an empty file in place of the old one."""
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(handle: int) -> None:
        assert os.fstat(handle).st_size == 3
        done.append("synced")
        sync(handle)

    def renamed(path: Path, target: Path) -> Path:
        done.append("renamed")
        return rename(path, target)

    monkeypatch.setattr("rootbound.core.files.os.fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "file", "new")
    assert done == ["synced", "renamed"]


def test_writes_undecodable_names() -> None:
    """As `os.fsdecode` gives them for bytes that are not UTF-8."""
    assert encode("ü") == b"\xc3\xbc"
    assert encode(os.fsdecode(b"caf\xe9")) == rb"caf\udce9"


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ("", "an empty one"),
        ("a\0b", r"'a\\x00b'"),
        (b"a", "b'a'"),
        (None, "None"),
        ([1], "list"),
        ("n" * 300, "File name too long"),
    ],
)
def test_names_what_is_no_path(given: object, got: str) -> None:
    with pytest.raises(InputError, match=f"^expected a path in `out`; got {got}; name a file"):
        as_path(given, "out")


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("stop", [break_opening, break_writing, break_renaming, break_temporary])
def test_failure_keeps_the_old_file(
    stop: Callable[[pytest.MonkeyPatch], None],
    old: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_text(old)
    with monkeypatch.context() as patch:
        stop(patch)
        with pytest.raises(InputError, match="No space left on device; pass another `path`"):
            write_atomically(path, "new content")
    assert names(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_text() == old


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "file", "new")
    assert not names(tmp_path)


@pytest.mark.parametrize(
    "path", ["/dev/null/x", "/dev/null/x/y", "/proc/x", "/proc/x/y", "/" + "n" * 300]
)
def test_refuses_an_unwritable_path(path: str) -> None:
    with pytest.raises(InputError, match="to be able to write"):
        write_atomically(Path(path), "x")
    assert not Path("/dev/null").is_dir()


def test_refuses_and_keeps_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for write in (
        lambda: make_folder(tmp_path / "file"),
        lambda: make_folder(tmp_path / "file" / "below"),
        lambda: write_atomically(tmp_path / "file" / "below", "x"),
    ):
        with pytest.raises(InputError, match="to be able to write"):
            write()
    assert (tmp_path / "file").read_text() == "kept"


def test_refuses_and_keeps_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="to be able to write"):
        write_atomically(tmp_path / "folder", "x")
    assert names(tmp_path) == ["folder"]


def test_refuses_a_folder_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser may write everywhere: ask in its place.
    monkeypatch.setattr("rootbound.core.files.os.access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InputError, match="no permission"):
        make_folder(tmp_path)
