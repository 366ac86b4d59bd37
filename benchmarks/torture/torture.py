"""Run the fault tests of `tests/faults` many times, and write a page about the results.

make torture                                        # hours beside other work
python -m benchmarks.torture.torture --only kills --engines 'Ray, 2 CPUs' --out page.md
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from hypothesis.errors import HypothesisWarning

from faults.configuring import COMMANDS, torment_settings
from faults.killing import ENGINES, torture
from faults.loading import READERS, samples, torment

ROOT = Path(__file__).parents[2]
FUZZ = Path(__file__).parent / "fuzz.py"


def main() -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [engine.name for engine in ENGINES]
    parser.add_argument("--only", choices=SECTIONS, nargs="+", default=list(SECTIONS))
    parser.add_argument("--engines", choices=names, nargs="+", default=names)
    parser.add_argument("--kills", type=int, default=50, help="of each engine")
    parser.add_argument("--files", type=int, default=10_000, help="damaged ones in all")
    parser.add_argument("--settings", type=int, default=10_000, help="odd ones in all")
    parser.add_argument("--fuzz", type=int, default=10_000, help="runs of each binary reader")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/torture.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore", HypothesisWarning)
    lines = [*_write_head()]
    for name in options.only:
        for line in SECTIONS[name](options):
            print(line, flush=True)
            lines.append(line)
        options.out.write_text("\n".join(lines) + "\n")


def _write_head() -> Iterator[str]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    yield "# Fault tests, long form"
    yield ""
    machine = f"{platform.machine()}, {os.cpu_count()} CPU cores"
    yield f"`make torture`, commit {commit}, torch {version('torch')}, {machine}. "
    yield "A row is there only if nothing was found: any harm ends the program."
    yield ""


def _report_kills(options: argparse.Namespace) -> Iterator[str]:
    yield "## kill -9 of a comparison at random moments, each resumed to the end"
    yield ""
    yield (
        "| engine | kills | runs completed | records lost | doubled | unequal | unreadable | "
        "finished pieces at the kills, fewest to most | s |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for engine in (one for one in ENGINES if one.name in options.engines):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = torture(engine, Path(folder), options.kills)
        harm = (tally.lost, tally.doubled, tally.unequal, tally.unreadable)
        if any(harm):
            raise SystemExit(f"{engine.name}: lost, doubled, unequal, unreadable: {harm}")
        pieces = f"{min(tally.pieces)} to {max(tally.pieces)}"
        yield (
            f"| {engine.name} | {tally.kills} | {tally.runs} | {tally.lost} | {tally.doubled} | "
            f"{tally.unequal} | {tally.unreadable} | {pieces} | {time.monotonic() - started:.0f} |"
        )
    yield ""


def _report_damage(options: argparse.Namespace) -> Iterator[str]:
    yield "## Damaged files (hypothesis): only documented errors, 10 s, 1 GiB, nothing run"
    yield ""
    yield "| reader | files | refused | read all the same | s |"
    yield "|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        samples(Path(folder))
        for reader in READERS:
            started = time.monotonic()
            found = torment(reader, Path(folder), -(-options.files // len(READERS)))
            yield (
                f"| {reader.name} | {sum(found.values())} | {found['refused']} | {found['read']} | "
                f"{time.monotonic() - started:.0f} |"
            )
    yield ""


def _report_odd_settings(options: argparse.Namespace) -> Iterator[str]:
    yield "## Odd settings (hypothesis), as --config: exit code 0 or 2, one line"
    yield ""
    yield "| command | files | refused | understood | s |"
    yield "|---|---|---|---|---|"
    for command in COMMANDS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            codes = torment_settings(command, Path(folder), -(-options.settings // len(COMMANDS)))
        yield (
            f"| {command} | {sum(codes.values())} | {codes[2]} | {codes[0]} | "
            f"{time.monotonic() - started:.0f} |"
        )
    yield ""


def _report_fuzzing(options: argparse.Namespace) -> Iterator[str]:
    yield "## Binary readers under atheris, which follows what the code does with the bytes"
    yield ""
    if importlib.util.find_spec("atheris") is None:
        yield "Not run: `pip install atheris`, where there is a build of it."
        return
    yield "| reader | inputs | s |"
    yield "|---|---|---|"
    for name in ("idx", "npz", "model"):
        started = time.monotonic()
        command = [sys.executable, str(FUZZ), name, f"-runs={options.fuzz}", "-timeout=10"]
        command += ["-rss_limit_mb=2048", "-seed=1", "-verbosity=0"]
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
        yield f"| {name} | {options.fuzz} | {time.monotonic() - started:.0f} |"


SECTIONS = {
    "kills": _report_kills,
    "files": _report_damage,
    "settings": _report_odd_settings,
    "fuzz": _report_fuzzing,
}


if __name__ == "__main__":
    main()
