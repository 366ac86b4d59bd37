"""The folder of a run: whose it is, what has been found, what comes in."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rootbound.errors import InputError
from rootbound.files import make_folder, write_atomically, write_once
from rootbound.records import BEGUN, PARTS, WHOLE, Evaluation
from rootbound.runs.spec import NAME, Spec

log = logging.getLogger(__name__)
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
    """

    path: Path
    command: tuple[str, ...] = ()
    beside: bool = False

    @property
    def parts(self) -> Path:
        """Where each finished piece of work has its file."""
        return self.path / PARTS

    def weights(self, method: str, seed: int) -> Path:
        """Return where a trained model is."""
        return self.path / "models" / f"{method}-{seed}.safetensors"

    def claim(self, spec: Spec, context: Mapping[str, Any]) -> RunFolder:
        """Return the folder that is the run's from now on, with its spec and context in it.

        Raises:
            InputError: the folder is another run's, or cannot be written.
        """
        make_folder(self.path)
        folder = self.of(spec.digest)
        if folder.path != self.path:
            log.info("%s holds another run: this one goes to %s", self.path, folder.path)
            make_folder(folder.path)
        if not (folder.path / NAME).exists():
            folder._refuse_strangers(spec)
            replace(spec, command=self.command, directory=str(Path.cwd())).save(folder.path)
        held = Spec.load(folder.path)
        if held.digest != spec.digest:
            name, there, here = next(held.differs_from(spec))
            raise folder._another(f"the run {held.digest}, where {name} is {there}, not {here}")
        write_once(folder.parts / BEGUN, Evaluation(context, (), (), False).to_json())
        return folder

    def of(self, digest: str) -> RunFolder:
        """Return the folder of the run with that digest: this one, or the one beside it."""
        if not self.beside or self._held() in (None, digest):
            return self
        return replace(self, path=self.path.with_name(f"{self.path.name}-{digest}"), beside=False)

    def whole(self) -> Evaluation | None:
        """Return the run if it is complete."""
        if not (self.path / WHOLE).exists():
            return None
        return Evaluation.read(self.path / WHOLE)

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
        if (self.path / WHOLE).exists():
            return str(Evaluation.read(self.path / WHOLE).context.get("run"))
        return None

    def _refuse_strangers(self, spec: Spec) -> None:
        """Raise where there are records that came without a spec and are not the run's."""
        held = self._held()
        if held not in (None, spec.digest):
            raise self._another(f"the run {held}")

    def _another(self, what: str) -> InputError:
        return InputError(
            f"no other run in {self.path}", what, "pass another --out, or delete the folder"
        )


def find_runs(root: Path) -> Iterator[Path]:
    """Yield the folders of runs at and below a folder, in order of their names."""
    for place, folders, files in os.walk(root):
        if NAME in files or WHOLE in files:
            yield Path(place)
            folders.clear()
        elif len(Path(place).relative_to(root).parts) >= DEEP:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
