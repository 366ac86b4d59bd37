"""A published model of `transformers` is one to that library alone, and to us."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import tiny
from few import FEW
from rootbound.cli.main import main
from rootbound.cli.networks import NetworkSource, resolve_transformers
from rootbound.cli.options import NetworkOptions
from rootbound.cli.public import build_public, resolve_public
from rootbound.core.errors import InputError
from rootbound.core.files import write_atomically
from rootbound.data import Data, Tasks
from rootbound.datasets import Dataset
from rootbound.networks import Classifier, build, from_transformers, pretrained_tokeniser
from rootbound.networks.weights import own_weights, weights_digest
from rootbound.publishing import Origin, load_checkpoint, load_model, save_model
from rootbound.publishing.card import SCHEMA
from rootbound.publishing.header import Header
from rootbound.publishing.transformers_folder import to_transformers_files
from rootbound.records import Configuration, Evaluation
from tiny import transformers

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

ORIGIN = Origin(
    Configuration("Plain", {}), "undefended", "toy", "toy", "0-2", "3-5", seed=1, shared=False
)
NAMES = ("games", "<b>mail</b>", "müsli")
families = pytest.mark.parametrize("family", list(tiny.ROWS))


def publish(model: Classifier, folder: Path, family: str) -> Path:
    metadata = Header(model.architecture, model.classes, tiny.shape(family), ORIGIN).to_metadata()
    for name, content in to_transformers_files(model, NAMES, "", metadata).items():
        write_atomically(folder / name, content)
    return folder


@families
def test_library_reads_a_published_model(family: str, tmp_path: Path) -> None:
    model, samples = from_transformers(tiny.network(family)).eval(), tiny.samples(family)
    publish(model, tmp_path, family)
    plain = getattr(transformers, tiny.AUTO[family]).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(tiny.logits(plain, samples), model(samples), rtol=0, atol=1e-5)
    if family != "gpt2":
        assert tuple(plain.config.id2label.values()) == NAMES


@families
def test_rootbound_reads_a_published_model(family: str, tmp_path: Path) -> None:
    model, samples = from_transformers(tiny.network(family)).eval(), tiny.samples(family)
    loaded, origin = load_checkpoint(str(publish(model, tmp_path, family)))
    assert origin == ORIGIN
    assert weights_digest(own_weights(loaded)) == weights_digest(own_weights(model))
    assert torch.equal(loaded.eval()(samples), model(samples))
    save_model(loaded, tmp_path / "again.safetensors", tiny.shape(family), origin)
    again, _ = load_model(tmp_path / "again.safetensors")
    assert torch.equal(again.eval()(samples), model(samples))


def test_refuses_missing_weights(tmp_path: Path) -> None:
    path = publish(from_transformers(tiny.network("bert")), tmp_path, "bert") / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for name in ("classifier.bias", "bert.embeddings.word_embeddings.weight"):
        save_file({key: weights[key] for key in weights if key != name}, path, metadata)
        with pytest.raises(InputError, match="do not fit"):
            load_checkpoint(str(tmp_path))
    save_file({**weights, "stranger": torch.zeros(1)}, path, metadata)
    with pytest.raises(InputError, match="do not fit"):
        load_checkpoint(str(tmp_path))


WORDS = ("chess", "dice", "spam", "post", "http", "html")


@pytest.fixture(scope="module")
def pretrained(made_once: Callable[..., Path]) -> Path:
    """Return a folder with a network and its tokeniser, whose padding is not 0."""
    return made_once("my hub", lambda folder: make_pretrained(folder / "tiny bert")) / "tiny bert"


def make_pretrained(folder: Path, words: Sequence[str] = WORDS) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    known = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", *words]
    numbers = {word: number for number, word in enumerate(known)}
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbers, unk_token="[UNK]"))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        unk_token="[UNK]",
    )  # fmt: skip
    fast.save_pretrained(folder)
    tiny.network("bert", pad_token_id=3).save_pretrained(folder)


@pytest.fixture(scope="module")
def made(
    pretrained: Path, made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder in which texts are, and a model was trained, attacked and published."""
    hf = pytest.importorskip("datasets")
    hf.config.HF_DATASETS_CACHE = str(tmp_path_factory.mktemp("cache"))
    return made_once("my own place", lambda folder: train_attack_and_publish(pretrained, folder))


