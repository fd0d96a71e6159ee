"""Train, convert and evaluate from Python, as the command line does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trsr_lite
from tests.conversion.conftest import LISTS, NEAR_TIES
from trsr_lite.conversion import request


def test_three_lines_go_from_data_to_a_ranking(
    tiny_base: Path, tiny_data: Path, tiny: Path, converter: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "find_converter", lambda *_, **__: converter)
    data = {"dataset": "jsonl", "data": str(tiny_data), "validation": 0.2, "test": 0.2, "test_negatives": 4}
    events: list[Any] = []
    result = trsr_lite.train(
        tmp_path / "run",
        **{**data, "base": str(tiny_base), "strategy": "none", "domain": "news", "prompt_tokens": 512, "max_steps": 2},
        dtype="float32",
        on_event=events.append,
    )
    assert isinstance(result, trsr_lite.TrainResult)
    assert (result.run, result.steps, 0 <= result.best["recall@3"] <= 1) == (tmp_path / "run", 2, True)
    assert "data" in events[0] and {"loss", "step"} <= set(events[1])

    plan: list[str] = []
    steps: list[str] = []
    bundle = trsr_lite.convert(
        result.run,
        tmp_path / "bundle",
        recommender_type="F16",
        summarizer=str(tiny),
        min_tau_float=NEAR_TIES,
        lists=LISTS,
        offline=True,
        on_plan=plan.extend,
        on_step=steps.append,
    )
    assert isinstance(bundle, trsr_lite.Bundle)
    assert (bundle.recommender.path.parent, bundle.trained) == (tmp_path / "bundle", True)
    assert plan[-1] == f"verify on {LISTS} lists" and "verify the float GGUF" in steps
    report = trsr_lite.verify(tmp_path / "bundle", result.run, min_tau_float=NEAR_TIES, lists=2)
    assert (report["lists"], set(report["steps"])) == (2, {"F16", "F16 fast"})

    found = trsr_lite.evaluate([tmp_path / "bundle", result.run], **data, max_users=3, baselines=[])
    assert isinstance(found, trsr_lite.Evaluation)
    assert (list(found.systems), len(found.lists.examples)) == (["bundle", "run"], 3)
    assert all(isinstance(one, trsr_lite.ListOutcome) for one in found.outcomes["bundle"])
    own = trsr_lite.evaluate(result.run, max_users=3, baselines=[])  # a run brings its own lists
    assert list(own.systems) == ["run"]
    with pytest.raises(trsr_lite.SettingsError, match="`--strategy` changes nothing"):
        trsr_lite.evaluate(result.run, strategy="none", baselines=[])
    assert list(trsr_lite.evaluate(result.run, defaults={"strategy": "none"}, max_users=1, baselines=[]).systems)


def test_what_would_be_written_over_is_refused_in_every_step(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    calls: list[Callable[[], object]] = [
        lambda: request.merge("run", tmp_path / "there"),
        lambda: request.write_gguf("model", tmp_path / "there"),
        lambda: request.quantize("model.gguf", tmp_path / "there", "Q8_0"),
    ]
    for call in calls:
        with pytest.raises(trsr_lite.SettingsError, match="there: already exists"):
            call()
    with pytest.raises(trsr_lite.SettingsError, match="is not a file, so `--force` does not replace it"):
        request.quantize("model.gguf", tmp_path / "there", "Q8_0", force=True)


def test_the_lines_that_the_docstrings_show_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They run with the names and keywords that they show; the work itself is done in the test above."""
    from trsr_lite.conversion import convert
    from trsr_lite.evaluation import request as evaluation
    from trsr_lite.training import train

    shown: list[Any] = []
    bundle = trsr_lite.Bundle("b", *[trsr_lite.ModelFile(tmp_path / "m.gguf", "b2:", 1)] * 2, verified={"lists": 9})
    figures = trsr_lite.Evaluation(None, {}, {"news_bundle": {"recall@3": 0.4}}, {}, [], [], {})  # type: ignore
    monkeypatch.setattr(train, "train", lambda *_, **__: trsr_lite.TrainResult(tmp_path, 1, {"recall@3": 0.3}, 1.0))
    monkeypatch.setattr(
        convert, "Conversion", lambda *_, **__: type("", (), {"convert": lambda _: bundle, "steps": list})()
    )
    monkeypatch.setattr("trsr_lite.conversion.verify.prove", lambda *_, **__: {})
    monkeypatch.setattr(evaluation, "read_lists", lambda *_: (None, None))
    monkeypatch.setattr(evaluation.open_systems, "models", lambda *_, **__: ([], []))
    monkeypatch.setattr(evaluation.open_systems, "simple", lambda *_, **__: ([], []))
    monkeypatch.setattr(evaluation.open_systems, "signals_of", lambda *_, **__: (None, []))
    monkeypatch.setattr(evaluation, "rank_lists", lambda *_, **__: figures)
    for function in (trsr_lite.train, trsr_lite.convert, trsr_lite.verify, trsr_lite.evaluate):
        lines = [line[8:] for line in str(function.__doc__).splitlines() if line.startswith("        ")]
        code = "\n".join(line for line in lines if line.startswith(("result", "bundle", "report", "found", "print")))
        assert code.count("\n") <= 1 and "trsr_lite." in code
        exec(code, {"trsr_lite": trsr_lite, "print": lambda *values: shown.append(values)})
    assert shown == [(0.3,), (tmp_path / "m.gguf", 9), (0.4,)]
    json.dumps(str(shown))
