"""The line that moves while llama.cpp is built, and the image of the GPU box."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "convert" / "Dockerfile").read_text(encoding="utf-8")


def install(log: Path, script: str, *, prefix: str = "") -> subprocess.CompletedProcess[str]:
    """Run the script of the Makefile on a program that says something."""
    program = (
        f"import pathlib, sys; sys.path.insert(0, {str(ROOT)!r}); import install; {prefix}"
        f"sys.exit(install.run(pathlib.Path({str(log)!r}), [sys.executable, '-c', {script!r}]))"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (b"", "starting"),
        (b"Collecting click>=8.1\n  Downloading click-8.2.whl (1 kB)\n", "downloading click-8.2.whl"),
        (b"  Building wheel for llama-cpp-python (pyproject.toml): started\n", "building wheel for llama-cpp-python"),
        (b"Building wheel for x\n  [50/200] Building CXX object a.o\n  [51/200] Linking", "building llama.cpp 25 %"),
        (b"[200/200] Linking CXX\nInstalling collected packages: click\n", "installing collected"),
        (b"[1/0] Building", "building llama.cpp 100 %"),
        (b"\xff\xfe[2/4] Building", "building llama.cpp 50 %"),
    ],
)
def test_the_end_of_a_log_says_what_is_done_now(log: bytes, said: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys, install; print(install.stage(sys.stdin.buffer.read()))"],
        input=log,
        capture_output=True,
        cwd=ROOT,
    )
    assert found.stdout.decode().strip() == said


def test_what_lasts_is_shown_and_everything_is_in_the_log(tmp_path: Path) -> None:
    script = "import time; print('[1/4] Building CXX', flush=True); time.sleep(0.5); print('end')"
    done = install(tmp_path / "new" / "log", script, prefix="install.WAIT = 0.02; install.PAUSE = 0.0; ")
    assert done.returncode == 0
    assert re.search(r"^  0:00  building llama\.cpp 25 %$", done.stderr, re.MULTILINE)
    assert done.stdout == ""
    assert (tmp_path / "new" / "log").read_text().splitlines() == ["[1/4] Building CXX", "end"]


def test_a_failure_shows_the_end_of_the_log_and_keeps_its_status(tmp_path: Path) -> None:
    done = install(tmp_path / "log", "print(*range(100), sep='\\n'); raise SystemExit(3)")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-2:] == [
        "99",
        f"Error: the installation failed; all of it is in {tmp_path / 'log'}",
    ]
    assert done.stderr.startswith("80\n")
    assert "\n70\n" not in done.stderr


def test_the_image_copies_what_there_is_and_installs_extras_that_exist() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert names
    assert all((ROOT / name).exists() for name in names)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [extras] = re.findall(r"'\.\[(.+?)\]'", DOCKERFILE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert {"train", "smollm2"} <= set(extras.split(","))
    assert project["readme"] in names
    assert set(project["license-files"]) <= set(names), "a build without them fails"
