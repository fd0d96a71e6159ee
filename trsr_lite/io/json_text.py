"""JSON as programs write it: orjson first, then what other writers add to it.

Invariant: a document that orjson reads means what orjson reads. `NaN` and `Infinity`, which Python's own writer makes
of missing numbers, are null. Half a character is kept: the reader of the field mends it.
"""

from __future__ import annotations

import json
from typing import Any

import orjson


def loads(text: bytes) -> Any:
    """The value; raises `orjson.JSONDecodeError` where it is no JSON even so."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not any(sign in text for sign in (b"NaN", b"Infinity", b"\\ud", b"\\uD")):
            raise
        try:
            return json.loads(text, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            raise error from None