def train_attack_and_publish(pretrained: Path, root: Path) -> None:
    (root / "texts").mkdir(parents=True)
    for part, rows in (("train", 80), ("test", 16)):
        with (root / "texts" / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["words", "kind"])
            for row in range(rows):
                text = " ".join((WORDS[row % 4], WORDS[4], WORDS[row % 4])[: 1 + row % 3])
                writer.writerow([text, "abcd"[row % 4]])
    table = ["--data", str(root / "texts"), "--input-column", "words", "--label-column", "kind"]
    split = ["--desirable", "a,b", "--undesirable", "c,d", "--epochs", "1", "--length", "3"]
    model, run, out = (str(root / name) for name in ("m.safetensors", "run", "out"))
    assert main(["train", *table, *split, "--model", f"hf:{pretrained}", "--out", model]) == 0
    spent = [*FEW, "--labels", "5", "--steps", "2", "--seeds", "1", "--workers", "1"]
    assert main(["audit", model, *spent, "--out", run]) == 0
    assert main(["export", model, run, "--out", out]) == 0


def test_public_model_must_use_the_same_tokens(pretrained: Path, tmp_path: Path) -> None:
    make_pretrained(tmp_path / "copy")
    make_pretrained(tmp_path / "other", WORDS[::-1])
    tokens = Data(torch.randint(1, 10, (40, 3)), torch.arange(40) % 4)
    tasks = Tasks.alone(Dataset("texts", tuple("abcd"), tokens, tokens).task([2, 3]))
    audited = resolve_transformers(f"hf:{pretrained}")
    copy = resolve_public(f"hf:{tmp_path / 'copy'}", NetworkOptions())
    assert build_public(copy, audited, tasks).classes == tiny.CLASSES
    words = NetworkSource("small_text", header=Header("small_text", 3, (3,), ORIGIN))
    for source in (resolve_transformers(f"hf:{tmp_path / 'other'}"), words):
        with pytest.raises(InputError, match=r"with others .* one with the same tokeniser"):
            build_public(source, audited, tasks)


READER = """
import json, sys
from transformers import AutoModelForSequenceClassification, AutoTokenizer
folder = sys.argv[1]
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokeniser = AutoTokenizer.from_pretrained(folder)
batch = tokeniser(json.loads(sys.argv[2]), padding=True, return_tensors="pt")
print(json.dumps([model(**batch).logits.tolist(), model.config.id2label]))
assert not any(name.startswith("rootbound") for name in sys.modules)
"""


