"""The page for application developers says what is so: its code runs, from the first line to the last."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import EngineOptions, Recommender

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "embed.md"


def test_the_code_of_the_page_runs(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    load = Recommender.load
    loaded: list[str] = []

    def tiny_instead(model: str, **options: Any) -> Recommender:
        loaded.append(model)
        return load(tiny, cache_dir=tmp_path / "cache", options=EngineOptions(threads=1), **options)

    monkeypatch.setattr(Recommender, "load", tiny_instead)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert loaded == ["smollm2", "smollm2"]
    assert len(names["user"].history) == 10
    assert "score" in capsys.readouterr().out


def test_the_page_names_every_method_and_every_option() -> None:
    text = PAGE.read_text(encoding="utf-8")
    methods = [name for name in dir(Recommender) if not name.startswith("_")]
    options = [*inspect.signature(Recommender.load).parameters, *inspect.signature(Recommender.recommend).parameters]
    missing = [name for name in (*methods, *options) if not re.search(rf"\b{name}\b", text)]
    assert sorted({*missing} - {"self"}) == []
