"""Texts as numbers, which depend on the text alone, whatever it contains and however long it is."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from rootbound.core.errors import InputError
from rootbound.data import PADDING, Data, TaskPair
from rootbound.data.mapped import MappedRows
from rootbound.datasets import HashedWords, Letters, cache, fitted, tokens
from rootbound.datasets.dataset import Layout
from rootbound.datasets.texts import Labelled, Texts
from rootbound.datasets.tokenisers import WORD, pad
from rootbound.datasets.tokens import Tokens
from rootbound.networks.hugging_face.tokeniser import PretrainedTokeniser

STRANGE = ("", " \n\t", "a" * 100_000, "word " * 25_000, "<b>&</b>", "Ünï 漢字 🌱", "\ud800", "\0")
NAMES = ("games", "<script>alert(1)</script>", "müsli & co")


def labelled(count: int) -> Labelled:
    texts = tuple(f"text {row} of class {row % 3}, {STRANGE[row % 6][:40]}" for row in range(count))
    return Labelled(texts, torch.arange(count) % 3)


@pytest.fixture
def texts() -> Texts:
    return Texts("toy texts", NAMES, labelled(30), labelled(12))


def test_words_have_the_same_numbers_in_every_process() -> None:
    """Python's own hash differs from one process to the next."""
    code = (
        "from rootbound.datasets import HashedWords;"
        "print(HashedWords()(['Grows well in its own pot.'], 9).tolist())"
    )
    shown = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=200,
        ).stdout
        for seed in ("1",)  # the process of the tests has another seed
    ]
    assert shown[0] == f"{HashedWords()(['grows Well in its own pot .'], 9).tolist()}\n"


@given(st.lists(st.text(max_size=40), max_size=6), st.integers(1, 12), st.integers(2, 50))
def test_hashed_words_are_independent(texts: list[str], length: int, size: int) -> None:
    tokeniser = HashedWords(size)
    together = tokeniser(texts, length)
    assert together.dtype == torch.int32 and together.shape[1] <= length
    for text, row in zip(texts, together, strict=True):
        alone = tokeniser([text], length)[0]
        kept = row[: len(alone)]
        assert torch.equal(kept, alone) and not bool(row[len(alone) :].any())
        assert bool((kept < size).all()) and int((kept != PADDING).sum()) in (0, len(alone))
        words = tokeniser.vocabulary([text])
        assert all(words[number] for number in kept.tolist() if number)


@given(st.lists(st.text(max_size=40), max_size=6), st.integers(2, 50))
def test_number_stands_for_its_first_word(texts: list[str], size: int) -> None:
    words = [word for text in texts for word in WORD.findall(text.lower())]
    expected = [""] * size
    for word in reversed(words):
        expected[int(HashedWords(size)([word], 1))] = word
    assert HashedWords(size).vocabulary(iter(texts)) == tuple(expected)


