"""Of where data lie nothing is published but what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootbound.publishing import Origin
from rootbound.publishing.header import hide_path, hide_paths
from rootbound.records import Configuration


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mnist", "mnist"),
        ("toy", "toy"),
        ("/home/me/toy", "…/toy"),
        ("/home/me/toy/", "…/toy"),
        ("secret/toy", "…/toy"),
        ("../toy.npz", "…/toy.npz"),
        (r"C:\Users\me\toy", "…/toy"),
        ("…/toy", "…/toy"),
        ("/", "…/"),
        ("", ""),
        ("hf:uoft-cs/cifar10", "hf:uoft-cs/cifar10"),
        ("hf:gpt2", "hf:gpt2"),
        ("hf:/home/me/bert", "hf:…/bert"),
        ("hf:./secret/bert", "hf:…/bert"),
        ("hf:~/bert", "hf:…/bert"),
        ("hf:here/bert", "hf:…/bert"),
    ],
)
def test_names(name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here/bert").mkdir(parents=True)
    assert hide_path(name) == told


def test_an_origin() -> None:
    settings = "Mine(weight=0.5, table=PosixPath('/home/me/t.csv'), note=\"it's /home/me\", rate=1)"
    given = Origin(
        Configuration.parse(settings),
        "defended",
        "/home/me/a",
        "b/c",
        "0-4",
        "5-9",
        3,
        True,
        "hf:/home/me/d",
    )
    told = hide_paths(given)
    assert "home" not in repr(told)
    assert str(told.method).startswith("Mine(weight=0.5, table=PosixPath('…/t.csv'), note=")
    assert (told.data, told.undesirable_data, told.tokeniser) == ("…/a", "…/c", "hf:…/d")
    assert (told.desirable, told.seed, told.shared) == ("0-4", 3, True)
