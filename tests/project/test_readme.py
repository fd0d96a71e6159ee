"""What the README tells a newcomer to type works as written."""

import re
import shlex
from pathlib import Path

import click
import pytest

from trsr_lite import cli
from trsr_lite.cli.options import CONFIGURABLE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in CONSOLE for line in block.splitlines() if line.strip()]
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def in_root(monkeypatch, smollm2, prepared):
    """The README is read in the project's folder, with the embedded model prepared."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("TRSR_LITE_DATA_DIR", str(prepared))


def test_readme_names_only_make_targets_that_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert {"demo", "test"} <= named <= targets


def test_readme_names_every_option_that_the_environment_and_the_config_file_can_set():
    (sentence,) = re.findall(r"^`--model` \(.*?can also be set as `TRSR_LITE_NAME`", README, re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"`--([a-z-]+)`", sentence)) == set(CONFIGURABLE)


def arguments(command):
    """What a line of the README passes to the command line; None where it starts another program."""
    words = shlex.split(command)
    start = next((place for place, word in enumerate(words) if word in ("trsr-lite", "trsr_lite")), None)
    return None if start is None else words[start + 1 :]


CALLS = [command for command in COMMANDS if arguments(command)]


def is_heavy(command):
    """Whether a command takes long or needs the hub: its options are checked, and other tests run it."""
    return (
        arguments(command)[0] in ("train", "convert", "push", "pull", "evaluate", "bench", "batch", "catalog")
        or "--catalog" in command
    )


@pytest.mark.parametrize("command", [command for command in CALLS if is_heavy(command)])
def test_readme_command_has_options_that_exist(command, monkeypatch):
    ran = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: ran.append(self))
    assert cli.run(arguments(command)) == 0
    assert not isinstance(ran[-1], click.Group)
    assert cli.run([*arguments(command), "--no-such-option"]) == 2


@pytest.mark.real_model
@pytest.mark.parametrize("command", [command for command in CALLS if not is_heavy(command)])
def test_readme_command_runs(command, in_root, capfd):
    assert cli.run(shlex.split(command)[1:]) == 0
    assert capfd.readouterr().out.strip()


@pytest.mark.real_model
@pytest.mark.parametrize("program", [*PROGRAMS, (ROOT / "examples" / "library.py").read_text(encoding="utf-8")])
def test_program_runs(program, in_root, monkeypatch, tmp_path, capsys, prepared):
    from trsr_lite import Recommender

    load = Recommender.load
    monkeypatch.setattr(Recommender, "load", lambda *args, **options: load(*args, data_dir=prepared, **options))
    exec(program, {"__file__": str(ROOT / "examples" / "library.py")})
    assert capsys.readouterr().out.strip()
