"""What `--help` and a wrong name show: examples that can be typed, headings, plain sentences, the nearest name."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.commands import Run, runner
from tests.conftest import PACKAGE_PARENT
from trsr_lite import cli
from trsr_lite.cli import manual

WORDS = 20  # most in a sentence


def commands(group: click.Group = cli.group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands())
NAMES = [" ".join(path) or "trsr-lite" for path in COMMANDS]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


# Examples


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_every_help_ends_with_examples(run: Run, path: tuple[str, ...]) -> None:
    _, text, examples = run(*path, "--help").out.rpartition("\nExamples:\n")
    assert text
    lines = examples.splitlines()
    assert lines
    assert all(line.startswith("  trsr-lite ") and len(line) <= 96 for line in lines)


def examples() -> Iterator[str]:
    for command in COMMANDS.values():
        assert isinstance(command, (manual.Command, manual.Group))
        yield from command.examples


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_an_example_can_be_typed(run: Run, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sold.txt", "recipe.toml"):
        (tmp_path / name).touch()
    ran: list[click.Command] = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: ran.append(self))
    done = run(*shlex.split(line.partition(" > ")[0])[1:])
    assert done.code == 0, done.err
    assert not isinstance(ran[-1], click.Group)


def test_a_command_is_shown_by_one_of_its_own_examples() -> None:
    for path, command in COMMANDS.items():
        assert isinstance(command, (manual.Command, manual.Group))
        start = "trsr-lite " + " ".join(path).removesuffix(" bundle")
        assert any(line.startswith(start.strip()) for line in command.examples), path


# Texts


def sentences(text: str) -> list[str]:
    text = re.sub(r"\[default: .*?\]|(?<=from )(?:[\w-]+, )+\w+", "", text)  # nor lists of words
    return [one for one in re.split(r"(?<=[.?!:;])\s+|\n\s*\n", text) if one.strip()]


@pytest.mark.parametrize("path", COMMANDS, ids=NAMES)
def test_no_sentence_of_a_help_is_long(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    texts = [str(command.help), *(str(one.help) for one in command.params if isinstance(one, click.Option))]
    long = [one for text in texts for one in sentences(text) if len(one.split()) > WORDS]
    assert long == []


def test_a_command_begins_with_what_the_list_of_commands_says() -> None:
    for name, text in cli.COMMANDS.items():
        assert str(COMMANDS[(name,)].help).startswith(text.rstrip(".")), name
    listed = [name for section in cli.SECTIONS.values() for name in section]
    assert sorted(listed) == sorted(set(listed)) == sorted(cli.COMMANDS)


def test_the_options_of_train_stand_under_headings(run: Run) -> None:
    out = run("train", "--help").out
    headings = re.findall(r"^(\S[^:\n]*):$", out, re.MULTILINE)
    assert headings == [
        "Options", "Data", "Users", "Candidates", "Base model", "Adapter", "Loss", "Steps and optimizer", "Validation",
        "Prompts and summaries", "Ranking", "Machine", "Examples",
    ]  # fmt: skip
    blocks = re.split(r"^\S[^:\n]*:$", out, flags=re.MULTILINE)[1:]
    flags = [re.findall(r"^  (?:-\w, )?(--[\w-]+)", block, re.MULTILINE) for block in blocks]
    shown = dict(zip(headings, flags, strict=True))
    assert all(len(names) <= 13 for names in shown.values())
    assert {"--rank", "--alpha", "--layers"} <= set(shown["Adapter"])
    known = [one.opts[-1] for one in COMMANDS[("train",)].params]
    assert sorted(name for names in shown.values() for name in names) == sorted([*known, "--help"])


def test_help_is_the_same_without_docstrings(run: Run) -> None:
    """`python -OO` strips them."""
    paths = [list(path) for path in COMMANDS]
    code = f"from trsr_lite import cli\nfor path in {paths!r}: cli.run([*path, '--help'])"
    done = subprocess.run(
        [sys.executable, "-OO", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(PACKAGE_PARENT)}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(run(*path, "--help").out for path in paths)


# Wrong names


@pytest.mark.parametrize(
    ("arguments", "error", "near"),
    [
        (["recomend"], "No such command 'recomend'.", "recommend"),
        (["cache", "inf"], "No such command 'inf'.", "info"),
        (["catalog", "delete"], "No such command 'delete'.", None),
        (["convert", "verfy", "x"], "No such step or run 'verfy'.", "verify"),
        (["recommend", "--usr", "x"], "No such option", "--user"),
        (["train", "--learning-rat", "1"], "No such option", "--learning-rate"),
        (["recommend", "--zzzzzz"], "No such option", None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_name_suggests_the_nearest(run: Run, arguments: list[str], error: str, near: str | None) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: {error}")
    assert "Did you mean" not in err
    hints = [line for line in err.splitlines() if line.startswith("hint: ")]
    assert hints == ([f"hint: did you mean `{near}`?"] if near else [])


def test_a_run_with_a_name_like_a_steps_is_a_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundles").mkdir()
    assert "No such step" not in run("convert", "bundles", "--output", "x").err
    assert "No such step" in run("convert", "bundle5", "--output", "x").err
