"""Files of texts as people have them: read right and said, or refused with file and line."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from rootbound.core.errors import InputError
from rootbound.datasets import Layout, Texts, hugging_face, text_files
from rootbound.datasets.text_files import AT_ONCE, check_encoding, describe_missing

hf = pytest.importorskip("datasets", reason="the extra `data` is not installed")

HEAD = "text,label\n"
GOOD = f"{HEAD}one cat,a\nzwei Bären,b\nthree,a\nfour’s,b\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def read(folder: Path, content: bytes, suffix: str = "csv", test: bytes | None = None) -> Texts:
    folder = folder / "zoo"
    folder.mkdir()
    (folder / f"train.{suffix}").write_bytes(content)
    (folder / f"test.{suffix}").write_bytes(content if test is None else test)
    found = hugging_face(str(folder), Layout("text", "label"))
    assert isinstance(found, Texts)
    return found


def lines(*texts: str | None) -> bytes:
    """Return lines of JSON with the labels `a` and `b` in turn."""
    rows = ({"text": text, "label": "ab"[row % 2]} for row, text in enumerate(texts))
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


@pytest.mark.parametrize(
    ("content", "suffix", "texts"),
    [
        (GOOD.encode(), "csv", ["one cat", "zwei Bären", "three", "four’s"]),
        (codecs.BOM_UTF8 + GOOD.encode(), "csv", ["one cat", "zwei Bären", "three", "four’s"]),
        (GOOD.replace("\n", "\r\n").encode(), "csv", ["one cat", "zwei Bären", "three", "four’s"]),
        (GOOD.replace(",", "\t").encode(), "tsv", ["one cat", "zwei Bären", "three", "four’s"]),
        (lines("zwei Bären", "犬"), "jsonl", ["zwei Bären", "犬"]),
        (codecs.BOM_UTF8 + lines("zwei Bären", "犬"), "jsonl", ["zwei Bären", "犬"]),
        (f"{HEAD}NA,a\nnull,b\nNone,a\nnan,b\n".encode(), "csv", ["NA", "null", "None", "nan"]),
        (f"{HEAD}one,a\n,b\n".encode(), "csv", ["one", ""]),
        (f'{HEAD}one,a\n"",b\n   ,a\n'.encode(), "csv", ["one", "", "   "]),
        (f"{HEAD}one,a\n\n\ntwo,b\n".encode(), "csv", ["one", "two"]),
        (f'{HEAD}"a, ""b""\nc",a\ntwo,b\n'.encode(), "csv", ['a, "b"\nc', "two"]),
        (lines("", "one"), "jsonl", ["", "one"]),
        (f"{HEAD}{'x' * 100_000},a\ntwo,b\n".encode(), "csv", ["x" * 100_000, "two"]),
        (lines("word " * 20_000, "two"), "jsonl", ["word " * 20_000, "two"]),
        (f"{HEAD}o\0ne,a\ntwo,b\n".encode(), "csv", ["o\0ne", "two"]),
    ],
    ids=[
        *("plain", "mark", "Windows' lines", "tabs", "JSON", "JSON with a mark", "words for none"),
        *("nothing", "nothing in quotes", "blank lines", "quotes", "nothing in JSON"),
        *("100,000 letters", "20,000 words", "a zero"),
    ],
)
def test_reads_texts_unchanged(
    content: bytes, suffix: str, texts: list[str], tmp_path: Path
) -> None:
    found = read(tmp_path, content, suffix)
    assert found.classes == ("a", "b")
    assert list(found.train.texts) == texts
    assert list(found.test.texts) == texts


def test_reports_empty_and_long_texts(tmp_path: Path) -> None:
    content = f'{HEAD}"",a\ntwo words,b\n{"word " * 20_000},a\n  ,b\n'.encode()
    data = read(tmp_path, content).tokenised(length=8)
    assert data.train.shape == (8,)
    assert data.conversion == "4 of 8 texts are empty; texts cut after 8 tokens"
    assert data.task("a,b").conversion == data.conversion


def test_reports_nothing_for_complete_texts(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD.encode()).tokenised().conversion == ""


@pytest.mark.parametrize(
    ("content", "suffix", "message"),
    [
        (
            GOOD.encode("utf-16"),
            "csv",
            "train.csv; got UTF-16; convert it, for example with: iconv -f utf-16",
        ),
        (GOOD.encode("utf-16-le"), "csv", "train.csv; got UTF-16"),
        (GOOD.encode("utf-16-be"), "csv", "train.csv; got UTF-16"),
        (
            GOOD.encode("utf-32"),
            "csv",
            "train.csv; got UTF-32; convert it, for example with: iconv -f utf-32",
        ),
        (GOOD.encode("cp1252"), "csv", "train.csv; got byte 0xe4 in line 3; .*-f windows-1252"),
        (GOOD.replace("’", "").encode("latin-1"), "tsv", "train.tsv; got byte 0xe4 in line 3"),
        (lines("one", "Bären").decode().encode("latin-1"), "jsonl", "jsonl; got byte 0xe4 in line"),
        (lines("one", "two").decode().encode("utf-16"), "json", "train.json; got UTF-16"),
        (GOOD.encode() + b"caf\xc3", "csv", "train.csv; got byte 0xc3 in line 6"),
        (lines("one", None), "jsonl", "a text in row 1 of train in .*; got None"),
        (f"{HEAD}one,a\ntwo,\n".encode(), "csv", "every row of .*; got none in row 1 of train"),
        (f"{HEAD}one,a\nt,w,o,b\n".encode(), "csv", "Expected 2 fields in line 3, saw 4"),
    ],
    ids=[
        *("UTF-16", "UTF-16 LE", "UTF-16 BE", "UTF-32", "Windows-1252", "Latin-1"),
        *("JSON in Latin-1", "JSON in UTF-16", "cut off", "no text", "no class", "ragged"),
    ],
)
def test_refuses_unreadable_text_with_its_place(
    content: bytes, suffix: str, message: str, tmp_path: Path
) -> None:
    good = GOOD.encode() if suffix != "jsonl" else lines("one", "two")
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content, suffix, test=good)
    assert "\n" not in str(caught.value)


def test_finds_a_wrong_byte_far_into_a_file(tmp_path: Path) -> None:
    line = "é" * 499 + "\n"  # of 999 bytes, so that letters lie across the parts that are read
    many = AT_ONCE // 999 + 5
    path = tmp_path / "train.txt"
    path.write_bytes(line.encode() * many)
    check_encoding(tmp_path)
    path.write_bytes(line.encode() * many + b"ab\xff\n")
    with pytest.raises(InputError, match=f"got byte 0xff in line {many + 1};"):
        check_encoding(path)


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 7])
def test_names_the_line_of_a_wrong_byte_for_every_reader(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "AT_ONCE", at_once)
    path, text = tmp_path / "train.txt", "ä\n\n漢字\nb\n🐝\n"
    path.write_text(text, encoding="utf-8")
    check_encoding(path)
    for place in range(len(text)):
        before, after = text[:place].encode(), text[place:].encode()
        for wrong in (b"\xff", "漢".encode()[:2]):  # no letter at all, and a part of one
            path.write_bytes(before + wrong + after)
            line = 1 + before.count(b"\n")
            with pytest.raises(InputError, match=f"byte 0x{wrong[0]:02x} in line {line};"):
                check_encoding(path)


def test_keeps_words_for_missing_values_in_csv_only(tmp_path: Path) -> None:
    assert describe_missing(tmp_path) == {}
    (tmp_path / "train.csv").touch()
    assert describe_missing(tmp_path) == {"keep_default_na": False}
    (tmp_path / "more.parquet").touch()
    assert describe_missing(tmp_path) == {}
    assert describe_missing(tmp_path / "nowhere") == {}
