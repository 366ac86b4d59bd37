"""Networks of `transformers` in folders and files of strangers: none of their code is run."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import tiny
from rootbound.core.errors import InputError
from rootbound.networks import build, from_transformers
from rootbound.publishing import Origin, load_model
from rootbound.records import Configuration
from tiny import transformers

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)


def test_unknown_families_are_refused(tmp_path: Path) -> None:
    transformers.Wav2Vec2Config(hidden_size=8, num_hidden_layers=1).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="classify or predict the next token") as caught:
        build(f"hf:{tmp_path}", 3, (10,))
    assert "'wav2vec2'" in str(caught.value)


def strange(folder: Path, **entries: Any) -> Path:
    """Change the configuration of a good folder."""
    tiny.network("bert").save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return folder


def test_code_that_comes_with_a_model_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    trap = tmp_path / "sprung"
    folder = strange(
        tmp_path / "model",
        auto_map={
            "AutoConfig": "code.Config",
            "AutoModelForSequenceClassification": "code.Model",
        },
    )
    (folder / "code.py").write_text(f"open({str(trap)!r}, 'w')\n")
    model = build(f"hf:{folder}", 3, (10,))
    assert not trap.exists()
    assert "auto_map" not in model.architecture
    assert "BertEmbeddings" in repr(model)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "config.json").write_text("{"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: (folder / "config.json").write_text("[]"),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "model.safetensors").write_bytes(b"no weights at all"),
        lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
        lambda folder: strange(folder, hidden_size="wide"),
        lambda folder: strange(folder, num_attention_heads=0),
    ],
)
def test_a_folder_that_is_damaged_is_one_line(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = strange(tmp_path / "model")
    damage(folder)
    with pytest.raises(InputError) as caught:
        build(f"hf:{folder}", 3, (10,))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "t5"},
        {"model_type": ["bert"]},
        {"model_type": None},
        {"hidden_size": 2**40},
        {"hidden_size": -4},
        {"hidden_size": 17},
        {"hidden_size": "16"},
        {"hidden_size": 1e300},
        {"num_attention_heads": 0},
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 1e9},
        {"vocab_size": [40]},
        {"hidden_act": "no such thing"},
        {"initializer_range": "wide"},
        {"layer_norm_eps": None},
        {"pad_token_id": 99},
        {"dtype": "int3"},
    ],
    ids=repr,
)
def test_a_configuration_of_a_strangers_is_refused_in_one_line(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    model = from_transformers(tiny.network("bert"))
    kind, _, text = model.architecture.partition(":")
    model.architecture = f"{kind}:{json.dumps(json.loads(text) | changes)}"
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    store(tmp_path / "m", model.architecture, weights)
    try:
        loaded, _ = load_model(tmp_path / "m")
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert changes.keys() & {"initializer_range", "layer_norm_eps", "dtype"}, "loaded"
        assert all(value.dtype == torch.float32 for value in loaded.parameters())


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{}", "[" * 100_000])
def test_a_description_that_is_no_configuration_is_refused(text: str, tmp_path: Path) -> None:
    store(tmp_path / "m", f"transformers:{text}", {"head.bias": torch.zeros(3)})
    with pytest.raises(InputError) as caught:
        load_model(tmp_path / "m")
    assert len(str(caught.value).splitlines()) == 1


def store(path: Path, architecture: str, values: dict[str, Tensor]) -> None:
    """Write a file of ours with any architecture."""
    described = {
        "architecture": architecture,
        "classes": 3,
        "shape": [10],
        "origin": ORIGIN.to_json(),
    }
    save_file(values, path, {"rootbound": json.dumps(described)})


@pytest.mark.parametrize("key", ["_attn_implementation", "attn_implementation"])
def test_kernels_of_the_hub_are_not_asked_for(key: str, tmp_path: Path) -> None:
    """The library fetches and runs what is named there, where `kernels` is installed."""
    model = build(f"hf:{strange(tmp_path, **{key: 'owner/kernel'})}", 3, (10,))
    text = model.architecture.removeprefix("transformers:")
    again = build(f"transformers:{json.dumps({**json.loads(text), key: 'owner/kernel'})}", 3, (10,))
    for one in (model, again):
        configs = [getattr(part, "config", None) for part in one.modules()]
        assert {str(one._attn_implementation) for one in configs if one} == {"eager"}
        assert "kernel" not in one.architecture


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"pip install 'rootbound\[transformers\]'"):
        build("hf:somewhere", 3, (10,))
