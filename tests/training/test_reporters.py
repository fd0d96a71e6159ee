"""Figures of a run for other tools: what is told, what is not, and a tool that is missing."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.training.conftest import LOVED, Fit, validations
from trsr_lite import SettingsError
from trsr_lite.training import reporters
from trsr_lite.training.train_options import REPORTERS, TrainOptions

pytest.importorskip("tensorboardX", reason="needs the package tensorboardX (extra `dev`)")


def test_tensorboard_gets_losses_and_metrics_and_no_text_of_the_data(fit: Fit, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", report_to=("tensorboard",)).run
    [events] = (run / reporters.FOLDER).glob("events.out.tfevents.*")
    content = events.read_bytes()
    for name in (rb"train/loss", rb"eval/recall[@_]3", rb"eval/auc"):  # tensorboardX has no @ in names
        assert len(re.findall(name, content)) >= len(validations(run)), name
    assert LOVED.encode() not in content
    assert "striker" not in content.decode("latin-1")


def test_a_run_reports_nowhere_unless_told(finished: Path) -> None:
    assert not (finished / reporters.FOLDER).exists()
    assert TrainOptions().report_to == ()


def test_a_tool_that_is_missing_is_told_before_the_run_begins(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "wandb" else find(name, *more))
    with pytest.raises(SettingsError, match="--report-to wandb needs its package") as caught:
        fit(tmp_path / "run", report_to=("wandb",))
    assert caught.value.hint == "pip install wandb"
    assert not (tmp_path / "run").exists()


def test_every_tool_has_its_packages_and_another_is_refused() -> None:
    assert set(REPORTERS) == set(reporters.PACKAGES)
    with pytest.raises(SettingsError, match="must be one of tensorboard, mlflow, wandb"):
        TrainOptions(report_to=("comet",))