@pytest.mark.slow
def test_command_line_export_loads_in_transformers(made: Path) -> None:
    texts = ["chess http chess", "spam", "unheard dice dice"]
    shown = subprocess.run(
        [sys.executable, "-c", READER, str(made / "out"), json.dumps(texts)],
        capture_output=True, text=True, check=True, timeout=200,
    ).stdout  # fmt: skip
    found, names = json.loads(shown.splitlines()[-1])
    assert names == {"0": "a", "1": "b"}
    model = load_model(made / "m.safetensors")[0].eval()
    tokens = pretrained_tokeniser(str(made / "out"))(texts, 16)
    torch.testing.assert_close(model(tokens), torch.tensor(found), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_folder_hides_local_paths(made: Path, pretrained: Path) -> None:
    for path in (made / "out").iterdir():
        for word in (made.name, made.parent.name, pretrained.parent.name):
            assert word.encode() not in path.read_bytes(), path.name
    told = load_model(made / "out" / "model.safetensors")[1]
    assert (told.data, told.tokeniser) == ("…/texts", "hf:…/tiny bert")


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_folder_has_a_card_and_can_be_audited(made: Path, tmp_path: Path) -> None:
    card = json.loads((made / "out" / "card.json").read_text())
    jsonschema.validate(card, SCHEMA)
    assert card["model"]["architecture"] == "bert of transformers"
    readme = (made / "out" / "README.md").read_text()
    assert "library_name: transformers" in readme
    assert 'AutoModelForSequenceClassification.from_pretrained("out")' in readme
    loaded, origin = load_checkpoint(str(made / "out"))
    assert origin.tokeniser == f"hf:{made / 'out'}", "that of another machine"
    data = ["--data", str(made / "texts")]
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    out = ["--out", str(tmp_path / "again")]
    assert main(["audit", str(made / "out"), *data, *spent, *out]) == 0
    assert card["inputs"]["shape"] == [3], "the texts' length is kept with the model"
    assert Evaluation.load(tmp_path / "again").context["desirable"]["inputs"] == card["inputs"]
    assert weights_digest(own_weights(loaded)) == card["weights_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True], ids=["as trained", "named as files once were"])
@pytest.mark.usefixtures("no_figures")
def test_image_model_export_loads_in_transformers(
    named: bool, toy_folder: Path, tmp_path: Path
) -> None:
    tiny.network("vit", num_channels=1).save_pretrained(tmp_path / "tiny vit")
    table = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    path, run, out = tmp_path / "m.safetensors", str(tmp_path / "run"), tmp_path / "out"
    network = f"hf:{tmp_path / 'tiny vit'}"
    train = ["--method", "Plain", "--epochs", "1", "--model", network, "--out", str(path)]
    assert main(["train", *table, *train]) == 0
    model, origin = load_model(path)
    assert origin.tokeniser == "", "images have none"
    if named:
        save_model(model, path, (1, 16, 16), replace(origin, tokeniser=network))
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    assert main(["audit", str(path), *spent, "--out", run]) == 0
    assert main(["export", str(path), run, "--out", str(out)]) == 0
    plain = transformers.AutoModelForImageClassification.from_pretrained(out).eval()
    samples = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        tiny.logits(plain, samples), model.eval()(samples), rtol=0, atol=1e-5
    )
    assert plain.config.id2label == {0: "0", 1: "1", 2: "2"}


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_resizes_images_for_a_fixed_size_network(toy_folder: Path, tmp_path: Path) -> None:
    tiny.network("vit", image_size=24).save_pretrained(tmp_path / "tiny")
    network, path = f"hf:{tmp_path / 'tiny'}", str(tmp_path / "m.safetensors")
    table = ["--data", str(toy_folder), "--desirable", "0-2", "--undesirable", "3-5"]
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    train = ["--method", "Plain", "--epochs", "1"]
    assert main(["train", *table, *train, "--model", network, "--out", path]) == 0
    out = [str(tmp_path / one) for one in ("a", "b", "c", "d")]
    assert main(["audit", path, *spent, "--out", out[0]]) == 0
    assert main(["audit", network, *table, *spent, "--out", out[1]]) == 0
    alone = ["--data", str(toy_folder), "--undesirable", "3-5"]
    assert main(["audit", path, *alone, *spent, "--out", out[2]]) == 0
    compared = ["--methods", "Plain", "--epochs", "1", "--model", network]
    assert main(["compare", *table, *compared, *spent, "--out", out[3]]) == 0
    for folder in out:
        told = Evaluation.load(Path(folder)).context["undesirable"]["conversion"]
        assert "resized from 16x16 to 24x24" in told


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_plain_model_is_attacked_as_its_file_says(made: Path, tmp_path: Path) -> None:
    data = ["--data", str(made / "texts")]
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["audit", f"hf:{made / 'out'}", *data, *spent, *out]) == 0
    plain, ours = Evaluation.load(tmp_path / "run").context, Evaluation.load(made / "run").context
    assert plain["adaptive"] == ours["adaptive"] != []
    assert set(plain["weights"].values()) <= set(ours["weights"].values())


@pytest.mark.slow
@pytest.mark.parametrize("tampered", ["card.json", "model.safetensors"])
def test_refuses_a_plain_model_of_another_card(
    tampered: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(made / "out", tmp_path / "out"))
    path = folder / tampered
    if tampered == "card.json":
        path.write_text(path.read_text().replace('"weights_sha256": "', '"weights_sha256": "f'))
    else:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file({**weights, "classifier.bias": weights["classifier.bias"] + 1}, path, metadata)
    capsys.readouterr()
    out = tmp_path / "run"
    table = ["--data", str(made / "texts"), "--input-column", "words", "--label-column", "kind"]
    split, model = ["--desirable", "a,b", "--undesirable", "c,d"], f"hf:{folder}"
    for command in (
        ["audit", model, *table, "--seeds", "1"],
        ["train", "--model", model, *table, *split],
        ["train", "--from", str(folder), *table, *split],
        ["compare", "--methods", "Plain", "--model", model, *table, *split],
    ):
        assert main([*command, "--out", str(out)]) == 2
        assert "do not trust the card" in capsys.readouterr().err
        assert not out.exists()


