"""What `import rootbound` offers, and what it leaves alone until it is needed."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import rootbound


def loaded_by(program: str) -> set[str]:
    """Return the names of modules that a fresh interpreter has loaded after a program."""
    code = f"{program}; import sys; print('LOADED', *sorted(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=200
    )
    (line,) = [line for line in run.stdout.splitlines() if line.startswith("LOADED ")]
    return set(line.split()[1:])


@pytest.mark.parametrize("name", rootbound.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(rootbound, name) is not None
    assert name in dir(rootbound)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        rootbound.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    "program", ["import rootbound", "from rootbound.cli import main; main(['--help'])"]
)
def test_nothing_heavy_is_loaded_before_it_is_used(program: str) -> None:
    loaded = loaded_by(program)
    assert "rootbound" in loaded
    assert not loaded & {"torch", "numpy", "scipy", "matplotlib", "captum"}


def test_a_part_is_loaded_when_it_is_used() -> None:
    assert "torch" in loaded_by("import rootbound; rootbound.models.shallow_cnn")


def test_the_version_is_that_of_the_installed_package() -> None:
    assert rootbound.__version__ == importlib.metadata.version("rootbound")
    assert "importlib.metadata" not in loaded_by("import rootbound")
