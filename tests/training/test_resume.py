"""A run that was killed continues to what an undisturbed one gives; two runs are never mixed."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import (
    EVERY,
    STEPS,
    Fit,
    log_of,
    losses,
    program,
    tiny_examples,
    tiny_settings,
    validations,
    weights,
)
from trsr_lite import DataError, SettingsError
from trsr_lite.training import base_model, lora, run_dir, saved_adapter, train, trainer

KILLED_AFTER = 6

KILLED = """
import os, signal, sys
from pathlib import Path
from tests.training.conftest import tiny_examples, tiny_options, tiny_settings
from trsr_lite.training.train import train

def on_event(line):
    if line.get("step") == int(sys.argv[4]) + 1:
        os.kill(os.getpid(), signal.SIGKILL)

base, data, output = map(Path, sys.argv[1:4])
train(tiny_options(base), tiny_settings(), tiny_examples(data), output, on_event=on_event)
"""


@pytest.fixture(scope="module")
def killed(tiny_base: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed one step after its second checkpoint; no test may change it."""
    place = tmp_path_factory.mktemp("killed")
    (place / "script.py").write_text(KILLED)
    done = program(str(place / "script.py"), tiny_base, tiny_data, place / "run", str(KILLED_AFTER))
    assert done.returncode == -signal.SIGKILL, done.stderr
    return place / "run"


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of the killed run, elsewhere; the killed run itself is out of sight."""
    shutil.copytree(killed, tmp_path / "run")
    return tmp_path / "run"


def same_runs(one: Path, other: Path) -> None:
    assert log_of(one) == log_of(other)
    found, expected = weights(one / "adapter"), weights(other / "adapter")
    assert set(found) == set(expected)
    for name, weight in expected.items():
        assert torch.allclose(found[name], weight, rtol=0, atol=1e-6)
    records = [json.loads((run / "run.json").read_text()) for run in (one, other)]
    for name in (set(records[0]) | set(records[1])) - {"seconds"}:
        assert records[0][name] == records[1][name], name


def test_a_killed_run_says_that_it_is_not_finished(killed: Path) -> None:
    record = json.loads((killed / "run.json").read_text())
    assert record["status"] == "running"
    assert not (killed / "adapter").exists()
    assert trainer.latest_checkpoint(killed)[1] == KILLED_AFTER
    assert log_of(killed)[-1]["step"] == KILLED_AFTER + 1


def test_a_killed_run_continues_to_the_same_result(fit: Fit, stopped: Path, finished: Path) -> None:
    heard: list[Any] = []
    fit(stopped, resume=True, on_event=heard.append)
    assert heard[1]["step"] == KILLED_AFTER + 1
    same_runs(stopped, finished)


def test_a_run_that_is_older_than_an_option_had_its_default(fit: Fit, stopped: Path, finished: Path) -> None:
    record = json.loads((stopped / "run.json").read_text())
    del record["config"]["options"]["shard"]
    (stopped / "run.json").write_text(json.dumps(record))
    with pytest.raises(SettingsError, match="shard is True, and was False"):
        fit(stopped, resume=True, shard=True)
    fit(stopped, resume=True)
    assert losses(stopped) == losses(finished)


def interrupt(line: Mapping[str, Any]) -> None:
    """As an `on_event`: Ctrl-C after the first checkpoint."""
    if line.get("step") == EVERY + 1:
        raise KeyboardInterrupt


def test_what_is_drawn_while_training_goes_on_where_it_was(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout, in the type that the run computes in: on another machine `auto` might choose another."""
    fit(tmp_path / "whole", dropout=0.3, dtype="auto")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", dropout=0.3, dtype="auto", on_event=interrupt)
    computed_in = json.loads((tmp_path / "stopped" / "run.json").read_text())["computed_in"]
    other = torch.float32 if computed_in == "bfloat16" else torch.bfloat16
    monkeypatch.setattr(base_model, "best_dtype", lambda _: other)
    fit(tmp_path / "stopped", dropout=0.3, dtype="auto", resume=True)
    same_runs(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("kept", [True, False], ids=["after a checkpoint", "before the first"])
def test_seconds_are_those_of_all_starts(fit: Fit, stopped: Path, kept: bool) -> None:
    if not kept:
        shutil.rmtree(stopped / "checkpoints")
    lines = (stopped / "log.jsonl").read_text().splitlines()
    longer = [json.dumps({**json.loads(line), "seconds": 1000.0}) for line in lines]
    (stopped / "log.jsonl").write_text("\n".join(longer) + "\n")
    assert fit(stopped, resume=True).seconds > 1000
    seconds = [json.loads(line)["seconds"] for line in (stopped / "log.jsonl").read_text().splitlines()]
    assert seconds == sorted(seconds)


def test_a_checkpoint_that_was_not_finished_is_not_used(fit: Fit, stopped: Path, finished: Path) -> None:
    half = stopped / "checkpoints" / f"checkpoint-{KILLED_AFTER}"
    (half / "complete").unlink()
    (half / "optimizer.pt").write_bytes(b"cut sho")
    (half / "trainer_state.json").unlink()
    heard: list[Any] = []
    fit(stopped, resume=True, on_event=heard.append)
    assert heard[1]["step"] == KILLED_AFTER // 2 + 1
    same_runs(stopped, finished)


def test_a_run_killed_before_its_first_checkpoint_starts_again(fit: Fit, stopped: Path, finished: Path) -> None:
    shutil.rmtree(stopped / "checkpoints")
    fit(stopped, resume=True)
    same_runs(stopped, finished)


def test_a_run_of_a_version_that_recorded_less_of_its_base_is_continued(
    fit: Fit, stopped: Path, finished: Path
) -> None:
    record = json.loads((stopped / "run.json").read_text())
    del record["base"]["configuration"]
    (stopped / "run.json").write_text(json.dumps(record))
    fit(stopped, resume=True)
    same_runs(stopped, finished)


def test_a_line_of_the_log_that_was_cut_short_is_left_out(fit: Fit, stopped: Path, finished: Path) -> None:
    with (stopped / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    fit(stopped, resume=True)
    same_runs(stopped, finished)


def test_a_run_can_be_moved_before_it_is_continued(
    fit: Fit, tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its last checkpoint even: the adapter is made of the best one, wherever that lies now."""
    assert max(validations(finished), key=lambda line: line["score"])["step"] < STEPS
    with monkeypatch.context() as patch:
        patch.setattr(lora, "read_back", _stop)
        with pytest.raises(RuntimeError, match="stop"):
            fit(tmp_path / "here")
    assert not (tmp_path / "here" / "adapter").exists()
    (tmp_path / "here").rename(tmp_path / "there")
    fit(tmp_path / "there", resume=True)
    same_runs(tmp_path / "there", finished)


def test_rows_shortened_before_a_stop_are_counted_too(fit: Fit, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    items = [json.loads(line) for line in (tiny_data / "items.jsonl").read_text().splitlines()]
    long = [json.dumps({**item, "title": item["title"] + " a report" * 20}) for item in items]
    (tmp_path / "data" / "items.jsonl").write_text("\n".join(long))
    settings = tiny_settings(prompt_tokens=256, recent_items=7, summary_tokens=8, fan_in=2)
    data = tiny_examples(tmp_path / "data")

    fit(tmp_path / "whole", settings=settings, data=data)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", settings=settings, data=data, on_event=interrupt)
    fit(tmp_path / "stopped", settings=settings, data=data, resume=True)
    counts = [json.loads((tmp_path / run / "run.json").read_text())["shortened_rows"] for run in ("whole", "stopped")]
    assert counts[0] == counts[1] > 0


def test_a_finished_run_is_not_harmed_by_resuming_it(fit: Fit, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    outcome = fit(tmp_path / "run", resume=True)
    assert outcome.steps == 12
    assert outcome.best == json.loads((finished / "run.json").read_text())["best"]
    same_runs(tmp_path / "run", finished)


def test_a_run_that_ended_early_is_not_carried_on_by_resuming_it(fit: Fit, tmp_path: Path) -> None:
    options = {"learning_rate": 1e-9, "validate_every": 1, "patience": 2}
    first = fit(tmp_path / "run", **options)
    again = fit(tmp_path / "run", resume=True, **options)
    assert (again.steps, again.best) == (first.steps, first.best) == (3, first.best)


def test_a_run_that_ended_early_and_was_killed_before_it_was_kept_ends_there_again(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation more could be better, and make another run of it."""
    options = {"learning_rate": 1e-9, "validate_every": 1, "patience": 2}
    keep = saved_adapter.keep

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(saved_adapter, "keep", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", **options)
    monkeypatch.setattr(saved_adapter, "keep", keep)
    again, whole = fit(tmp_path / "run", resume=True, **options), fit(tmp_path / "whole", **options)
    assert (again.steps, again.best) == (whole.steps, whole.best) and again.steps == 3
    same_runs(tmp_path / "run", tmp_path / "whole")


def test_patience_counts_on_after_a_stop(fit: Fit, tmp_path: Path) -> None:
    """The validations of the stopped run count; each has the score of the first, so that the third ends the run."""
    options = {"learning_rate": 1e-9, "validate_every": 1, "patience": 2}

    def stop(line: Mapping[str, Any]) -> None:
        if line.get("step") == 3 and "loss" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", on_event=stop, **options)
    assert trainer.latest_checkpoint(tmp_path / "run")[1] == 2
    assert fit(tmp_path / "run", resume=True, **options).steps == 3


# Two runs are never mixed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.5}, "learning_rate is 0.5, and was 0.02 in this run"),
        ({"layers": ("q_proj",)}, r"layers is \['q_proj'\], and was \['q_proj', 'k_proj'"),
        ({"max_steps": None}, "max_steps is None, and was 12 in this run"),
    ],
)
def test_a_run_is_not_continued_with_other_options(fit: Fit, stopped: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        fit(stopped, resume=True, **changes)
    assert caught.value.hint is not None
    assert trainer.latest_checkpoint(stopped)[1] == KILLED_AFTER


def test_a_run_is_not_continued_with_other_settings_or_data(fit: Fit, stopped: Path, tiny_data: Path) -> None:
    with pytest.raises(SettingsError, match="domain is 'item', and was 'news'"):
        fit(stopped, resume=True, settings=tiny_settings(domain="item"))
    with pytest.raises(SettingsError, match="test_negatives is 3, and was 10"):
        fit(stopped, resume=True, data=tiny_examples(tiny_data, test_negatives=3))


def test_a_run_is_not_continued_on_changed_data(fit: Fit, stopped: Path, tiny_data: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_data, tmp_path / "data")
    run = tmp_path / "other"
    with pytest.raises(RuntimeError, match="stop"):
        fit(run, data=tiny_examples(tmp_path / "data"), on_event=_stop_at(4))
    with (tmp_path / "data" / "items.jsonl").open("a") as file:
        file.write('{"id": "late", "title": "football late"}\n')
    with pytest.raises(SettingsError, match=r"items\.jsonl"):
        fit(run, data=tiny_examples(tmp_path / "data"), resume=True)


def _stop(*_: Any, **__: Any) -> Any:
    raise RuntimeError("stop")


def _stop_at(step: int) -> Any:
    def on_event(line: Any) -> None:
        if line.get("step") == step:
            raise RuntimeError("stop")

    return on_event


def test_of_two_seeds_each_counts(fit: Fit, stopped: Path, tiny_data: Path) -> None:
    with pytest.raises(SettingsError, match="seed is 1, and was 0"):
        fit(stopped, resume=True, seed=1)
    with pytest.raises(SettingsError, match="seed is 1, and was 0"):
        fit(stopped, resume=True, data=tiny_examples(tiny_data, seed=1))


@pytest.mark.parametrize("how", [{"resume": True}, {"force": True}], ids=str)
def test_a_folder_in_which_a_run_is_at_work_is_left_to_it(
    fit: Fit, tmp_path: Path, how: dict[str, bool], finished: Path
) -> None:
    asked = []

    def second(line: Any) -> None:
        if line.get("step") == 2:
            before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
            with pytest.raises(SettingsError, match="another run is at work there"):
                fit(tmp_path / "run", **how)
            assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
            asked.append(line)

    outcome = fit(tmp_path / "run", on_event=second)
    assert asked and outcome.steps == STEPS
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_existing_folder_is_refused_and_stays(fit: Fit, stopped: Path) -> None:
    before = sorted(path for path in stopped.rglob("*"))
    with pytest.raises(SettingsError, match="already exists") as caught:
        fit(stopped)
    assert "--resume" in str(caught.value.hint)
    assert "--force" in str(caught.value.hint)
    assert sorted(path for path in stopped.rglob("*")) == before


def test_force_replaces_a_run(fit: Fit, stopped: Path) -> None:
    fit(stopped, force=True, max_steps=2)
    assert [path.name for path in (stopped / "checkpoints").iterdir()] == ["checkpoint-2"]


def test_force_keeps_a_link_and_replaces_what_it_leads_to(fit: Fit, stopped: Path) -> None:
    link = stopped.with_name("latest")
    link.symlink_to(stopped)
    fit(link, force=True, max_steps=1)
    assert link.is_symlink() and (stopped / "adapter").is_dir()
    assert sorted(path.name for path in stopped.parent.iterdir()) == ["latest", stopped.name]


def test_a_run_that_cannot_start_leaves_nothing_and_what_it_was_to_replace(
    fit: Fit, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise DataError("no such data")

    monkeypatch.setattr(train, "source_of", broken)
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    beside = sorted(stopped.parent.iterdir())
    for output, force in ((stopped, True), (stopped.with_name("new"), False)):
        with pytest.raises(DataError, match="no such data"):
            fit(output, force=force, max_steps=2)
    assert sorted(stopped.parent.iterdir()) == beside
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("left", ["stub", "empty", "nothing"])
def test_what_was_to_be_replaced_outlives_any_number_of_runs_that_do_not_start(
    fit: Fit, stopped: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    def broken(*_: Any, **__: Any) -> Any:
        raise DataError("no such data")

    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}
    monkeypatch.setattr(train, "source_of", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(stopped, force=True, max_steps=2)
    if left != "stub":  # killed between two steps of a replacement
        shutil.rmtree(stopped)
    if left == "empty":
        stopped.mkdir()
    if left != "stub":
        with pytest.raises(SettingsError, match="already exists"):
            fit(stopped, max_steps=2)
    monkeypatch.setattr(train, "source_of", broken)
    with pytest.raises(DataError, match="no such data"):
        fit(stopped, force=True, max_steps=2)
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_force_never_deletes_a_folder_that_is_not_a_run(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not a run, so `--force` does not delete it"):
        fit(tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "mine"


def test_a_file_in_the_way_is_an_error(fit: Fit, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(SettingsError, match="is a file, not a folder"):
        fit(tmp_path / "run", force=True)


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    record = run_dir.open_run(tmp_path, {"options": {}}, resume=False, force=False)
    assert run_dir.read(tmp_path) == record == {"schema": 1, "status": "running", "config": {"options": {}}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "not a run: it has no run.json"),
        ("{", "run.json: cannot be read"),
        ('{"schema": 99, "config": {}}', "made by a newer trsr-lite"),
    ],
)
def test_a_folder_that_cannot_be_continued_says_why(fit: Fit, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(SettingsError, match=said):
        fit(tmp_path, resume=True)


def test_what_to_do_about_a_folder_that_is_no_run_depends_on_who_asks(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as resumed:
        fit(tmp_path, resume=True)
    with pytest.raises(SettingsError) as named:
        run_dir.finished(tmp_path)
    assert resumed.value.hint == "start it without `--resume`"
    assert named.value.hint == "name a folder that `trsr-lite train` made"
