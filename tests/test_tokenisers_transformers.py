"""Tokenisers of pretrained models: whether two are the same, and what each number stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootbound.networks import pretrained_tokeniser
from rootbound.networks.hugging_face.tokeniser import CausalTokeniser, PretrainedTokeniser
from test_causal import WORDS, published
from test_export_transformers import make_pretrained

TEXTS = ["chess dice spam", "", "unheard chess"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hub") / "tiny"
    make_pretrained(place)
    return place


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("hub") / "tiny", "as GPT-2")


def test_use_does_not_change_a_tokeniser(folder: Path) -> None:
    used, unused = (pretrained_tokeniser(str(folder)) for _ in range(2))
    used(TEXTS, 3)
    used.inner(TEXTS, padding=True)
    assert used.identity == unused.identity != ""


def _pad_otherwise(one: PretrainedTokeniser) -> PretrainedTokeniser:
    return PretrainedTokeniser(one.inner, one.padding + 1)


def _keep_the_end(one: PretrainedTokeniser) -> PretrainedTokeniser:
    one.inner.truncation_side = "left"
    return one


def _learn_a_word(one: PretrainedTokeniser) -> PretrainedTokeniser:
    one.inner.add_tokens(["castle"])
    return one


@pytest.mark.parametrize("change", [_pad_otherwise, _keep_the_end, _learn_a_word])
def test_any_change_of_tokens_makes_another_tokeniser(
    change: Callable[[PretrainedTokeniser], PretrainedTokeniser], folder: Path
) -> None:
    texts = ["castle chess dice spam chess", "dice"]
    before, after = (pretrained_tokeniser(str(folder)) for _ in range(2))
    after = change(after)
    assert before(texts, 5).tolist() != after(texts, 5).tolist()
    assert before.identity != after.identity


@pytest.mark.parametrize("padding", [0, 3, 10, 30])
def test_numbers_match_their_pieces(padding: int, folder: Path) -> None:
    """Also where the model's number for padding is none of its tokeniser's."""
    inner = pretrained_tokeniser(str(folder)).inner
    tokeniser = PretrainedTokeniser(inner, padding)
    pieces: Any = tokeniser.vocabulary()
    for row, text in zip(tokeniser(TEXTS, 16).tolist(), TEXTS, strict=True):
        own = inner.convert_ids_to_tokens(inner(text)["input_ids"])
        assert [pieces[number] for number in row][: len(own)] == own
        assert not any(row[len(own) :]), "padding is 0"


def test_pieces_match_the_size_of_the_model(language: Path) -> None:
    inner = pretrained_tokeniser(str(language)).inner
    assert len(inner) == len(WORDS) + 2
    for size in (len(WORDS), len(inner), len(inner) + 3):
        tokeniser = CausalTokeniser(inner, 6, size)
        assert len(tokeniser.pieces) == size
        known = min(size, len(inner))
        assert tokeniser.pieces[:known] == tuple(inner.convert_ids_to_tokens(range(known)))
        assert set(tokeniser.pieces[known:]) <= {""}


def test_empty_texts_have_one_column(language: Path) -> None:
    """A network cannot take texts without any token."""
    tokens = pretrained_tokeniser(str(language))(["", ""], 4)
    assert tokens.tolist() == [[0], [0]]