def test_word_pieces_use_the_numbers_of_the_model(pretrained: Path) -> None:
    tokeniser = pretrained_tokeniser(str(pretrained))
    texts = ["chess", "", "dice unheard spam"]
    tokens = tokeniser(texts, 16)
    names: Any = tokeniser.vocabulary()
    assert [[names[number] for number in row] for row in tokens.tolist()] == [
        ["[CLS]", "chess", "[SEP]", "[PAD]", "[PAD]"],
        ["[CLS]", "[SEP]", "[PAD]", "[PAD]", "[PAD]"],
        ["[CLS]", "dice", "[UNK]", "spam", "[SEP]"],
    ]
    assert tokens[1].tolist()[2:] == [0, 0, 0], "padding is 0 with us"
    assert tokeniser(texts, 3).shape == (3, 3)
    model = build(f"hf:{pretrained}", 3, (5,)).eval()
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(pretrained).eval()
    batch = tokeniser.inner(texts, padding=True, return_tensors="pt")
    expected = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(model(tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2])
def test_keeps_a_length_without_room_for_words(length: int, pretrained: Path) -> None:
    tokeniser = pretrained_tokeniser(str(pretrained))
    assert tokeniser(["chess dice"], length).shape == (1, length)


def test_padding_written_in_a_text_is_a_word(pretrained: Path) -> None:
    tokens = pretrained_tokeniser(str(pretrained))(["chess [PAD] dice", "dice"], 16)
    model = build(f"hf:{pretrained}", 3, (5,)).eval()
    without, moved = model(tokens[1:]), model(tokens)
    torch.testing.assert_close(moved[1:], without, rtol=0, atol=1e-5)
    cut = tokens[:1].clone()
    cut[0, 3:] = 0
    assert not torch.allclose(moved[:1], model(cut)), "what follows is not seen"


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_foreign_folder_is_audited_with_its_own_head(
    made: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ["--data", str(made / "texts"), "--input-column", "words", "--label-column", "kind"]
    spent = [*FEW, "--labels", "2", "--steps", "1", "--seeds", "1", "--workers", "1"]
    out = ["--out", str(tmp_path / "run")]
    audit = ["audit", f"hf:{pretrained}", *table, *spent, *out, "--undesirable", "d"]
    assert main([*audit, "--desirable", "a,b"]) == 2
    assert "at least two undesirable classes" in capsys.readouterr().err
    audit = [*audit[:-2], "--undesirable", "c,d"]
    assert main([*audit, "--desirable", "a,b"]) == 2
    assert "a head for 2 desirable classes" in capsys.readouterr().err, "another head was drawn"
    tiny.network("bert", pad_token_id=3, num_labels=2).save_pretrained(tmp_path / "two")
    tokeniser = pretrained_tokeniser(str(pretrained))
    tokeniser.inner.save_pretrained(tmp_path / "two")
    assert main(["audit", f"hf:{tmp_path / 'two'}", *audit[2:], "--desirable", "a,b"]) == 0
    found = Evaluation.load(tmp_path / "run")
    model = from_transformers(tiny.network("bert", pad_token_id=3, num_labels=2))
    assert list(found.context["weights"].values()) == [weights_digest(own_weights(model))]
    assert {record.error for record in found.records} == {None}
    named = [f"hf:{tmp_path / 'two'}", str(tmp_path / "run"), "--out", str(tmp_path / "published")]
    assert main(["export", *named]) == 0
    published, origin = load_checkpoint(str(tmp_path / "published"))
    assert weights_digest(own_weights(published)) == weights_digest(own_weights(model))
    assert not origin.is_known and origin.tokeniser == f"hf:{tmp_path / 'published'}"
    jsonschema.validate(json.loads((tmp_path / "published" / "card.json").read_text()), SCHEMA)
