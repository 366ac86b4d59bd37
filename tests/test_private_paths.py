"""Data and models are published by name, without the path on the machine that had them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootbound.publishing import Origin
from rootbound.publishing.header import hide_path, hide_paths
from rootbound.records import Configuration


@pytest.mark.parametrize(
    ("name", "published"),
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
def test_hides_local_paths_in_names(
    name: str, published: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here/bert").mkdir(parents=True)
    assert hide_path(name) == published


def test_hides_local_paths_in_an_origin() -> None:
    settings = "Mine(weight=0.5, table=PosixPath('/home/me/t.csv'), note=\"it's /home/me\", rate=1)"
    origin = Origin(
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
    published = hide_paths(origin)
    assert "home" not in repr(published)
    assert str(published.method).startswith("Mine(weight=0.5, table=PosixPath('…/t.csv'), note=")
    assert (published.data, published.undesirable_data, published.tokeniser) == (
        "…/a",
        "…/c",
        "hf:…/d",
    )
    assert (published.desirable, published.seed, published.shared) == ("0-4", 3, True)
