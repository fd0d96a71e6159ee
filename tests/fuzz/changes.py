"""Inputs that are almost right: a document of JSON, a table or a file with a few things changed.

Invariant: the seed is fixed, so that a test finds the same inputs every time; `make fuzz` draws others, and many more
(`TRSR_LITE_FUZZ` is how many times as many).
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("TRSR_LITE_FUZZ", "1"))  # read before the tests' environment is cleaned
STRANGE: list[Any] = [
    None, True, -1, 0, 1 << 40, -(1 << 63), 10**30, 1e308, 0.5, "", "x", "\ud800", "\n\t\x00\x1b[31m", "../x", " ",
    "<|im_end|>", "\u200d", "1e999", "2026-13-45", [], [[]], [None], {}, {"id": {}}, {"title": ["x", 3, None]},
    "w " * 5000,
]  # fmt: skip


def examples(count: int) -> Callable[[Any], Any]:
    """Settings of a test: so many examples, and under `make fuzz` many times as many with other seeds."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


@st.composite
def documents(draw: st.DrawFn, value: Any) -> bytes:
    """The JSON text of a value, with up to three places replaced, removed or said twice, cut, nested, or misspelled."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, 3))):
        *way, last = draw(st.sampled_from(list(places(value)) or [("x",)]))
        try:
            inner = value
            for key in way:
                inner = inner[key]
            kind = draw(st.integers(0, 5))
            if kind == 0:
                del inner[last]
            elif kind == 1 and isinstance(inner, list):
                inner.extend(copy.deepcopy(inner))
            else:
                inner[last] = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        except (KeyError, IndexError, TypeError):  # a change before took the place away
            continue
    content = json.dumps(value, allow_nan=True).encode("utf-8", "surrogatepass")
    return draw(damaged(content)) if draw(st.integers(0, 3)) == 0 else content


@st.composite
def damaged(draw: st.DrawFn, content: bytes, first: int = 0, last: int | None = None) -> bytes:
    """Bytes with a part of them replaced, cut out or there twice, nested deeply, or in another encoding."""
    end = len(content) if last is None else last
    at = draw(st.integers(first, max(first, end - 1)))
    kind = draw(st.integers(0, 7))
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + content[at + draw(st.integers(1, 40)) :]
    if kind == 2:
        return content[:at] + content[at : at + draw(st.integers(1, 40))] + content[at:]
    if kind == 3:
        return content[:at] + b"[" * 3000 + content[at:]
    if kind == 4:
        return content[:at] + draw(st.binary(min_size=1, max_size=12)) + content[at:]
    if kind == 5:
        return content.decode("latin-1").encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32"])))
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 8))):
        if changed:
            changed[draw(st.integers(first, max(first, min(end, len(changed)) - 1)))] = draw(st.integers(0, 255))
    return bytes(changed)
