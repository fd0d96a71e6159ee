"""The folder `convert/`: recipes that `train --config` reads, and the front door that is the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.conftest import PACKAGE_PARENT, ROOT
from trsr_lite import cli
from trsr_lite.cli import config, train
from trsr_lite.training.train_options import TrainOptions

FOLDER = ROOT / "convert"
RECIPES = sorted((FOLDER / "recipes").glob("*.toml"))
RUN_HERE = {"smollm2-135m"}


def test_there_is_a_recipe_for_each_base_that_the_project_names() -> None:
    assert {path.stem for path in RECIPES} == {
        "smollm2-135m", "smollm2-360m", "smollm2-1.7b", "qwen2.5-0.5b", "qwen2.5-1.5b", "llama-3.2-1b", "llama-2-7b",
        "qwen3-0.6b", "qwen3-1.7b", "gemma-3-270m", "smollm3-3b",
    }  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_has_only_known_options_with_values_that_can_be(path: Path) -> None:
    named = config.of_command(path, train.command)
    outer = click.Context(cli.group, **cli.group.context_settings)
    params = train.command.make_context("train", ["--config", str(path), "--output", "RUN"], parent=outer).params
    values = {name: params[name] for name in named}
    options = TrainOptions(**{field.name: values[field.name] for field in fields(TrainOptions) if field.name in values})
    assert len(values) == sum(field.name in values for field in fields(TrainOptions)), "a recipe names no data"
    assert options.base.count("/") == 1 and options.revision == "main"
    for line in ("# Base", "# Training", "# Chat template:", "# Types:", "# Memory:", "# Speed:"):
        assert f"\n{line}" in path.read_text()
    assert ("not run here" in path.read_text()) == (path.stem not in RUN_HERE)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_train_takes_a_recipe_and_asks_for_what_it_lacks(path: Path) -> None:
    done = CliRunner().invoke(cli.group, ["train", "--config", str(path), "--output", "RUN"])
    assert "learns from `--dataset` and `--data`" in str(done.exception)


def test_the_front_door_is_the_command(tiny: Path, tmp_path: Path) -> None:
    """It works, and not only its help: no file beside it may have the name of a package, such as gguf."""
    path, target = FOLDER / "convert.py", tmp_path / "q8.gguf"
    assert path.stat().st_mode & 0o100
    done = subprocess.run(
        [sys.executable, str(path), "quantize", str(tiny), "--type", "Q8_0", "--output", str(target)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(PACKAGE_PARENT), "PATH": "", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size < tiny.stat().st_size
