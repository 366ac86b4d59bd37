"""The folder of a run, with its spec and a file for each finished job."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rootbound.core.errors import InputError
from rootbound.core.files import make_folder, write_atomically, write_once
from rootbound.records.evaluation import (
    BEGUN,
    PARTS,
    PLAIN_RECORDS,
    RECORDS,
    Evaluation,
    records_file,
)
from rootbound.records.run_spec import NAME, Spec

log = logging.getLogger(__name__)
READABLE = " ()=,'[]"
"""Characters that are kept in names of files, besides letters, digits and points."""
SEARCH_DEPTH = 3
"""Levels of folders that are searched for runs."""


@dataclass(frozen=True)
class RunFolder:
    """The folder to which the records of one run are written as they come: a small file per job.

    No file is ever written twice with different records, and no two jobs share a file. So no locks
    are needed: processes and hosts may share a folder, and one that is killed leaves no broken
    files.

    Args:
        path: Path of the folder.
        command: Arguments of `rootbound` that begin the run; they are saved with its spec.
        beside: Whether to use a new folder beside this one if this one has another run.
        extends: Folder of a smaller run, with fewer seeds, attackers or methods but otherwise the
            same. Its results are copied instead of computed again; the folder stays as it is.
    """

    path: Path
    command: tuple[str, ...] = ()
    beside: bool = False
    extends: Path | None = None

    @property
    def parts(self) -> Path:
        """The folder with a file for each finished job."""
        return self.path / PARTS

    def weights_file(self, method: str, seed: int) -> Path:
        """Return the file of a trained model; characters that files cannot have are replaced."""
        return self.path / "models" / f"{quote(method, safe=READABLE)}-{seed}.safetensors"

    def claim(self, spec: Spec, context: Mapping[str, Any]) -> RunFolder:
        """Claim the folder for a run: write its spec and context, and return the folder.

        Raises:
            InputError: The folder belongs to another run, or cannot be written; or the run to
                extend is not a part of this one.
        """
        folder = self.for_run(spec.digest)
        begun = (folder.path / NAME).exists()
        smaller = None if begun or self.extends is None else _find_smaller_run(spec, self.extends)
        make_folder(folder.path)
        if folder.path != self.path:
            log.info("%s holds another run: this one goes to %s", self.path, folder.path)
        if not begun:
            folder._refuse_strangers(spec)
            if smaller is not None:
                folder._take_over(smaller)
            # The spec is written last, so that a run that was killed before starts again.
            replace(spec, command=self.command, directory=str(Path.cwd())).save(folder.path)
        present = Spec.load(folder.path)
        if present.digest != spec.digest:
            name, value, wanted = next(present.differs_from(spec))
            raise folder._another_run_error(
                f"the run {present.digest}, where {name} is {value}, not {wanted}",
                smaller=present.obstacle_to(spec) is None,
            )
        write_once(folder.parts / BEGUN, Evaluation(context, (), (), False).to_json())
        return folder

    def for_run(self, digest: str) -> RunFolder:
        """Return the folder for the run with that digest: this one, or one beside it."""
        if not self.beside or self._present_digest() in (None, digest):
            return self
        return replace(self, path=self.path.with_name(f"{self.path.name}-{digest}"), beside=False)

    def read_complete(self) -> Evaluation | None:
        """Return the run if it is complete, else None."""
        path = records_file(self.path)
        return Evaluation.read(path) if path.exists() else None

    def read_part(self, name: str) -> Evaluation | None:
        """Return the result of a job that was done before; None if it is missing or damaged."""
        try:
            return Evaluation.read(self.parts / f"{name}.json")
        except InputError:
            return None

    def write_part(self, name: str, content: str | bytes, ending: str = "json") -> None:
        """Write the result of a job.

        Raises:
            InputError: The folder was deleted during the run, or cannot be written.
        """
        self.check()
        write_atomically(self.parts / f"{name}.{ending}", content)

    def check(self) -> None:
        """Check that the folder is still there: a new one would contain only half of the run.

        Raises:
            InputError: It was deleted or moved.
        """
        if not (self.parts / BEGUN).is_file():
            raise InputError(
                f"the run's own files in {self.path}",
                "none: they were deleted or moved during the run",
                "begin it again",
            )

    def _present_digest(self) -> str | None:
        """Return the digest of the run in the folder, None where there is no run."""
        if (self.path / NAME).exists():
            return Spec.load(self.path).digest
        complete = self.read_complete()
        return None if complete is None else str(complete.context.get("run"))

    def _refuse_strangers(self, spec: Spec) -> None:
        """Raise an error where the folder has records of another run, without a spec."""
        digest = self._present_digest()
        if digest not in (None, spec.digest):
            raise self._another_run_error(f"the run {digest}")

    def _take_over(self, smaller: RunFolder) -> None:
        """Copy the files of a smaller run; files that are in this folder already stay."""
        # Copy models first, because a record promises that its model is there.
        paths = [*smaller.path.glob("models/*.safetensors"), *smaller.parts.glob("[!.]*")]
        paths = [path for path in paths if path.name != BEGUN]
        for path in paths:
            write_once(self.path / path.relative_to(smaller.path), path.read_bytes())
        log.info("%s takes up %d files of %s", self.path, len(paths), smaller.path)

    def _another_run_error(self, present: str, *, smaller: bool = False) -> InputError:
        advice = "pass another `folder`, or delete the folder"
        if smaller:
            advice = f"pass another `folder`, and `extends` {self.path} to keep what was found"
        return InputError(f"no other run in {self.path}", present, advice)


def _find_smaller_run(spec: Spec, path: Path) -> RunFolder:
    """Return the folder of a smaller run after checking that a larger one contains its records.

    Raises:
        InputError: The run is not a part of the larger one, or does not exist.
    """
    if (obstacle := Spec.load(path).obstacle_to(spec)) is not None:
        name, value, wanted = obstacle
        raise InputError(
            f"in {path} a smaller run, of fewer seeds, attackers or methods and else the same",
            f"one where {name} is {value}, not {wanted}",
            "leave `extends` out",
        )
    return RunFolder(path)


def find_runs(root: Path) -> Iterator[Path]:
    """Yield the folders of runs in a folder, including itself, sorted by name."""
    for path, folders, files in os.walk(root):
        if not {NAME, RECORDS, PLAIN_RECORDS}.isdisjoint(files):
            yield Path(path)
            folders.clear()
        elif len(Path(path).relative_to(root).parts) >= SEARCH_DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
