"""The page on scale says what its constants say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tables_follow_from_the_constants() -> None:
    spec = importlib.util.spec_from_file_location("scale", DOCS / "scale.py")
    assert spec and spec.loader
    scale = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scale)
    page = (DOCS / "guides" / "scale.md").read_text(encoding="utf-8")
    assert scale.render(page) == page
    scale.MEASURED["ranking"] *= 2
    assert scale.render(page) != page