def test_holds_no_more_words_than_the_vocabulary() -> None:
    tracemalloc.start()
    try:
        found = HashedWords().vocabulary(f"word{row}" for row in range(40_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(set(found)) > 14_000 and peak < 4 * 2**20


@pytest.mark.parametrize("at_once", [1, 3, 1000])
@pytest.mark.parametrize("in_memory", [0, 4])
@pytest.mark.parametrize("tokeniser", [HashedWords(), Letters("abc ")], ids=repr)
def test_tokenising_in_parts_changes_nothing(
    tokeniser: HashedWords | Letters,
    in_memory: float,
    at_once: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path))
    monkeypatch.setattr(tokens, "AT_ONCE", at_once)
    for length in (1, 40, 30_000):
        made = Tokens(tokeniser, STRANGE, length, in_memory)
        expected = tokeniser(STRANGE, length)
        assert made.width == expected.shape[1]
        found = made.to_width(made.width + 2)
        assert isinstance(found, MappedRows) == (in_memory == 0)
        assert torch.equal(found[:], functional.pad(expected, (0, 2)))


@pytest.mark.parametrize("tokeniser", [HashedWords(), Letters("abc ")], ids=repr)
@pytest.mark.parametrize("text", STRANGE, ids=lambda text: repr(text[:12]))
def test_tokenises_unusual_texts(tokeniser: HashedWords | Letters, text: str) -> None:
    tokens = tokeniser([text, "a b"], 64)
    assert tokens.shape[1] <= 64
    assert torch.equal(tokens[1, :2], tokeniser(["a b"], 64)[0, :2])
    assert bool((tokens >= 0).all())


def test_letters_are_numbered_in_the_given_order() -> None:
    letters = Letters("ab")
    assert letters(["abz", "b"], 64).tolist() == [[2, 3, 1], [3, 0, 0]]
    assert letters(["abz"], 2).tolist() == [[2, 3]]
    assert letters.vocabulary()[2:] == ("a", "b")


class ThreePieces:
    """Has what is asked of a tokeniser of `transformers` that knows three pieces."""

    def __len__(self) -> int:
        return 3

    def convert_ids_to_tokens(self, numbers: range) -> list[str]:
        return [f"piece {number}" for number in numbers]


def test_padding_may_lie_beyond_what_a_tokeniser_knows() -> None:
    pieces = PretrainedTokeniser(ThreePieces(), padding=4).vocabulary()
    assert pieces == ("", "piece 1", "piece 2", "", "piece 0")


def test_pads_rows() -> None:
    assert pad([[1], [], [2, 3]]).tolist() == [[1, 0], [0, 0], [2, 3]]
    assert pad([[], []]).shape == (2, 1)
    assert pad([]).shape == (0, 1)


def test_tokens_are_not_scaled(texts: Texts) -> None:
    data = texts.tokenised().train
    inputs, labels = data.batch(torch.tensor([3, 1]))
    assert inputs.dtype == torch.int64 and torch.equal(inputs, data.inputs[[3, 1]].long())
    assert labels.tolist() == [0, 1]
    assert data.tokens and not Data(torch.zeros(1, 3).byte(), torch.zeros(1).long()).tokens


def test_texts_become_rows_of_one_width(texts: Texts) -> None:
    found = texts.tokenised(length=7)
    assert found.train.shape == found.test.shape == (7,)
    assert found.classes == NAMES and found.name == "toy texts"
    whole = texts.tokenised(length=10_000)
    assert torch.equal(whole.train.inputs[:, :7], found.train.inputs)
    first = whole.train.inputs[0]
    shown = [whole.vocabulary[number] for number in first.tolist() if number]
    assert shown == ["text", "0", "of", "class", "0", ","]


def test_converts_texts_of_another_length(texts: Texts) -> None:
    found = texts.tokenised()
    longer = fitted(found, (90,))
    assert longer.train.shape == longer.test.shape == (90,)
    assert torch.equal(fitted(longer, found.train.shape).train.inputs, found.train.inputs)
    assert torch.equal(fitted(found, (3,)).test.inputs, found.test.inputs[:, :3])
    with pytest.raises(InputError, match="only images"):
        fitted(found, (1, 8, 8))


@pytest.mark.parametrize("length", [0, -5])
def test_refuses_a_length_of_zero(length: int) -> None:
    with pytest.raises(InputError, match="at least 1 token"):
        Layout(length=length)


def read(data: Data, names: tuple[str, ...]) -> list[str]:
    rows = torch.cat([data.inputs.long(), data.labels.unsqueeze(1)], dim=1).tolist()
    return ["".join(names[number] for number in row) for row in rows]


@pytest.mark.parametrize(("context", "step"), [(4, 1), (8, 3), (5, 7)])
def test_next_letters_equal_brute_force(texts: Texts, context: int, step: int) -> None:
    pair = texts.next_letters([0, 2], [1], context, step)
    known = set("\n".join(pair_texts(texts.train, (0, 2))) + "\n")
    unknown = "\N{REPLACEMENT CHARACTER}"
    assert set(pair.desirable.vocabulary[2:]) == known
    assert pair.desirable.vocabulary == pair.undesirable.vocabulary == pair.desirable.classes

    def expected(part: Labelled, chosen: tuple[int, ...]) -> list[str]:
        text = "\n".join(pair_texts(part, chosen))
        text = "".join(letter if letter in known else unknown for letter in text)
        return [text[at : at + context + 1] for at in range(0, len(text) - context, step)]

    names = pair.desirable.vocabulary
    assert read(pair.desirable.train, names) == expected(texts.train, (0, 2))
    assert read(pair.desirable.test, names) == expected(texts.test, (0, 2))
    assert read(pair.undesirable.test, names) == expected(texts.test, (1,))
    halves = [*read(pair.undesirable.train, names), *read(pair.known_undesirable, names)]
    assert sorted(halves) == sorted(expected(texts.train, (1,)))


def pair_texts(part: Labelled, chosen: tuple[int, ...]) -> list[str]:
    return [text for text, label in zip(part.texts, part.labels, strict=True) if label in chosen]


@pytest.mark.parametrize("chosen", [[], [0]])
def test_refuses_too_few_letters(texts: Texts, chosen: list[int]) -> None:
    with pytest.raises(InputError, match="more than 5000 letters"):
        texts.next_letters(chosen, [1], context=5000)


def letters_pair(texts: Texts) -> TaskPair:
    return texts.next_letters([0], [1], context=6)


def test_letter_draws_ignore_classes(texts: Texts) -> None:
    """Some letters come once: as many of each could not be drawn."""
    data, generator = letters_pair(texts).undesirable.train, torch.Generator().manual_seed(3)
    classes = len(data.labels.unique())
    drawn, rest = data.per_class(2, generator)
    assert (len(drawn), len(drawn) + len(rest)) == (2 * classes, len(data))
    assert not drawn.stratified and not rest.stratified
    assert sorted(rows(drawn) + rows(rest)) == sorted(rows(data))
    again, _ = data.per_class(2, torch.Generator().manual_seed(3))
    assert torch.equal(again.inputs, drawn.inputs)
    first, second = data.halves(generator)
    assert len(second) - len(first) in (0, 1)
    assert sorted(rows(first) + rows(second)) == sorted(rows(data))
    with pytest.raises(InputError, match="more than"):
        data.per_class(len(data), generator)


def rows(data: Data) -> list[list[int]]:
    joined: Tensor = torch.cat([data.inputs.long(), data.labels.unsqueeze(1)], dim=1)
    found: list[list[int]] = joined.tolist()
    return found
