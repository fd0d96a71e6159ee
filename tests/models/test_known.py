"""Models by a short name: what the table says, and that a name finds its model."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.cli import run
from trsr_lite.models import hub, known
from trsr_lite.models.reference import parse
from trsr_lite.models.resolve import DEFAULT_MODEL

ROOT = Path(__file__).parents[2]
NAMES = list(known.models())


def test_the_default_is_first_and_the_only_one_that_ranks_untrained() -> None:
    assert NAMES[0] == DEFAULT_MODEL
    assert [name for name in NAMES if known.models()[name].trained] == [DEFAULT_MODEL]
    assert known.reference(DEFAULT_MODEL) is None


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_name_is_a_reference_of_one_file_and_has_a_recipe_for_its_base(name: str) -> None:
    model = known.models()[name]
    meant = parse(model.reference or "")
    assert meant is not None
    assert (ROOT / "convert" / "recipes" / f"{model.recipe}.toml").is_file()
    recipe = tomllib.loads((ROOT / "convert" / "recipes" / f"{model.recipe}.toml").read_text(encoding="utf-8"))
    assert recipe["base"] == model.base
    assert parse(name) is None, "a name that is a reference by its form would take a repository's place"
    assert known.reference(name.upper()) == model.reference


def test_figures_of_the_default_are_those_of_the_lab_book() -> None:
    sets = json.loads((ROOT / "benchmarks" / "results" / "signals.json").read_text(encoding="utf-8"))["sets"]
    ranked = [sets[name]["systems"]["fused, shipped"]["recall@3"]["value"] for name in ("office", "mind", "real")]
    figures = [round(value, 2) for value in ranked]
    assert list(known.models()[DEFAULT_MODEL].recall.values()) == figures


def test_models_lists_every_name_within_eighty_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"│ {name} " in out for name in NAMES)
    assert "…" not in out
    assert run(["models", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in told["models"]] == NAMES
    assert told["models"][1]["command"] == f"trsr-lite pull {NAMES[1]}"


def test_pull_and_recommend_take_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[str] = []

    def pull(meant: Any, **_: Any) -> Path:
        asked.append(str(meant))
        return tmp_path

    monkeypatch.setattr(hub, "pull", pull)
    assert run(["pull", "qwen2.5-0.5b"]) == 0
    assert asked == ["Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0"]
    user = str(ROOT / "examples" / "news_reader.json")
    assert run(["recommend", "--user", user, "--offline", "-m", "qwen2.5-0.5b"]) == 3
    assert "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0 is not on this machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["pull", "qwen2.5-0.6b"], 2, "did you mean `qwen2.5-0.5b`?"),
        (["pull", "smollm2"], 2, "comes with the package"),
        (["inspect", "smolm2-360m"], 3, "did you mean `smollm2-360m`?"),
        (["inspect", "nothing/at/all/alike"], 3, "`trsr-lite models` lists some"),
    ],
)
def test_a_name_that_is_none_gets_the_nearest(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    assert said in capsys.readouterr().err
