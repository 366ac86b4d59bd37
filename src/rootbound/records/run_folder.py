"""The folder of a run: whose it is, what has been found, what comes in."""

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
"""In names of files, besides letters, digits and points."""
DEEP = 3
"""Folders within folders in which runs are looked for."""


@dataclass(frozen=True)
class RunFolder:
    """Where the records of one run go as they come: one small file for each piece of work.

    No file is ever written twice with different records, and none is shared by two pieces of
    work. So nothing needs a lock: processes and hosts may share a folder, and one that is
    killed leaves whole files.

    Args:
        path: of the folder.
        command: arguments of `rootbound` that a run is begun with, to be kept beside its spec.
        beside: where the folder holds another run, take a new one beside it.
        extends: folder of a smaller run, of fewer seeds, attackers or methods and else the same:
            what it has found is not done again. It stays as it is.
    """

    path: Path
    command: tuple[str, ...] = ()
    beside: bool = False
    extends: Path | None = None

    @property
    def parts(self) -> Path:
        """Where each finished piece of work has its file."""
        return self.path / PARTS

    def weights(self, method: str, seed: int) -> Path:
        """Return where a trained model is; settings in its name may be no name of a file."""
        return self.path / "models" / f"{quote(method, safe=READABLE)}-{seed}.safetensors"

    def claim(self, spec: Spec, context: Mapping[str, Any]) -> RunFolder:
        """Return the folder that is the run's from now on, with its spec and context in it.

        Raises:
            InputError: the folder is another run's, or cannot be written; or the run that it
                extends is no part of this one.
        """
        folder = self.of(spec.digest)
        begun = (folder.path / NAME).exists()
        smaller = None if begun or self.extends is None else _part_of(spec, self.extends)
        make_folder(folder.path)
        if folder.path != self.path:
            log.info("%s holds another run: this one goes to %s", self.path, folder.path)
        if not begun:
            folder._refuse_strangers(spec)
            if smaller is not None:
                folder._take_over(smaller)
            # Last, so that what was killed before begins again.
            replace(spec, command=self.command, directory=str(Path.cwd())).save(folder.path)
        held = Spec.load(folder.path)
        if held.digest != spec.digest:
            name, there, here = next(held.differs_from(spec))
            raise folder._another(
                f"the run {held.digest}, where {name} is {there}, not {here}",
                smaller=held.obstacle_to(spec) is None,
            )
        write_once(folder.parts / BEGUN, Evaluation(context, (), (), False).to_json())
        return folder

    def of(self, digest: str) -> RunFolder:
        """Return the folder of the run with that digest: this one, or the one beside it."""
        if not self.beside or self._held() in (None, digest):
            return self
        return replace(self, path=self.path.with_name(f"{self.path.name}-{digest}"), beside=False)

    def whole(self) -> Evaluation | None:
        """Return the run if it is complete."""
        path = records_file(self.path)
        return Evaluation.read(path) if path.exists() else None

    def part(self, name: str) -> Evaluation | None:
        """Return a piece of work that was done before; None if there is none, or it is damaged."""
        try:
            return Evaluation.read(self.parts / f"{name}.json")
        except InputError:
            return None

    def keep(self, name: str, content: str | bytes, ending: str = "json") -> None:
        """Write a piece of work.

        Raises:
            InputError: the folder was deleted under the run, or cannot be written.
        """
        self.check()
        write_atomically(self.parts / f"{name}.{ending}", content)

    def check(self) -> None:
        """Raise where the folder is no longer there: what follows would be half a run.

        Raises:
            InputError: it was deleted or moved.
        """
        if not (self.parts / BEGUN).is_file():
            raise InputError(
                f"the run's own files in {self.path}",
                "none: they were deleted or moved under the run",
                "begin it again",
            )

    def _held(self) -> str | None:
        """Return the digest of the run that the folder holds, None where it holds none."""
        if (self.path / NAME).exists():
            return Spec.load(self.path).digest
        complete = self.whole()
        return None if complete is None else str(complete.context.get("run"))

    def _refuse_strangers(self, spec: Spec) -> None:
        """Raise where there are records that came without a spec and are not the run's."""
        held = self._held()
        if held not in (None, spec.digest):
            raise self._another(f"the run {held}")

    def _take_over(self, smaller: RunFolder) -> None:
        """Copy what a smaller run has found; what is in this folder already stays."""
        # Models first: the records beside them vouch for them.
        found = [*smaller.path.glob("models/*.safetensors"), *smaller.parts.glob("[!.]*")]
        found = [path for path in found if path.name != BEGUN]
        for path in found:
            write_once(self.path / path.relative_to(smaller.path), path.read_bytes())
        log.info("%s takes up %d files of %s", self.path, len(found), smaller.path)

    def _another(self, what: str, *, smaller: bool = False) -> InputError:
        advice = "pass another --out, or delete the folder"
        if smaller:
            advice = f"pass another --out, and --extends {self.path} to keep what was found"
        return InputError(f"no other run in {self.path}", what, advice)


def _part_of(spec: Spec, path: Path) -> RunFolder:
    """Return the folder of a smaller run, whose findings are a part of a larger one's.

    Raises:
        InputError: it is not smaller, or not there.
    """
    if (obstacle := Spec.load(path).obstacle_to(spec)) is not None:
        name, there, here = obstacle
        raise InputError(
            f"in {path} a smaller run, of fewer seeds, attackers or methods and else the same",
            f"one where {name} is {there}, not {here}",
            "leave --extends out",
        )
    return RunFolder(path)


def find_runs(root: Path) -> Iterator[Path]:
    """Yield the folders of runs at and below a folder, in order of their names."""
    for place, folders, files in os.walk(root):
        if not {NAME, RECORDS, PLAIN_RECORDS}.isdisjoint(files):
            yield Path(place)
            folders.clear()
        elif len(Path(place).relative_to(root).parts) >= DEEP:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
