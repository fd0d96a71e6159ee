"""pyarrow where it is installed, and the rows of its tables as the values that JSON would have.

Invariant: a value that Python cannot hold spoils its row alone, such as the year 58000 or text that is not UTF-8.
"""

from __future__ import annotations

import datetime
import decimal
import importlib
import math
from collections.abc import Iterator
from typing import Any

from trsr_lite.errors import SettingsError

BUFFER = 1 << 20  # bytes of a column that are read at once: by itself pyarrow reads the column of a whole row group


def module(name: str, purpose: str) -> Any:
    """A module of pyarrow, or `SettingsError` with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"{purpose} needs the package pyarrow, which is not installed", hint="pip install 'trsr-lite[parquet]'"
        ) from error


def rows(batch: Any) -> Iterator[tuple[dict[str, Any] | None, str | None]]:
    """Each row of a record batch as a dictionary, or None and the reason."""
    try:
        found = batch.to_pylist()
    except (ValueError, OverflowError):
        for place in range(batch.num_rows):
            try:
                yield plain(batch.slice(place, 1).to_pylist()[0]), None
            except (ValueError, OverflowError) as error:
                yield None, f"has a value that cannot be read: {error}"
    else:
        yield from ((plain(row), None) for row in found)


def plain(value: Any) -> Any:
    """Times, decimals and bytes of text become text; writers of tables mean a missing value by NaN."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:  # an image, or what else is no text
            return value
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value
