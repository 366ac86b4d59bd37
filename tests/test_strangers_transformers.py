"""Networks of `transformers` in folders and files of strangers: none of their code is run."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import tiny
from rootbound.attacks import Budget, ExactLastLayer
from rootbound.core.errors import InputError
from rootbound.evaluation import evaluate
from rootbound.networks import build, from_transformers
from rootbound.networks.hugging_face import network as hugging_face
from rootbound.networks.hugging_face.configuration import find_auto_class
from rootbound.networks.weights import own_weights
from rootbound.publishing import Origin, load_model
from rootbound.records import Configuration
from rootbound.report.doubts import NEW_HEAD
from rootbound.report.headline import describe_gains
from rootbound.suites import Suite
from test_networks import text_tasks
from tiny import transformers

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)


def test_refuses_unknown_families(tmp_path: Path) -> None:
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


def test_never_runs_code_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_damaged_folder_gives_a_one_line_error(
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
def test_refuses_a_hostile_configuration_in_one_line(
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
def test_refuses_a_description_that_is_no_configuration(text: str, tmp_path: Path) -> None:
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
def test_never_asks_for_hub_kernels(key: str, tmp_path: Path) -> None:
    """The library fetches and runs what is named there, where `kernels` is installed."""
    model = build(f"hf:{strange(tmp_path, **{key: 'owner/kernel'})}", 3, (10,))
    text = model.architecture.removeprefix("transformers:")
    again = build(f"transformers:{json.dumps({**json.loads(text), key: 'owner/kernel'})}", 3, (10,))
    for one in (model, again):
        configs = [getattr(part, "config", None) for part in one.modules()]
        assert {str(one._attn_implementation) for one in configs if one} == {"eager"}
        assert "kernel" not in one.architecture


def test_names_the_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, package: str | None = None) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"pip install 'rootbound\[transformers\]'"):
        build("hf:somewhere", 3, (10,))


def tampered(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> str:
    """Return the name of a good folder whose tensors were changed."""
    tiny.network("bert").save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return f"hf:{folder}"


WORDS, DENSE = "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weights: weights.pop(WORDS), f"no {WORDS}"),
        (lambda weights: weights.pop("classifier.bias"), "no classifier.bias"),
        (lambda weights: weights.update({DENSE: torch.zeros(2, 2)}), f"another shape {DENSE}"),
        (lambda weights: weights.update(stranger=torch.zeros(2)), "left over stranger"),
        (lambda weights: weights[DENSE].fill_(torch.nan), f"these weights hold NaN.* {DENSE}"),
        (lambda weights: [weights.pop(name) for name in list(weights)[:20]], "and more"),
    ],
)
@pytest.mark.parametrize("classes", [None, 5])
def test_names_missing_tensors(
    classes: int | None,
    change: Callable[[dict[str, Tensor]], object],
    said: str,
    tmp_path: Path,
) -> None:
    name = tampered(tmp_path, change)
    with pytest.raises(InputError, match=said) as caught:
        hugging_face.build(name, classes)
    assert len(str(caught.value).splitlines()) == 1


POSITIONS = {"embeddings.position_ids": torch.arange(16)[None]}
NAMES = "got left over encoder.layer.1.attention"


@pytest.mark.parametrize(
    ("entries", "change", "said"),
    [
        ({}, lambda _: None, None),
        ({}, lambda weights: weights.pop("encoder.layer.0.output.dense.bias"), "got no bert.enc"),
        ({"num_hidden_layers": 1}, lambda _: None, NAMES),
        # Older files have this buffer, which follows from the sizes.
        ({}, lambda weights: weights.update(POSITIONS), None),
    ],
    ids=["whole", "too few", "too many", "an old file"],
)
def test_body_with_a_new_head_is_complete(
    entries: dict[str, int],
    change: Callable[[dict[str, Tensor]], object],
    said: str | None,
    tmp_path: Path,
) -> None:
    """Of a body that was saved by itself, whose names lack the prefix."""
    made = transformers.BertModel
    made(made.config_class(**tiny.SIZES, **tiny.TEXT)).save_pretrained(tmp_path)
    weights, path = load_file(tmp_path / "model.safetensors"), tmp_path / "config.json"
    change(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    if said is None:
        assert hugging_face.build(f"hf:{tmp_path}", 3).new_head
        return
    with pytest.raises(InputError, match=said):
        hugging_face.build(f"hf:{tmp_path}", 3)


def test_only_the_last_head_layer_may_have_other_classes(tmp_path: Path) -> None:
    tiny.network("roberta").save_pretrained(tmp_path)
    assert hugging_face.build(f"hf:{tmp_path}", 5).classes == 5
    weights = load_file(tmp_path / "model.safetensors")
    weights["classifier.dense.weight"] = torch.zeros(8, 16)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"of another shape classifier\.dense\.weight"):
        hugging_face.build(f"hf:{tmp_path}", 5)


def test_checks_sizes_before_building_a_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got num_hidden_layers is 1001"):
        build(f"hf:{strange(tmp_path, num_hidden_layers=1001)}", 3, (10,))


def test_names_an_adapter(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(InputError, match=r"an adapter for another.*merge_and_unload"):
        hugging_face.build(f"hf:{tmp_path}")


def headless(weights: dict[str, Tensor]) -> None:
    for name in ("classifier.weight", "classifier.bias"):
        weights.pop(name)


@pytest.mark.parametrize(
    ("classes", "change", "new"),
    [(None, headless, True), (5, lambda _: None, True), (3, lambda _: None, False)],
    ids=["absent", "for other classes", "as it came"],
)
def test_reports_a_new_head(
    classes: int | None,
    change: Callable[[dict[str, Tensor]], object],
    new: bool,
    tmp_path: Path,
) -> None:
    model = hugging_face.build(tampered(tmp_path, change), classes)
    assert model.classes == (classes or 3)
    assert model.new_head == new


@pytest.mark.slow
def test_verdict_says_that_a_head_is_new(tmp_path: Path) -> None:
    model = hugging_face.build(tampered(tmp_path, headless), 3)
    suite = Suite("head-1", (ExactLastLayer(1e-2),), (Budget(5, 1),))
    found = evaluate(model, text_tasks(), suite=suite, seeds=1, workers=1)
    assert NEW_HEAD in describe_gains(found, "defended")
    given = from_transformers(tiny.network("bert"))
    found = evaluate(given, text_tasks(), suite=suite, seeds=1, workers=1)
    assert NEW_HEAD not in describe_gains(found, "defended")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("BertModel", {}),
        ("BertForMaskedLM", {}),
        ("BertForQuestionAnswering", {}),
        ("DistilBertForMaskedLM", {}),
        ("ViTModel", {"image_size": 16, "patch_size": 4}),
        ("LlamaModel", {"num_key_value_heads": 2, "pad_token_id": 0}),
    ],
)
def test_network_for_another_task_gets_a_classifier_head(
    kind: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    made = getattr(transformers, kind)
    sizes = tiny.ROWS["distilbert"] if "Distil" in kind else {**tiny.SIZES, **tiny.TEXT}
    if "ViT" in kind:
        sizes = tiny.SIZES
    given = made(made.config_class(**sizes, **changes))
    given.save_pretrained(tmp_path)
    model = hugging_face.build(f"hf:{tmp_path}", 3)
    assert model.classes == 3
    assert model.new_head
    kept = {key.partition(".")[2]: value for key, value in own_weights(model).items()}
    body = given.base_model.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in body.items() if key in kept)
    assert len(body.keys() & kept.keys()) > 10


def test_named_head_determines_the_task(tmp_path: Path) -> None:
    """A GPT-2 that classifies is no language model, and its tokeniser none of one."""
    sizes = {**tiny.ROWS["gpt2"], "pad_token_id": 2, "eos_token_id": 2, "bos_token_id": 1}
    given = transformers.GPT2ForSequenceClassification(
        transformers.GPT2Config(**sizes, num_labels=3)
    ).eval()
    given.save_pretrained(tmp_path)
    model, samples = hugging_face.build(f"hf:{tmp_path}").eval(), tiny.samples("gpt2")
    assert (model.classes, model.head_name) == (3, "score")
    assert find_auto_class(model.architecture) == "AutoModelForSequenceClassification"
    own = torch.where(samples == 0, 2, torch.where(samples == 2, 0, samples))
    with torch.no_grad():
        expected = given(input_ids=own, attention_mask=(samples != 0).long()).logits
    torch.testing.assert_close(model(samples), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["T5ForSequenceClassification", "BertForTokenClassification"])
def test_refuses_another_kind_of_network_in_one_line(kind: str) -> None:
    made = getattr(transformers, kind)
    sizes = {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1}
    sizes = {**sizes, "num_heads": 2} if "T5" in kind else {**tiny.SIZES, **tiny.TEXT}
    with pytest.raises(InputError, match="by layers and a linear head") as caught:
        from_transformers(made(made.config_class(**sizes)))
    assert len(str(caught.value).splitlines()) == 1


def test_names_weights_of_earlier_versions(tmp_path: Path) -> None:
    model = from_transformers(tiny.network("bert"))
    store(tmp_path / "m", model.architecture, {"head.weight": torch.zeros(3, 16)})
    with pytest.raises(InputError, match="as earlier versions wrote them"):
        load_model(tmp_path / "m")
