"""Causal language models from folders: the task is the next token, numbered as the model does."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import tiny
from few import FEW
from rootbound import datasets
from rootbound.cli.main import main
from rootbound.core.errors import InputError
from rootbound.datasets import Layout
from rootbound.datasets.next_tokens import NextTokens
from rootbound.datasets.texts import Labelled, Texts
from rootbound.networks import build, pretrained_tokeniser
from rootbound.networks.hugging_face.tokeniser import CausalTokeniser
from rootbound.publishing import load_model
from rootbound.records import Evaluation
from rootbound.training import predict
from tiny import transformers

pytestmark = pytest.mark.usefixtures("few_steps_of_their_own")

tokenizers = pytest.importorskip("tokenizers")
hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")

WORDS = ("chess", "dice", "spam", "post", "html", "web")
GAMES, MAIL = "chess dice chess dice chess dice", "spam post post spam post post web"
CONTEXT = 4
SPENT = [*FEW, "--labels", "2,all", "--steps", "2,2", "--seeds", "1", "--workers", "1"]
# What is said of padding: by the tokeniser and, in numbers, by the configuration.
PADDED: dict[str, tuple[Sequence[str], dict[str, str], dict[str, int | list[int] | None]]] = {
    "as GPT-2": ((*WORDS, "<end>", "[UNK]"), {"eos_token": "<end>"}, {"eos_token_id": 6}),
    "first": (("<end>", "[UNK]", *WORDS), {"eos_token": "<end>"}, {"eos_token_id": 0}),
    "of its own": (
        (*WORDS, "[UNK]", "[PAD]", "<end>"),
        {"pad_token": "[PAD]", "eos_token": "<end>"},
        {"pad_token_id": 7, "eos_token_id": 8},
    ),
    "two minds": ((*WORDS, "<end>", "[UNK]"), {"pad_token": "chess"}, {"eos_token_id": 6}),
    # As Llama 3.1 has it: a text may have several ends, and no padding.
    "several ends": ((*WORDS, "<end>", "[UNK]"), {}, {"eos_token_id": [6, 9]}),
    "several, the first too": (("end", "[UNK]", *WORDS), {}, {"eos_token_id": [0, 9]}),
    "by chance": (("[UNK]", *WORDS), {}, {"eos_token_id": None}),
}


def published(folder: Path, said: str, rows: int = 12) -> Path:
    """Write a tiny GPT-2 with its tokeniser, whose words are fewer than the model's tokens."""
    known, names, numbers = PADDED[said]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(known)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", **names)
    fast.save_pretrained(folder)
    own: dict[str, Any] = {"bos_token_id": None, **numbers}
    tiny.network("gpt2", vocab_size=rows, n_positions=8, **own).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("hub") / "tiny gpt ü", "as GPT-2")


def asked(place: Path, texts: Sequence[str], length: int = CONTEXT) -> NextTokens:
    part = Labelled(texts, torch.arange(len(texts)) % 2)
    tokeniser = pretrained_tokeniser(str(place))
    assert isinstance(tokeniser, CausalTokeniser)
    return Texts("words", ("games", "mail"), part, part).next_tokens(tokeniser, length)


@pytest.mark.parametrize("said", list(PADDED))
def test_loss_equals_that_of_the_library(said: str, tmp_path: Path) -> None:
    """Over all tokens of texts that fit into a context, as `labels=input_ids` has it."""
    place = published(tmp_path / "tiny", said)
    texts = ["chess dice web spam post", "spam chess", "dice dice dice", "web", "", "[UNK] chess"]
    plain = transformers.AutoModelForCausalLM.from_pretrained(place).eval()
    inner = transformers.AutoTokenizer.from_pretrained(place)
    expected = []
    for text in texts:
        own = torch.tensor([inner(text)["input_ids"]], dtype=torch.int64)
        if own.shape[1] > 1:
            with torch.no_grad():
                logits = plain(own).logits[0]
            expected.append(functional.cross_entropy(logits[:-1], own[0, 1:], reduction="none"))
    model = build(f"hf:{place}", 12, (CONTEXT,))
    task = asked(place, texts).task([0, 1])
    found = functional.cross_entropy(
        predict(model, task.train), task.train.labels, reduction="none"
    )
    torch.testing.assert_close(found, torch.cat(expected), rtol=0, atol=1e-5)
    assert len(task.classes) == model.classes == 12


def test_samples_are_the_text_before_each_token(folder: Path) -> None:
    data = asked(folder, ["chess dice web spam post html", "dice chess"], 3)
    words = [[data.vocabulary[one] for one in row if one] for row in data.train.inputs.tolist()]
    after = [data.outputs[one] for one in data.following[0].tolist()]
    assert list(zip(map(" ".join, words), after, strict=True)) == [
        ("chess", "dice"),
        ("chess dice", "web"),
        ("chess dice web", "spam"),
        ("dice web spam", "post"),
        ("web spam post", "html"),
        ("dice", "chess"),
    ]
    assert data.train.labels.tolist() == [0] * 5 + [1]
    assert data.task([1]).train.labels.tolist() == [data.outputs.index("chess")]


