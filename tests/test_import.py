"""What `import rootbound` offers, and what it leaves alone until it is needed."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rootbound
from rootbound.data import Batch


def loaded_by(program: str) -> set[str]:
    """Return the names of modules that a fresh interpreter has loaded after a program."""
    code = f"{program}; import sys; print('LOADED', *sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("LOADED ")]
    return set(line.split()[1:])


@pytest.mark.parametrize("name", rootbound.__all__)
def test_offers_every_name(name: str) -> None:
    assert getattr(rootbound, name) is not None
    assert name in dir(rootbound)


def test_refuses_other_names() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        rootbound.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "program", ["import rootbound", "from rootbound.cli import main; main(['--help'])"]
)
def test_loads_nothing_heavy_before_use(program: str) -> None:
    loaded = loaded_by(program)
    assert "rootbound" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "matplotlib", "captum"}


def test_loads_a_part_on_use() -> None:
    assert "torch" in loaded_by("import rootbound; rootbound.models.shallow_cnn")


def test_version_matches_the_installed_package() -> None:
    assert rootbound.__version__ == importlib.metadata.version("rootbound")
    assert "importlib.metadata" not in loaded_by("import rootbound")


def test_examples_and_pages_use_public_names() -> None:
    """And what nobody shows is not: a user looks for one measure among a few."""
    root = Path(__file__).parents[1]
    pages = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("examples/*")]
    texts = [path.read_text() for path in pages if path.suffix in (".md", ".py", ".ipynb")]
    for name, offered in (("rb", rootbound.__all__), ("metrics", rootbound.metrics.__all__)):
        used = {word for text in texts for word in re.findall(rf"\b{name}\.([A-Za-z]\w*)\b", text)}
        assert used <= set(offered), name
    assert len(rootbound.metrics.__all__) <= 16


def test_types_that_users_meet_are_public() -> None:
    data = rootbound.load_data("mnist")
    assert isinstance(data, rootbound.Dataset)
    assert rootbound.Estimate(0.0, -1.0, 1.0, 3).significant is False
    assert rootbound.Batch is Batch
