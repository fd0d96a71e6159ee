"""A training run as a system: it ranks as it did in training, on users that it never saw, or says otherwise."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Run, runner
from tests.training.conftest import Fit, tiny_examples, tiny_settings, write_data
from trsr_lite import Recommender
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.errors import ModelError
from trsr_lite.evaluation import lists, open_systems
from trsr_lite.training import torch_scorer
from trsr_lite.training.torch_scorer import Scorer

# Not one of them is a default, so that a summary made otherwise would show.
SUMMARIZING = {
    "strategy": "hierarchical",
    "block_size": 3,
    "recent_items": 3,
    "summary_tokens": 8,
    "prompt_tokens": 700,
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `trsr-lite evaluate …` in this process, without simple systems."""
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")
    return runner(capsys, "evaluate", "--baselines", "")


@pytest.fixture(scope="module")
def trained(fit: Fit, tiny: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with summaries and 20 test users, which no test may change."""
    folder = tmp_path_factory.mktemp("trained")
    data = tiny_examples(tiny_data, test=0.5, seed=3)
    settings = tiny_settings(**SUMMARIZING)
    fit(folder / "first", data=data, settings=settings, summarizer=str(tiny), seed=3, cache_dir=folder / "cache")
    return folder / "first"


@pytest.fixture(scope="module")
def plain(fit: Fit, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run without summaries, whose summarizer is nowhere."""
    folder = tmp_path_factory.mktemp("plain") / "second"
    fit(folder, data=tiny_examples(tiny_data, test=0.5, seed=3), seed=3, summarizer="nowhere.gguf", max_steps=2)
    return folder


def record(run: Path) -> Any:
    return json.loads((run / "run.json").read_text())


def outcomes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def test_a_run_alone_ranks_its_own_test_users(run: Run, trained: Path, tmp_path: Path) -> None:
    found = run("-m", trained, "--output", tmp_path / "kept", "--json").json
    assert (found["users"], list(found["systems"]), found["notes"]) == (20, ["first"], [])
    config = record(trained)["config"]["data"]
    with datasets.load(DataOptions(**config)) as dataset:
        expected = list(dataset.examples("test"))
        trained_on = {one.user_id for part in ("train", "validation") for one in dataset.examples(part)}
    answers = outcomes(tmp_path / "kept")
    assert [(one["user_id"], one["ids"], one["labels"]) for one in answers] == [
        (one.user_id, [item.id for item in one.candidates], list(one.labels)) for one in expected
    ]
    assert not {one["user_id"] for one in answers} & trained_on
    assert not {"label_mass", "calibration_error"} & set(found["systems"]["first"])


def test_a_run_reaches_on_its_validation_users_what_training_said(run: Run, trained: Path, tmp_path: Path) -> None:
    found = run("-m", trained, "--part", "validation", "--output", tmp_path / "kept", "--json").json
    best = record(trained)["best"]
    figures = {name: found["systems"]["first"][name]["value"] for name in best if name not in ("step", "score")}
    assert {"recall@3", "mrr@10", "ndcg@5", "auc"} <= set(figures)
    assert figures == pytest.approx({name: best[name] for name in figures}, abs=1e-5)
    kept = [json.loads(line) for line in (trained / "lists.jsonl").read_text().splitlines()]
    assert [one["summary"] for one in outcomes(tmp_path / "kept")] == [one["summary"] for one in kept]
    assert all(one["summary"] for one in kept)
    assert "first chose its checkpoint on these users: its figures are flattered" in found["notes"]


def test_the_margins_of_a_run_are_those_of_its_scorer(run: Run, trained: Path, tiny: Path, tmp_path: Path) -> None:
    run("-m", trained, "--untrained", "--output", tmp_path / "kept")
    settings = tiny_settings(**SUMMARIZING)
    with datasets.load(DataOptions(**record(trained)["config"]["data"])) as dataset:
        examples = {one.user_id: one for one in dataset.examples("test")}
    made = {name: getattr(settings, name) for name in settings.to_dict()}
    with Recommender.load(tiny, cache_dir=tmp_path / "other cache", **made) as recommender:
        texts = [summary.text for summary in recommender.summaries([one.history for one in examples.values()])]
    for name, base in (("first", False), ("first (untrained)", True)):
        scorer = Scorer(trained, base_model=base, offline=True)
        rows = [
            scorer.row(one.history, text, one.candidates) for one, text in zip(examples.values(), texts, strict=True)
        ]
        answers = [one for one in outcomes(tmp_path / "kept") if one["system"] == name]
        for one, text, margins in zip(answers, texts, scorer.margins(rows), strict=True):
            assert one["summary"] == text
            assert one["scores"] == pytest.approx(margins.tolist(), abs=1e-4)


def test_untrained_adds_the_base_and_compares_it(run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Scorer] = []
    margins = Scorer.margins

    def spy(self: Scorer, rows: Any) -> Any:
        asked.append(self)
        found = margins(self, rows)
        assert {id(one) for one in asked if "model" in vars(one)} == {id(self)}  # one model in memory at a time
        return found

    monkeypatch.setattr(Scorer, "margins", spy)
    found = run("-m", trained, "--untrained", "--json").json
    assert list(found["systems"]) == ["first", "first (untrained)"]
    (one,) = found["comparisons"]
    assert (one["system"], one["against"]) == ("first (untrained)", "first")
    assert one["value"] < 0
    assert found["systems"]["first"]["recall@3"]["value"] > 0.8  # everybody reads about football


def test_a_stopped_evaluation_of_a_run_goes_on(run: Run, trained: Path, tmp_path: Path) -> None:
    arguments = ("-m", trained, "--output", tmp_path / "kept", "--json")
    first = run(*arguments).json
    lines = (tmp_path / "kept" / "outcomes.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "kept" / "outcomes.jsonl").write_text("".join(lines[:7]))
    again = run(*arguments).json
    for found in (first, again):
        del found["systems"]["first"]["seconds_per_list"]
    assert again == first
    assert [one["scores"] for one in outcomes(tmp_path / "kept")] == [json.loads(line)["scores"] for line in lines]


def test_a_run_that_was_trained_again_is_another_system(run: Run, trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "first"
    shutil.copytree(trained, copy)
    arguments = ("-m", copy, "--output", tmp_path / "kept")
    assert run(*arguments).code == 0
    changed = record(copy)
    changed["best"]["recall@3"] /= 2
    (copy / "run.json").write_text(json.dumps(changed))
    code, _, err = run(*arguments)
    assert (code, "its first is another system" in err) == (2, True)


# Data that a run may have seen


@pytest.mark.parametrize(
    "options",
    [("--test", "0.4"), ("--seed", "4"), ("--min-items", "5"), ("--validation", "0.3")],
    ids=lambda options: options[0],
)
def test_another_split_is_said(run: Run, trained: Path, options: tuple[str, str]) -> None:
    (note,) = [note for note in run("-m", trained, *options, "--json").json["notes"] if "seen" in note]
    assert note == "first was trained on other data or another split of them: it may have seen these users"


def test_other_files_are_said(run: Run, trained: Path, tmp_path: Path) -> None:
    other = write_data(tmp_path / "other", seed=1)
    assert "it may have seen these users" in run("-m", trained, "--data", other).out.replace("\n", " ")


def test_a_file_of_lists_is_said(run: Run, trained: Path, tmp_path: Path) -> None:
    line = {
        "history": [{"id": "n1", "title": "football goal"}],
        "candidates": [{"id": "a", "title": "football cup"}, {"id": "b", "title": "soup"}],
        "positives": ["a"],
    }
    (tmp_path / "lists.jsonl").write_text(f"{json.dumps(line)}\n")
    found = run("-m", trained, "--lists", tmp_path / "lists.jsonl", "--json").json
    assert any("may have seen" in note for note in found["notes"])


@pytest.mark.parametrize("options", [(), ("--train-negatives", "3"), ("--test-negatives", "3"), ("--max-users", "9")])
def test_other_candidates_and_fewer_lists_are_the_same_split(run: Run, trained: Path, options: tuple[str, ...]) -> None:
    assert not any("seen" in note for note in run("-m", trained, *options, "--json").json["notes"])


def test_impressions_are_another_split_than_sequences(run: Run, plain: Path, tmp_path: Path) -> None:
    """Who has no impression is no user of theirs, so that the others are divided otherwise."""
    folder, copy = tmp_path / "mind", tmp_path / "run"
    folder.mkdir()
    shutil.copytree(plain, copy)
    (folder / "news.tsv").write_text("".join(f"N{n}\tc\ts\tfootball {n}\t\t\t[]\t[]\n" for n in range(30)))

    def split(without: set[str]) -> tuple[dict[str, set[str]], dict[str, Any], dict[str, str]]:
        rows = (
            f"1\tU{n}\t\tN1 N2 N3 N{4 + n % 16}\t{'' if f'U{n}' in without else 'N20-1 N21-0'}\n" for n in range(40)
        )
        (folder / "behaviors.tsv").write_text("".join(rows))
        with datasets.load(DataOptions("mind", str(folder), test=0.3, test_negatives=5)) as dataset:
            users = {part: {one.user_id for one in dataset.examples(part)} for part in ("train", "test")}
            return users, vars(dataset.options), dataset.digests

    changed = record(plain)
    users, changed["config"]["data"], changed["data"]["files"] = split(split(set())[0]["test"])
    (copy / "run.json").write_text(json.dumps(changed))
    assert not any("seen" in note for note in run("-m", copy, "--json").json["notes"])
    assert not any("seen" in note for note in run("-m", copy, "--negatives", "popularity", "--json").json["notes"])
    found = run("-m", copy, "--negatives", "impressions", "--output", tmp_path / "kept", "--json").json
    assert {one["user_id"] for one in outcomes(tmp_path / "kept")} & users["train"]
    assert any("it may have seen these users" in note for note in found["notes"])


def test_the_options_of_a_run_can_be_given_again(run: Run, trained: Path, tiny_data: Path) -> None:
    options = ("--dataset", "jsonl", "--data", tiny_data, "--test", "0.5", "--validation", "0.2", "--seed", "3")
    found = run("-m", trained, *options, "--test-negatives", "10", "--json").json
    alone = run("-m", trained, "--json").json
    assert found["notes"] == []
    assert found["systems"]["first"]["recall@3"] == alone["systems"]["first"]["recall@3"]


def test_a_preset_does_not_change_the_split_of_a_run_in_silence(run: Run, trained: Path) -> None:
    code, out, err = run("-m", trained, "--preset", "paper")
    assert (code, out) == (2, "")
    assert "`--preset` needs `--dataset`" in err


# Runs that cannot be


def test_a_run_without_summaries_needs_no_summarizer(run: Run, plain: Path) -> None:
    found = run("-m", plain, "--json").json
    assert found["users"] == 20
    assert found["systems"]["second"]["failed"] == 0


def test_two_runs_are_compared_on_the_same_lists(run: Run, trained: Path, plain: Path) -> None:
    found = run("-m", trained, "-m", plain, "--json").json
    assert list(found["systems"]) == ["first", "second"]
    assert found["comparisons"][0]["against"] == "first"
    assert found["notes"] == []


@pytest.mark.parametrize("given", [False, True])
def test_a_run_of_a_summarizer_ranks_nothing(
    run: Run, trained: Path, tiny_data: Path, tmp_path: Path, given: bool
) -> None:
    shutil.copytree(trained, tmp_path / "writer")
    changed = record(trained)
    changed["config"]["options"]["role"] = "summarizer"
    changed["config"]["data"] = {"pairs": "pairs.jsonl", "validation": 0.1}
    (tmp_path / "writer" / "run.json").write_text(json.dumps(changed))
    options = ("--dataset", "jsonl", "--data", tiny_data) if given else ()
    code, out, err = run("-m", tmp_path / "writer", *options)
    assert (code, out) == (2, "")
    assert f"{tmp_path / 'writer'}: is a run of a summarizer, which ranks nothing" in err


def test_a_run_that_is_not_finished_is_refused(run: Run, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text(json.dumps({**record(trained), "status": "running"}))
    code, out, err = run("-m", tmp_path / "half")
    assert (code, out) == (3, "")
    assert "is not finished" in err


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_record_that_cannot_be_read_is_named(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(text)
    code, out, err = run("-m", tmp_path / "run")
    assert (code, out) == (2, "")
    assert str(tmp_path / "run") in err
    assert "Traceback" not in err


def test_the_data_of_a_run_may_be_gone(run: Run, trained: Path, tmp_path: Path) -> None:
    code, out, err = run("-m", trained, "--data", tmp_path / "gone")
    assert (code, out) == (4, "")
    assert "there is no such folder" in err


def test_a_run_whose_summarizer_is_gone_is_refused(trained: Path) -> None:
    config = record(trained)["config"]["data"]

    def load(name: str, **_: Any) -> Any:
        raise ModelError(f"{name}: there is no such model")

    with datasets.load(DataOptions(**config)) as dataset, ExitStack() as opened:
        made = lists.of_dataset(dataset, "test", most=2, seed=0)
        with pytest.raises(ModelError, match="no such model"):
            open_systems.run(str(trained), made, opened, load, untrained=False, offline=True)


# Studies


def test_a_run_is_studied_with_other_settings_than_it_was_trained_with(
    run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[tuple[str, int, bool]] = []
    build = torch_scorer.build

    def spy(history: Any, summary: str | None, candidates: Any, labels: Any, settings: Any, tokenizer: Any) -> Any:
        rows.append((settings.strategy, settings.recent_items, summary is not None))
        return build(history, summary, candidates, labels, settings, tokenizer)

    monkeypatch.setattr(torch_scorer, "build", spy)
    found = run("-m", trained, "--ablations", "evidence", "--max-users", "2", "--json").json
    assert [row["variant"] for row in found["studies"]["evidence"]["rows"]] == ["summary only", "recent only", "both"]
    # First as it was trained, which is `both`; then without recent items, and without a summary.
    assert rows == [("hierarchical", 3, True)] * 2 + [("hierarchical", 0, True)] * 2 + [("none", 3, False)] * 2


def test_a_run_without_summaries_needs_a_summarizer_for_studies_of_them(run: Run, plain: Path) -> None:
    code, out, err = run("-m", plain, "--ablations", "strategy")
    assert (code, out) == (3, "")
    assert "nowhere.gguf: there is no such model" in err
    assert run("-m", plain, "--ablations", "robustness", "--max-users", "2").code == 0


def test_a_run_of_all_weights_is_compared_with_one_of_lora(
    run: Run, plain: Path, fit: Fit, tiny_data: Path, tmp_path: Path
) -> None:
    data = tiny_examples(tiny_data, test=0.5, seed=3)
    fit(tmp_path / "full", data=data, seed=3, summarizer="nowhere.gguf", max_steps=2, full=True)
    found = run("-m", tmp_path / "full", "-m", plain, "--ablations", "tuning", "--json").json
    rows = found["studies"]["tuning"]["rows"]
    assert [(row["variant"], row["system"]) for row in rows] == [("LoRA", "second"), ("all weights", "full")]
    assert run("-m", plain, "--ablations", "tuning").code == 2
