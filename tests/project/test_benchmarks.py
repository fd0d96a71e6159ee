"""What benchmarks leave as it is: the figures that pages quote, and what a person has set for trsr-lite."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

measure = pytest.importorskip("benchmarks.measure", reason="needs the project's folder")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where figures that pages quote go, and where others do."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(measure, "PARTS", tmp_path / "parts")
    return tmp_path / "results", tmp_path / "parts"


def batch(module: Any, patch: pytest.MonkeyPatch) -> None:
    for part in ("speed", "ray", "kills"):
        patch.setattr(module, part, lambda *_, name=part: (f"batch_{name}", [], {}))


def contention(module: Any, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module.default, "bundle", lambda: None)
    patch.setattr(module, "in_turns", lambda work, *_, **__: {name: [1.0] for name in work})
    patch.setattr(module, "busy_machine", nullcontext)


def embedding(module: Any, patch: pytest.MonkeyPatch) -> None:
    async def wait(work: Any) -> float:
        work.close()
        return 0.0

    patch.setattr(module, "Recommender", MagicMock())
    patch.setattr(module, "longest_wait", wait)
    patch.setattr(module, "cold_wait", lambda *_: 0.0)
    patch.setattr(module, "cancels", lambda *_, **__: [0.0, 0.0])
    patch.setattr(module, "cycles", lambda *_: {"growth": 0, "more_threads": 0})


def window(module: Any, patch: pytest.MonkeyPatch) -> None:
    delays = {"seconds": 1.0, "max": 1.0, "p99": 1.0, "longest": [(1.0, "Ranking")], "over_aim": 0}
    patch.setattr(module, "Window", MagicMock())
    patch.setattr(module, "Delays", MagicMock(return_value=MagicMock(until=lambda _: delays)))
    patch.setattr(module.screens, "screen", MagicMock())


WORK: dict[Callable[..., None], list[tuple[str, str]]] = {
    batch: [("speed", "--users 3"), ("speed", "--rounds 1"), ("ray", "--users 3"), ("kills", "--users 3")],
    contention: [("", "0")],
    embedding: [("", "--cancels 2"), ("", "--threads 1")],
    window: [("", "--threads 1")],
}


@pytest.mark.parametrize(
    ("stub", "part", "fewer"),
    [(stub, *one) for stub, each in WORK.items() for one in each],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_run_of_a_part_leaves_the_figures_that_pages_quote(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, stub: Callable[..., None], part: str, fewer: str
) -> None:
    if stub is window:
        pytest.importorskip("tkinter", reason="needs Tk")
    module = importlib.import_module(f"benchmarks.{stub.__name__}")
    stub(module, monkeypatch)

    def main(arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmark", *arguments.split()])
        module.main()

    results, parts = folders
    main(f"{part} {fewer}")
    (written,) = parts.iterdir()
    assert not results.exists()
    main(part)
    assert [path.name for path in results.iterdir()] == [written.name]


def test_nothing_that_is_set_here_reaches_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import batch, default, serve
    from trsr_lite.models import default as embedded

    started: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], *, env: dict[str, str] | None = None, **_: object) -> Any:
        started.append((command, dict(os.environ) if env is None else env))
        return MagicMock()

    monkeypatch.setenv("TRSR_LITE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", start)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(default, "load", MagicMock())
    monkeypatch.setattr(embedded, "prepare", MagicMock())
    default.bundle()
    serve.Client("smollm2", tmp_path)
    batch.start(tmp_path, tmp_path, tmp_path, tmp_path)
    assert [command[5] for command, _ in started] == ["inspect", "serve", "batch"]
    for command, environment in started:
        assert command[3:5] == ["--config", os.devnull]
        assert "TRSR_LITE_DATA_DIR" not in environment and "PATH" in environment
