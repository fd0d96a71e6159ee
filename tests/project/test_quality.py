"""What the benchmark of training keeps: every cell, whoever else is writing."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.prompts.templates import PROMPT_VERSION

pytest.importorskip("fcntl", reason="a lock of POSIX")
quality = pytest.importorskip("benchmarks.quality", reason="needs the training extra, and the project's folder")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(quality, "FILE", tmp_path / "quality.json")
    return tmp_path / "quality.json"


def cell(users: int) -> dict[str, Any]:
    return {"prompt_version": PROMPT_VERSION, "users": users}


def test_what_was_measured_with_other_prompts_is_measured_anew(file: Path) -> None:
    quality.keep("one", {"users": 1, "prompt_version": "before"})
    quality.keep("two", {"users": 2})
    assert quality.found() == {"two": cell(2)}


def test_runs_side_by_side_lose_no_cell(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = quality.found

    def slow() -> dict[str, Any]:
        cells = plain()
        time.sleep(0.02)
        return cells

    monkeypatch.setattr(quality, "found", slow)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: quality.keep(f"cell {number}", {"users": number}), range(16)))
    assert json.loads(file.read_text())["cells"] == {f"cell {number}": cell(number) for number in range(16)}


def test_a_run_that_is_killed_while_it_writes_leaves_the_cells_that_were_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quality.keep("one", {"users": 1})
    plain = Path.write_text

    def half(self: Path, text: str, **more: Any) -> int:
        plain(self, text[:9], **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", half)
        with pytest.raises(KeyboardInterrupt):
            quality.keep("two", {"users": 2})
    assert quality.found() == {"one": cell(1)}
    quality.keep("two", {"users": 2})
    assert set(quality.found()) == {"one", "two"}
