"""Signals on the command line: chosen, explained, and shown by `inspect`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.commands import Run, runner
from trsr_lite import Item, Recommender, User
from trsr_lite.cli import tables
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle_signals
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.settings import Settings
from trsr_lite.signals import statistics_file
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.statistics_builder import StatisticsBuilder

USER = Path(__file__).parents[2] / "examples" / "news_reader.json"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture
def signalling(tiny: Path, tmp_path: Path, news_user: User) -> Path:
    """A bundle on a tiny model, with signals."""
    folder = tmp_path / "signalling"
    folder.mkdir()
    model, statistics = folder / "model.gguf", folder / "statistics.npz"
    model.write_bytes(tiny.read_bytes())
    vocabulary = LlamaEngine(model, identity="", vocab_only=True)
    builder = StatisticsBuilder(vocabulary, Rows(model))
    builder.add([*news_user.history, *news_user.candidates])
    statistics_file.save(builder.build(), statistics)
    vocabulary.close()
    weights = {"model": Weight(0.25), "tokens": Weight(1.0, scale=0.1), "words": Weight(0.5, scale=0.2)}
    signals = bundle_signals.make(statistics, Fusion(weights, fitted_on={"lists": 7}), file_digest)
    file = ModelFile(model, file_digest(model), model.stat().st_size, "F32")
    Bundle("signalling", file, file, Settings(strategy="none", item_tokens=20), signals=signals).write(folder)
    return folder


def recommend(run: Run, bundle: Path, *arguments: str) -> Any:
    return run("recommend", "--user", USER, "-m", bundle, *arguments)


def test_json_has_parts_and_reasons(run: Run, signalling: Path) -> None:
    found = recommend(run, signalling, "--json").json["recommendations"]
    history = {item["id"] for item in json.loads(USER.read_text())["history"]}
    for entry in found:
        assert list(entry["parts"]) == ["model", "tokens", "words"]
        assert sum(entry["parts"].values()) == pytest.approx(entry["margin"], abs=1e-6)
        assert set(entry["because"]) <= history
    assert any(entry["because"] for entry in found)


def test_simple_is_all_signals_but_the_model(run: Run, signalling: Path, tiny: Path) -> None:
    simple = recommend(run, signalling, "--signals", "simple", "--json").json["recommendations"]
    assert all(list(entry["parts"]) == ["tokens", "words"] and entry["label_mass"] is None for entry in simple)
    alone = recommend(run, tiny, "--signals", "simple")
    assert alone.code == 2 and "has no fusion" in alone.err


def test_signals_are_chosen_by_name_and_the_best_go_to_the_model(run: Run, signalling: Path) -> None:
    words = recommend(run, signalling, "--signals", "words", "--json").json["recommendations"]
    assert all(list(entry["parts"]) == ["words"] and entry["label_mass"] is None for entry in words)
    some = recommend(run, signalling, "--rerank", "3", "-k", "12", "--json").json["recommendations"]
    assert sum("model" in entry["parts"] for entry in some) == 3
    alone = recommend(run, signalling, "--signals", "model", "--json").json["recommendations"]
    assert all(entry["parts"] == {"model": entry["margin"]} for entry in alone)


@pytest.mark.parametrize(("names", "said"), [("wrods", "'wrods'"), ("popularity", "popularity"), (",", "signals")])
def test_signals_that_cannot_count_are_wrong_usage(run: Run, signalling: Path, names: str, said: str) -> None:
    found = recommend(run, signalling, "--signals", names)
    assert found.code == 2
    assert found.err.startswith("Error: ") and said in found.err and "hint: " in found.err


def test_explain_says_why(run: Run, signalling: Path) -> None:
    out = recommend(run, signalling, "--explain", "-k", "2").out
    assert 'like "' in out and "the model says" in out and "words " in out


def test_no_time_for_the_model_is_said(run: Run, signalling: Path) -> None:
    out = recommend(run, signalling, "--budget", "0").out
    assert "no time for the model: 12 candidates are ranked by the other signals" in out


def test_inspect_shows_the_weights_or_that_there_are_none(run: Run, signalling: Path, tiny: Path) -> None:
    data = run("inspect", signalling, "--json").json
    assert data["signals"]["fusion"]["weights"]["words"]["weight"] == 0.5
    out = run("inspect", signalling).out
    assert "Signals, and their weights" in out and "1.000" in out and "lists 7" in out
    assert run("inspect", tiny, "--json").json["signals"] is None
    assert "alone: this bundle has no fusion" in run("inspect", tiny).out


class Screen:
    """What a terminal of so many lines shows, when text and the moves of `print_first` are written to it."""

    def __init__(self, height: int) -> None:
        self.file = io.StringIO()
        self.console = Console(file=self.file, force_terminal=True, width=80, height=height, color_system=None)

    def shown(self) -> list[str]:
        lines = [""]
        for part in self.file.getvalue().replace("\x1b[J", "").split("\x1b["):
            count, up, text = part.partition("A\r")
            if up and count.isdigit():
                del lines[len(lines) - 1 - int(count) :]
                lines.append("")
            first, *rest = (text if up else part).split("\n")
            lines[-1] += first
            lines += rest
        return lines


@pytest.fixture
def results(make_recommender: Any, news_user: User) -> list[Any]:
    recommender: Recommender = make_recommender()
    lists = [[Item(str(number), {"title": f"{word} {number}"}) for number in range(5)] for word in "ab"]
    return [recommender.recommend(news_user, items) for items in lists]


def test_the_first_order_gives_its_place_on_a_terminal_to_the_last_one(results: list[Any]) -> None:
    screen = Screen(40)
    screen.console.print("above")
    undo = tables.print_first(results[0], screen.console)
    assert any("a 1" in line for line in screen.shown()) and "first order" in screen.file.getvalue()
    screen.console.file.write(undo)
    tables.print_ranking(results[1], screen.console)
    shown = screen.shown()
    assert shown[0] == "above"
    assert any("b 1" in line for line in shown) and not any("a 1" in line or "first order" in line for line in shown)


def test_a_first_order_that_would_scroll_away_is_not_shown(results: list[Any]) -> None:
    screen = Screen(6)
    assert tables.print_first(results[0], screen.console) == ""
    assert screen.file.getvalue() == ""


def test_a_file_gets_the_last_order_only(run: Run, signalling: Path) -> None:
    printed = recommend(run, signalling).out
    assert "first order" not in printed and "\x1b" not in printed
