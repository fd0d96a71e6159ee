"""Both programs as a folder that needs no Python: built, then run as on a machine that has nothing. `make frozen`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import screens
from tests.commands import runner
from trsr_lite.cli import COMMANDS
from trsr_lite.models import default

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples" / "frozen"
NEWS = ROOT / "examples" / "news_reader.json"
WANTED = "TRSR_LITE_FROZEN" in os.environ  # read before the tests' environment is cleaned
HANG = 300.0
LEFT_OUT = ("train", "convert", "evaluate")
SUFFIX = ".exe" if os.name == "nt" else ""

building = pytest.mark.skipif(not WANTED, reason="building takes minutes: `make frozen`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """The folder that `examples/frozen/build.py` makes, moved to where nothing else is."""
    dist = tmp_path_factory.mktemp("dist")
    command = [sys.executable, RECIPE / "build.py", "--dist", dist, "--model", default.folder(prepared)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    moved = tmp_path_factory.mktemp("elsewhere") / "app"
    return (dist / "trsr-lite").rename(moved)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment that knows no Python and an empty home."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP") if name in os.environ}
    return {**kept, "HOME": str(tmp_path), "PATH": os.defpath, "LANG": "C.UTF-8"}


@building
@pytest.mark.real_model
def test_the_adapters_of_the_default_go_along(folder: Path) -> None:
    within = folder / "_internal" / "trsr_lite" / "default"
    assert {path.name for path in within.iterdir()} == {path.name for path in default.ADAPTERS.iterdir()}


@building
@pytest.mark.real_model
def test_the_frozen_command_ranks_as_the_library_does(folder: Path, bare: dict[str, str], prepared: Path) -> None:
    from trsr_lite import Recommender, read_user

    arguments = ["recommend", "--user", str(NEWS), "--domain", "news", "--strategy", "none", "--exact", "--json"]
    done = subprocess.run(
        [folder / f"trsr-lite{SUFFIX}", *arguments, "--offline"], env=bare, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    found = [(entry["id"], entry["margin"]) for entry in json.loads(done.stdout)["recommendations"]]
    with Recommender.load(default.folder(prepared), domain="news", strategy="none") as recommender:
        result = recommender.recommend(read_user(NEWS), exact=True, k=10)
    assert found == [(entry.item.id, entry.margin) for entry in result.recommendations]


@building
@pytest.mark.real_model
@pytest.mark.parametrize("command", [["--help"], ["doctor"], ["prompt", "--user", str(NEWS)], ["inspect", "{}/model"]])
def test_the_frozen_command_has_every_module_it_needs(folder: Path, bare: dict[str, str], command: list[str]) -> None:
    arguments = [argument.format(folder) for argument in command]
    done = subprocess.run(
        [folder / f"trsr-lite{SUFFIX}", *arguments], env=bare, capture_output=True, text=True, timeout=HANG
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.fixture
def screen() -> Iterator[screens.Screen]:
    if packages := screens.missing():
        pytest.fail(f"needs a virtual screen: apt install {' '.join(packages)}")
    with screens.screen() as screen:
        yield screen


@building
@pytest.mark.real_model
@pytest.mark.skipif(sys.platform != "linux", reason="the virtual screen is Xvfb")
def test_the_frozen_window_ranks_with_the_model_beside_it(
    folder: Path, bare: dict[str, str], screen: screens.Screen
) -> None:
    reader = subprocess.Popen([folder / "desktop-reader"], env={**bare, "DISPLAY": screen.name})
    end = time.monotonic() + HANG
    while not screen.shows("^Desktop reader: 12 articles ranked$"):
        assert reader.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    screen.xdotool("search", "--name", "^Desktop reader", "windowfocus", "--sync", "key", "ctrl+q")
    assert reader.wait(HANG) == 0


@building
def test_the_sizes_of_the_readme_have_the_parts_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(RECIPE))
    import build

    text = (RECIPE / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| ([^|]+) \| [\d.]+ MiB \|$", text, re.MULTILINE))
    assert set(build.parts(folder)) == listed


@pytest.mark.parametrize("command", [["recommend", "--user", str(NEWS)], ["inspect"]], ids=["recommend", "inspect"])
def test_the_model_beside_the_frozen_command_is_only_its_default(tmp_path: Path, command: list[str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text('model = "mine.gguf"\n')
    beside = Path(sys.executable).parent / "model"
    for options, model in (([], beside), (["--config", config], "mine.gguf")):
        done = subprocess.run(
            [sys.executable, RECIPE / "command.py", *options, *command],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, f"Error: {model}: there is no such model" in done.stderr) == (3, True), done.stderr


def test_no_frozen_command_is_left_out() -> None:
    """The hook names every module by itself, except what needs torch."""
    hook = (RECIPE / "hook-trsr_lite.py").read_text(encoding="utf-8")
    heavy = set(re.findall(r'"trsr_lite\.([\w.]+)"', hook))
    assert heavy == {"training", "conversion", "evaluation", *(f"cli.{name}" for name in LEFT_OUT)}
    package = ROOT / "trsr_lite"
    assert all((package / name).is_dir() or (package / f"{name.replace('.', '/')}.py").is_file() for name in heavy)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_command_that_was_left_out_is_not_listed_and_says_so(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, f"trsr_lite.cli.{name}", None)  # as if it were not there
    run = runner(capsys)
    shown = run("--help").out.partition("\nOptions:")[2].partition("\nExamples:")[0]
    listed = re.findall(r"^  (\w+) ", shown, re.MULTILINE)
    assert sorted([*listed, name]) == sorted(COMMANDS)
    assert run(name, "--help") == (
        1, "", f"Error: `{name}` is not part of this program\nhint: install trsr-lite with Python: it is there\n"
    )  # fmt: skip


def test_what_is_no_bundle_is_refused_before_anything_is_built(tmp_path: Path, tiny: Path) -> None:
    command = [sys.executable, RECIPE / "build.py", "--dist", tmp_path / "dist", "--model", tiny]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{tiny} is no bundle folder" in done.stderr
    assert not (tmp_path / "dist").exists()
