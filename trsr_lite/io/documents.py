"""A file of JSON or JSON Lines, or stdin, as parsed values with their places.

Invariant: a fault is a `DataError` that names file, line and column, so that a person finds it in an editor.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trsr_lite.errors import DataError
from trsr_lite.io import encodings, json_text

LINES_SUFFIXES = (".jsonl", ".ndjson")


def documents(path: str | Path) -> tuple[str, Iterable[tuple[str, Any]]]:
    """The source's name and its (place, value) pairs: one for JSON, one a line for JSON Lines."""
    import orjson

    name = "stdin" if str(path) == "-" else str(path)
    if name == "stdin" and sys.stdin is None:
        raise DataError("stdin: is closed")
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    except IsADirectoryError:
        raise DataError(f"{name}: is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    raw = encodings.plain(raw)

    def parse(text: bytes, where: str, line: int | None = None) -> Any:
        try:
            return json_text.loads(text)
        except orjson.JSONDecodeError as error:
            place = f"{where}: column {error.colno}" if line else f"{where}: line {error.lineno}, column {error.colno}"
            raise DataError(f"{place}: not valid JSON: {error.msg}", hint=encodings.hint(text)) from None

    if not raw.strip():
        return name, ()
    first, _, rest = raw.lstrip().partition(b"\n")
    is_lines = name.lower().endswith(LINES_SUFFIXES) or (bool(rest.strip()) and _is_object(first, orjson.loads))
    if not is_lines:
        return name, ((name, parse(raw, name)),)
    return name, (
        (f"{name}:{number}", parse(line, f"{name}:{number}", number))
        for number, line in enumerate(raw.split(b"\n"), 1)
        if line.strip()
    )


def _is_object(line: bytes, loads: Any) -> bool:
    try:
        return isinstance(loads(line), dict)
    except ValueError:
        return False
