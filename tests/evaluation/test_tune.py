"""Tuning learns from clicks what signals count, says what that is worth to others, and never touches what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trsr_lite
from tests.commands import Run, runner
from tests.signals import worlds
from trsr_lite import DataError, EngineOptions, Recommender, SettingsError, User
from trsr_lite.evaluation import lists as eval_lists
from trsr_lite.evaluation.systems import BundleSystem
from trsr_lite.io.digests import file_digest
from trsr_lite.metrics import ranking
from trsr_lite.models import bundle, bundle_signals
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.settings import Settings
from trsr_lite.signals import statistics_file
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.statistics_builder import StatisticsBuilder

ONE_THREAD = EngineOptions(threads=1)
MISLED = Fusion({"specific": Weight(1.0, scale=0.01)})  # counts what nobody asked for


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


def write_lists(path: Path, count: int, seed: int, *, users: int | None = None) -> Path:
    """People who choose what is of their topic; every list has one such item among six."""
    rng, lines = np.random.default_rng(seed), []
    topics = list(worlds.TOPICS)
    for number in range(count):
        own = topics[number % 4]
        others = [topic for topic in topics if topic != own]
        made = [worlds.item(1000 * seed + 20 * number + place, own, rng) for place in range(5)]
        made += [worlds.item(1000 * seed + 20 * number + place, str(rng.choice(others)), rng) for place in range(5, 10)]
        records = [{"id": f"{seed}-{one.id}", **one.attributes} for one in made]
        shown = [records[place] for place in (4 + rng.permutation(6)).tolist()]
        user = f"u{number % (users or count)}"
        lines.append({"user_id": user, "history": records[:4], "candidates": shown, "positives": [records[4]["id"]]})
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return path


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    return write_lists(tmp_path / "clicks.jsonl", 60, 1)


def bundle_of(tiny: Path, folder: Path, fusion: Fusion) -> Path:
    folder.mkdir()
    model, statistics = folder / "model.gguf", folder / "statistics.npz"
    model.write_bytes(tiny.read_bytes())
    builder = StatisticsBuilder()
    builder.add(worlds.items())
    statistics_file.save(builder.build(), statistics)
    file = ModelFile(model, file_digest(model), model.stat().st_size, "F32")
    signals = bundle_signals.make(statistics, fusion, file_digest)
    Bundle("misled", file, file, Settings(strategy="none", item_tokens=20), signals=signals).write(folder)
    return folder


@pytest.fixture
def misled(tiny: Path, tmp_path: Path) -> Path:
    """A bundle that ranks by the wrong signal, on a tiny model."""
    return bundle_of(tiny, tmp_path / "misled", MISLED)


def auc(model: Path, lists: Path) -> float:
    found = []
    with Recommender.load(model, options=ONE_THREAD, signals=("simple",)) as recommender:
        for example in eval_lists.of_file(str(lists)).examples.values():
            result = recommender.recommend(User("", example.history), example.candidates)
            margins = {entry.item.id: entry.margin for entry in result}
            found.append(ranking.auc(np.array([margins[one.id] for one in example.candidates]), example.labels))
    return float(np.mean(found))


def test_a_tuned_bundle_ranks_other_peoples_lists_better(misled: Path, clicks: Path, tmp_path: Path) -> None:
    unseen = write_lists(tmp_path / "unseen.jsonl", 40, 2)
    tuned = trsr_lite.tune(misled, tmp_path / "tuned", lists=str(clicks), machine=ONE_THREAD)
    assert tuned.metrics["auc"]["after"] > tuned.metrics["auc"]["before"] + 0.1
    assert tuned.metrics["auc"]["low"] > 0
    assert auc(tmp_path / "tuned", unseen) > auc(misled, unseen) + 0.1
    assert (tuned.lists, tuned.users) == (60, 60)


def test_the_new_bundle_says_what_it_learned_from_and_the_old_one_stays(
    misled: Path, clicks: Path, tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in misled.iterdir()}
    trsr_lite.tune(misled, tmp_path / "tuned", lists=str(clicks), machine=ONE_THREAD)
    found = bundle.load(tmp_path / "tuned", file_digest)
    assert found.signals is not None and found.name == "tuned"
    facts = found.signals.fusion.fitted_on
    assert facts == {"lists": 60, "users": 60, "digest": eval_lists.of_file(str(clicks)).digest()}
    assert found.recommender.digest == bundle.load(misled, file_digest).recommender.digest
    assert {path.name: path.read_bytes() for path in misled.iterdir()} == before


def test_the_same_clicks_give_the_same_bundle(misled: Path, clicks: Path, tmp_path: Path) -> None:
    found = [
        trsr_lite.tune(misled, tmp_path / name, lists=str(clicks), machine=ONE_THREAD).bundle.signals for name in "ab"
    ]
    assert found[0] is not None and found[1] is not None
    assert found[0].identity == found[1].identity


def test_figures_are_of_users_whom_the_weights_never_saw(
    misled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.signals import fitting

    seen: list[set[str]] = []
    weights = fitting._weights

    def watched(lists: Any, names: Any) -> Fusion:
        seen.append({one.user for one in lists})
        return weights(lists, names)

    monkeypatch.setattr(fitting, "_weights", watched)
    clicks = write_lists(tmp_path / "some.jsonl", 40, 3, users=8)
    trsr_lite.tune(misled, tmp_path / "tuned", lists=str(clicks), machine=ONE_THREAD)
    everyone = {f"u{number}" for number in range(8)}
    assert seen[-1] == everyone, "the weights that are shipped come from all lists"
    assert set.union(*(everyone - some for some in seen[:-1])) == everyone, "each user is left out once"


def test_a_model_scores_only_where_its_weight_counts_or_it_is_asked_for(
    tiny: Path, misled: Path, clicks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = BundleSystem.answer
    monkeypatch.setattr(BundleSystem, "answer", lambda self, one: asked.append(one.user_id) or answer(self, one))
    options: dict[str, Any] = {"lists": str(clicks), "machine": ONE_THREAD}
    trsr_lite.tune(misled, tmp_path / "auto", **options)
    assert asked == []
    found = trsr_lite.tune(misled, tmp_path / "always", margins="always", **options)
    assert len(asked) == 60
    assert found.bundle.signals is not None and "model" in found.bundle.signals.fusion.weights
    counting = bundle_of(tiny, tmp_path / "counting", Fusion({"model": Weight(1.0), "words": Weight(0.5)}))
    trsr_lite.tune(counting, tmp_path / "never", margins="never", **options)
    assert len(asked) == 60
    trsr_lite.tune(counting, tmp_path / "counts", **options)
    assert len(asked) == 120


def test_a_model_without_signals_gets_statistics_of_the_lists(tiny: Path, clicks: Path, tmp_path: Path) -> None:
    found = trsr_lite.tune(tiny, tmp_path / "tuned", lists=str(clicks), machine=ONE_THREAD)
    assert found.bundle.signals is not None
    items = eval_lists.of_file(str(clicks)).items
    assert statistics_file.load(found.bundle.signals.statistics.path).documents == len(items)
    assert "before" not in found.metrics["auc"], "it ranked by its model alone, which was not asked"
    assert found.metrics["auc"]["after"] > 0.8


def test_too_few_lists_are_refused_and_nothing_is_written(run: Run, misled: Path, tmp_path: Path) -> None:
    few = write_lists(tmp_path / "few.jsonl", 29, 1)
    found = run("tune", misled, "--lists", few, "--output", tmp_path / "tuned")
    assert found.code == DataError.exit_code
    assert "Error: " in found.err and "29 lists; tuning needs at least 30" in found.err
    assert not (tmp_path / "tuned").exists()


def test_what_is_there_is_never_replaced_unasked(misled: Path, clicks: Path, tmp_path: Path) -> None:
    output = tmp_path / "there"
    output.mkdir()
    (output / "letter.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(SettingsError):
            trsr_lite.tune(misled, output, lists=str(clicks), machine=ONE_THREAD, force=force)
    assert (output / "letter.txt").read_text() == "mine"
    with pytest.raises(SettingsError, match="already exists"):
        trsr_lite.tune(misled, misled, lists=str(clicks), machine=ONE_THREAD)
    trsr_lite.tune(misled, misled, lists=str(clicks), machine=ONE_THREAD, force=True)
    found = bundle.load(misled, file_digest).signals
    assert found is not None and found.fusion.fitted_on["lists"] == 60
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "nothing is left behind"


def test_the_command_prints_weights_and_what_they_are_worth(
    run: Run, misled: Path, clicks: Path, tmp_path: Path
) -> None:
    typed = ("tune", misled, "--lists", clicks, "--threads", "1", "--output")
    out = run(*typed, tmp_path / "one").out
    assert "words" in out and "auc" in out and "60 lists, 60 users" in out
    data = run(*typed, tmp_path / "two", "--json").json
    assert data["schema"] == 1 and data["metrics"]["auc"]["after"] > data["metrics"]["auc"]["before"]
    assert data["bundle"] == str(tmp_path / "two")
    shown = run("inspect", tmp_path / "one").out
    assert "lists 60" in shown and "b2:" in shown
