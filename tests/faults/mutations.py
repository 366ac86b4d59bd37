"""Files that were damaged by chance or by intent, and absurd settings."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

EXTREME = ("", "\0", "x" * 5000, "-1", "nan", "../../etc/passwd", "\ud800", "__class__", "9" * 400)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(),
        st.sampled_from(EXTREME),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)  # fmt: skip


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, double, overwrite and fill in, a few times."""
    found = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(found)))
        # Headers are where formats keep their lengths: half of the harm is done there.
        start = draw(st.sampled_from([start, start % 256]))
        end = min(len(found), start + draw(st.integers(0, 64)))
        kind = draw(st.sampled_from(("cut", "truncate", "double", "overwrite", "insert")))
        if kind == "cut":
            del found[start:end]
        elif kind == "truncate":
            del found[start:]
        elif kind == "double":
            found[start:start] = found[start:end]
        elif kind == "overwrite":
            found[start:end] = draw(st.binary(min_size=end - start, max_size=end - start))
        else:
            found[start:start] = draw(st.binary(max_size=16) | st.just(b"\xff" * 8))
    return bytes(found)


@st.composite
def damaged_json(draw: st.DrawFn, whole: str) -> bytes:
    """Put something else in place of entries anywhere, take them out, or add to them."""
    content = json.loads(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = content
        while isinstance(place, dict | list) and place:
            keys: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                kind = draw(st.sampled_from(("replace", "delete", "add")))
                if kind == "delete":
                    del place[key]
                elif kind == "add" and isinstance(place, dict):
                    place[draw(st.text(max_size=8))] = draw(JSON)
                else:
                    place[key] = draw(JSON)
                break
            place = inner
    return json.dumps(content).encode("utf-8", "surrogatepass")


def damaged(whole: bytes, *, text: bool) -> st.SearchStrategy[bytes]:
    """Return the strategy for one file: of text, as JSON too."""
    if not text:
        return damaged_bytes(whole)
    return st.one_of(damaged_bytes(whole), damaged_json(whole.decode()))
