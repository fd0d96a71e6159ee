"""What tests of exports share: a file of some text, read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.imports.read import Import, ImportOptions, read

SAMPLES = Path(__file__).parent / "samples"
EXAMPLES = Path(__file__).parents[2] / "examples" / "exports"

Reader = Callable[..., Import]


@pytest.fixture
def imported(tmp_path: Path) -> Reader:
    """`imported(content, "name.csv", format=None, **options)` writes the file and reads it."""

    def call(content: str | bytes, file: str = "export.csv", format: str | None = None, **options: Any) -> Import:  # noqa: A002
        path = tmp_path / file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read([path], format, ImportOptions(**options))

    return call


def notes(done: Import) -> str:
    """What was noted, as one text."""
    return "\n".join(done.found.notes.lines())


def titles(items: list[dict[str, Any]]) -> list[str]:
    """What a person reads."""
    return [item["title"] for item in items]
