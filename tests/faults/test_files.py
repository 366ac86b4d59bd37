"""Damaged files and odd settings, the short version: they are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.configuring import COMMANDS, torment_settings
from faults.loading import READERS, Reader, samples, torment

EXAMPLES, SETTINGS = 60, 15


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("samples")
    samples(place)
    return place


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_refuses_damaged_files(reader: Reader, root: Path) -> None:
    reader.read(root)
    outcomes = torment(reader, root, EXAMPLES)
    assert sum(outcomes.values()) >= EXAMPLES
    assert outcomes["refused"] > EXAMPLES // 4


@pytest.mark.parametrize("command", COMMANDS)
def test_refuses_odd_settings(command: str, tmp_path: Path) -> None:
    codes = torment_settings(command, tmp_path, SETTINGS)
    assert codes[2] > 0
