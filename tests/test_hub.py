"""Published weights by name: with a network of one's own, from folders and from the hub."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rootbound.core.errors import InputError
from rootbound.networks import Classifier, shallow_cnn
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing import Origin, load, push_to_hub, save_model
from rootbound.publishing.hub import CARD, WEIGHTS
from rootbound.records import Configuration

huggingface_hub = pytest.importorskip("huggingface_hub")
ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)
SHAPE = (1, 16, 16)
COMMITS = {"main": "a" * 40, "v2": "b" * 40}


def drawn(classes: int = 3) -> nn.Module:
    hidden = nn.Linear(256, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, classes))


def network(seed: int = 7, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return drawn(classes)


def publish(model: Classifier, folder: Path) -> str:
    """Write weights with a card that says whose it is; return their digest."""
    folder.mkdir(parents=True)
    save_model(model, folder / WEIGHTS, SHAPE, ORIGIN)
    digest = weights_digest(own_weights(model))
    (folder / CARD).write_text(json.dumps({"weights_sha256": digest}))
    return digest


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    """Return the digest of each revision of `me/it` in a folder as the hub's library keeps it."""
    digests = {}
    for seed, (name, commit) in enumerate(COMMITS.items()):
        repository = tmp_path / "hub" / "models--me--it"
        reference = repository / "refs" / name
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
        model = Classifier.wrap(network(seed))
        digests[name] = publish(model, repository / "snapshots" / commit)
    return digests


@pytest.mark.parametrize(
    ("revision", "expected"),
    [(None, "main"), ("v2", "v2"), (COMMITS["v2"], "v2"), ("main", "main")],
)
def test_loads_a_revision_from_the_hub(
    revision: str | None, expected: str, cache: dict[str, str], tmp_path: Path
) -> None:
    module = network()
    model = load(
        "me/it", module, revision=revision, cache_dir=tmp_path / "hub", local_files_only=True
    )
    assert weights_digest(own_weights(model)) == cache[expected]
    assert not model.training
    unchanged = network().state_dict()
    assert all(torch.equal(value, unchanged[key]) for key, value in module.state_dict().items())


def keep_as_torch_does(state: dict[str, Tensor], folder: Path, shards: int) -> None:
    """Write weights as older repositories hold them: in one file, or in several with an index."""
    folder.mkdir(exist_ok=True)
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin")
        return
    places: dict[str, str] = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05}-of-{shards:05}.bin"
        part = {key: value for i, (key, value) in enumerate(state.items()) if i % shards == number}
        torch.save(part, folder / name)
        places |= dict.fromkeys(part, name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("has_both", [False, True])
def test_falls_back_to_torch_files(
    has_both: bool, shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = network(5)
    keep_as_torch_does(module.state_dict(), tmp_path / "there", shards)
    if has_both:
        save_file(network(6).state_dict(), tmp_path / "there" / WEIGHTS)

    def fetch(name: str, allow_patterns: Sequence[str], **_: object) -> str:
        (tmp_path / "here").mkdir(exist_ok=True)
        for path in (tmp_path / "there").iterdir():
            if any(fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, tmp_path / "here")
        return str(tmp_path / "here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    model = load("me/it", network())
    expected = network(6) if has_both else module
    assert weights_digest(own_weights(model)) == weights_digest(
        own_weights(Classifier.wrap(expected))
    )
    assert bool(list((tmp_path / "here").glob("*.bin"))) != has_both


def test_refuses_a_missing_revision(cache: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a model of the hub at me/it"):
        load("me/it", network(), revision="v3", cache_dir=tmp_path / "hub", local_files_only=True)


@pytest.mark.parametrize("half", [False, True])
def test_loads_a_users_network(half: bool, tmp_path: Path) -> None:
    trained, module = network(0).eval(), network(1)
    digest = publish(Classifier.wrap(trained), tmp_path / "out")
    model = load(tmp_path / "out", module.half() if half else module, fresh=drawn)
    assert weights_digest(own_weights(model)) == digest
    samples = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(samples), trained(samples))
    assert model.fresh is not None
    alone = load(tmp_path / "out" / WEIGHTS, module, head="5")
    assert torch.equal(alone(samples), trained(samples))


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (None, {}, "as `module`"),
        (network(classes=4), {}, "fit the network"),
        (network(), {"head": "1"}, "1"),
    ],
    ids=["none", "another", "with another head"],
)
def test_refuses_another_network(
    module: nn.Module | None, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    publish(Classifier.wrap(network()), tmp_path / "out")
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path / "out", module, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("own", [False, True])
def test_refuses_a_card_of_other_weights(own: bool, tmp_path: Path) -> None:
    model = Classifier.wrap(network()) if own else shallow_cnn(3, SHAPE)
    publish(model, tmp_path / "out")
    (tmp_path / "out" / CARD).write_text(json.dumps({"weights_sha256": "0" * 64}))
    with pytest.raises(InputError, match="do not trust the card"):
        load(tmp_path / "out", network() if own else None)


def test_refuses_an_unknown_hub_option(tmp_path: Path) -> None:
    publish(shallow_cnn(3, SHAPE), tmp_path / "out")
    with pytest.raises(TypeError, match="revison"):
        load(tmp_path / "out", revison="v2")


def test_folders_need_no_hub_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    publish(shallow_cnn(3, SHAPE), tmp_path / "out")
    load(tmp_path / "out")
    for send in (lambda: push_to_hub(tmp_path, "me/it"), lambda: load("a/b")):
        with pytest.raises(InputError, match=r"rootbound\[hub\]"):
            send()


def test_uploads_under_the_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = create_autospec(huggingface_hub.HfApi)  # takes what the library takes, and no more
    monkeypatch.setattr(huggingface_hub, "HfApi", api)
    with pytest.raises(InputError, match=CARD):
        push_to_hub(tmp_path, "me/it")
    publish(shallow_cnn(3, SHAPE), tmp_path / "out")
    push_to_hub(
        tmp_path / "out", "me/it", private=True, token="t", commit_message="m", branch="b",
        create_pr=True,
    )  # fmt: skip
    api.assert_called_with(token="t")
    created, sent = api.return_value.create_repo.call_args, api.return_value.upload_folder.call_args
    assert (created.args, created.kwargs) == (("me/it",), {"private": True, "exist_ok": True})
    assert {name: sent.kwargs[name] for name in ("commit_message", "revision", "create_pr")} == {
        "commit_message": "m", "revision": "b", "create_pr": True
    }  # fmt: skip
    assert {WEIGHTS, CARD} <= set(sent.kwargs["allow_patterns"])
    assert "*" not in sent.kwargs["allow_patterns"]
