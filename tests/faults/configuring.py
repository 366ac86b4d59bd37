"""Absurd settings in configuration files: they are refused in one line, or understood."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st

from faults.mutations import EXTREME
from rootbound.cli import audit, compare, demo, main, train
from rootbound.methods import METHODS

NAMES = {
    "train": ("data", "model", "method", "from", "seed", "epochs", "checkpoint_every", "out"),
    "demo": ("data", "quick", "epochs", "suite", "labels", "steps", "trial_limit", "out"),
    "compare": ("methods", "generic_data", "seeds", "workers", "desirable", "length", "external"),
    "audit": ("checkpoint", "undefended", "head", "fail_if_advantage_over", "share_undesirable"),
}
COMMANDS = {"train": train, "demo": demo, "compare": compare, "audit": audit}
SIMPLE = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(), st.text(max_size=12),
    st.sampled_from(EXTREME), st.sampled_from(("mnist", "0-4", "all", "Plain", "demo-1")),
)  # fmt: skip
FIELDS = (
    "weight",
    "recipe",
    "terms",
    "schedule",
    "epochs",
    "batch_size",
    "max_desirable_drop",
)
TABLE = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=6), SIMPLE, max_size=4)
METHOD = st.one_of(
    SIMPLE,
    st.fixed_dictionaries(
        {"class_path": st.sampled_from(sorted(METHODS)) | st.sampled_from(EXTREME)},
        optional={"init_args": TABLE | st.fixed_dictionaries({"recipe": TABLE})},
    ),
)


def configurations(command: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return the strategy for one command's file: options that exist, and some that do not."""
    known = st.sampled_from(NAMES[command])
    values = st.one_of(SIMPLE, st.lists(SIMPLE, max_size=2), METHOD)
    return st.dictionaries(known | st.text(max_size=6), values, max_size=4)


def torment_settings(command: str, root: Path, examples: int) -> Counter[int]:
    """Read so many files up to where the work would begin; return the exit codes.

    Raises:
        AssertionError: another exit code than 0 or 2, or more than one line.
    """
    codes, path = Counter[int](), root / "settings.yaml"

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        phases=[Stage.generate, Stage.shrink], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(configurations(command))
    def one(content: dict[str, Any]) -> None:
        path.write_text(yaml.safe_dump(content, allow_unicode=True), errors="surrogatepass")
        said = io.StringIO()
        needed = ["model.safetensors"] if command == "audit" else []
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = main([command, *needed, "--config", str(path)])
        lines = said.getvalue().splitlines()
        assert (code, len(lines)) in ((0, 0), (2, 1)), (code, lines)
        codes[code] += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(COMMANDS[command], "run", lambda _: 0)
        one()
    return codes