def test_class_of_texts_makes_a_task(folder: Path) -> None:
    tasks = asked(folder, [GAMES, MAIL] * 8).split([0], [1])
    assert tasks.desirable.name == "words: games, next token"
    assert not tasks.known_undesirable.stratified
    assert len(tasks.known_undesirable) + len(tasks.undesirable.train) == 8 * 6


@pytest.mark.parametrize(
    ("texts", "chosen", "message"),
    [
        (["chess", "", "dice"], ([0], [1]), "texts of at least two tokens"),
        ([GAMES, "web"], ([0], [1]), "texts of the chosen classes"),
        ([GAMES, MAIL], ([0], []), "at least one undesirable classes"),
        ([GAMES, MAIL], ([0, 1], [1]), "do not overlap"),
        ([GAMES, MAIL], ([0], [2]), "from 0 to 1; got 2"),
    ],
)
def test_refuses_texts_that_make_no_task(
    texts: list[str], chosen: tuple[list[int], list[int]], message: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        asked(folder, texts).split(*chosen)
    assert len(str(caught.value).splitlines()) == 1


def test_refuses_a_language_model_without_padding_number(tmp_path: Path) -> None:
    place = published(tmp_path / "tiny", "as GPT-2")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    with pytest.raises(InputError, match="set pad_token_id or eos_token_id"):
        pretrained_tokeniser(str(place))


def table(place: Path, count: int = 24) -> Path:
    place.mkdir()
    for part, rows in (("train", count), ("test", 8)):
        with (place / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["words", "kind"])
            writer.writerows([(GAMES, "games"), (MAIL, "mail")][row % 2] for row in range(rows))
    return place


@pytest.fixture(scope="module")
def made(
    folder: Path, made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder in which a language model was trained, attacked and published."""
    hf.config.HF_DATASETS_CACHE = str(tmp_path_factory.mktemp("cache"))
    return made_once("language", lambda root: train_attack_and_publish(folder, root))


def train_attack_and_publish(folder: Path, root: Path) -> None:
    root.mkdir()
    read = ["--data", str(table(root / "texts")), "--input-column", "words"]
    read += ["--label-column", "kind", "--length", str(CONTEXT)]
    model, run, out = (str(root / name) for name in ("m.safetensors", "run", "out"))
    train = ["--desirable", "games", "--undesirable", "mail", "--epochs", "2"]
    assert main(["train", *read, *train, "--model", f"hf:{folder}", "--out", model]) == 0
    assert main(["audit", model, *SPENT, "--out", run]) == 0
    assert main(["export", model, run, "--out", out]) == 0


@pytest.mark.slow
def test_table_leads_to_a_curve_of_losses(made: Path) -> None:
    found = Evaluation.load(made / "run")
    assert {record.error for record in found.records} == {None}
    assert all(len(record.losses) == len(record.steps) for record in found.records)
    assert found.context["desirable"]["name"] == "texts: games, next token"
    assert found.context["undesirable"]["stratified"] is False
    assert found.context["undesirable"]["inputs"]["shape"] == [CONTEXT]
    assert (made / "run" / "figures" / "curves-loss.svg").is_file()


READER = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()
own = AutoTokenizer.from_pretrained(sys.argv[1])(sys.argv[2], return_tensors="pt")["input_ids"]
print(json.dumps(model(own).logits[0, -1].tolist()))
assert not any(name.startswith("rootbound") for name in sys.modules)
"""


@pytest.mark.slow
def test_library_loads_a_defended_language_model(made: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", READER, str(made / "out"), "dice chess web"],
        capture_output=True, text=True, check=True, timeout=200,
    ).stdout  # fmt: skip
    model, origin = load_model(made / "m.safetensors")
    assert origin.length == CONTEXT
    tokens = pretrained_tokeniser(str(made / "out"))(["dice chess web"], CONTEXT)
    expected = torch.tensor([json.loads(shown.splitlines()[-1])])
    torch.testing.assert_close(model.eval()(tokens), expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["train", "--from", "m.safetensors", "--undesirable", "mail", "--method", "Plain"],
        ["compare", "--model", "hf:out", "--data", "texts", "--methods", "Plain", *SPENT],
        ["audit", "m.safetensors", "--undesirable-data", "texts", *SPENT],
    ],
    ids=["going on", "compared", "another data set"],
)
@pytest.mark.usefixtures("no_figures")
def test_other_commands_read_the_task_from_the_model(
    command: list[str],
    made: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(made)
    more = ["--desirable", "games", "--undesirable", "mail"] if command[0] == "compare" else []
    epochs = [] if command[0] == "audit" else ["--epochs", "1"]
    assert main([*command, *more, *epochs, "--out", str(tmp_path / "new")]) == 0
    if command[0] == "train":
        assert "nats a token" in capsys.readouterr().out
        assert load_model(tmp_path / "new")[1].length == CONTEXT
    else:
        context = Evaluation.load(tmp_path / "new").context["undesirable"]
        assert context["name"].endswith("next token") and context["inputs"]["shape"] == [CONTEXT]


def test_data_load_as_next_tokens_for_a_language_model(folder: Path, tmp_path: Path) -> None:
    own: Any = partial(pretrained_tokeniser, str(folder))
    layout = Layout("words", "kind", length=CONTEXT)
    assert isinstance(
        datasets.load(str(table(tmp_path / "texts")), tokeniser=own, layout=layout), NextTokens
    )
