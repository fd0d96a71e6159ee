"""What goes wrong around a run: interrupts, kills, neighbours, full disks, networks. Nothing finished is lost.

The strategy is `recurrent`, one text at a time, so that a resumed run computes exactly what an undisturbed one does.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trsr_lite.models import default
from trsr_lite.summaries.store import FILE_NAME, SummaryStore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX")

ROOT = Path(__file__).parents[2]
BLOCKS = 60
PATIENCE = 120.0
MEGABYTE = 1 << 20

Start = Callable[..., "subprocess.Popen[str]"]


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, looking often; a deadline ends it."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        pause.wait(0.005)


@pytest.fixture(scope="module")
def user_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history so long that summarizing it one block after another can be interrupted."""
    history = [{"id": f"h{index}", "title": f"Film number {index}"} for index in range(5 * BLOCKS)]
    candidates = [{"id": f"c{index}", "title": f"Book number {index}"} for index in range(6)]
    path = tmp_path_factory.mktemp("faults") / "user.json"
    path.write_text(json.dumps({"user_id": "u1", "history": history, "candidates": candidates}))
    return path


@pytest.fixture
def start(tiny: Path, user_file: Path) -> Iterator[Start]:
    """Starts `trsr-lite recommend … --json` in a process of its own; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def popen(cache: Path, *arguments: str, program: tuple[str, ...] = ("-m", "trsr_lite"), **more: Any) -> Any:
        command = [
            sys.executable,
            *program,
            "recommend",
            "--user",
            str(user_file),
            "-m",
            str(tiny),
            "--json",
            "--exact",
        ]
        machine = ["--threads", "1", "--cache-dir", str(cache), "--strategy", "recurrent"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*command, *machine, *arguments], cwd=ROOT, text=True, **pipes, **more)
        running.append(process)
        return process

    yield popen
    for process in running:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> tuple[Any, str]:
    """What a run that must succeed printed: its JSON, and stderr without the hint."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return json.loads(out), "".join(line for line in err.splitlines(keepends=True) if not line.startswith("hint: "))


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, user_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result where nothing goes wrong."""
    from trsr_lite import EngineOptions, Recommender, read_user

    folder = tmp_path_factory.mktemp("undisturbed")
    options = EngineOptions(threads=1)
    with Recommender.load(tiny, cache_dir=folder, options=options, strategy="recurrent") as recommender:
        return recommender.recommend(read_user(user_file), exact=True).to_dict()


def stored(cache: Path) -> dict[str, str]:
    """The summaries that another process has committed."""
    try:
        with closing(sqlite3.connect(f"file:{cache / FILE_NAME}?mode=ro", uri=True)) as connection:
            return dict(connection.execute("SELECT key, text FROM summaries"))
    except sqlite3.OperationalError:  # not made yet
        return {}


# Interrupted


def test_ctrl_c_keeps_finished_summaries_for_the_next_run(
    start: Start, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    process = start(tmp_path)
    until(lambda: len(stored(tmp_path)) >= 3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert err.split("\n")[-2:] == ["Interrupted; finished summaries are kept", ""]
    assert len([line for line in err.splitlines() if line]) == 1
    kept = stored(tmp_path)
    assert 3 <= len(kept) < BLOCKS

    again, warnings = finish(start(tmp_path))
    assert warnings == ""
    assert again["stats"]["summary_cache_hits"] == len(kept)
    assert again["stats"]["summary_calls"] == BLOCKS - len(kept)
    assert again["summary"] == undisturbed["summary"]
    assert again["recommendations"] == undisturbed["recommendations"]
    assert kept.items() <= stored(tmp_path).items()


def test_kill_9_keeps_finished_summaries_for_the_next_run(
    start: Start, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    process = start(tmp_path)
    until(lambda: len(stored(tmp_path)) >= 3)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    kept = stored(tmp_path)
    assert 3 <= len(kept) < BLOCKS
    with closing(SummaryStore(tmp_path)) as store:
        assert store.info()["summaries"] == len(kept)

    again, warnings = finish(start(tmp_path))
    assert warnings == ""
    assert again["stats"]["summary_cache_hits"] == len(kept)
    assert again["recommendations"] == undisturbed["recommendations"]
    assert [path for path in tmp_path.iterdir() if "corrupt" in path.name] == []


def test_terminating_keeps_finished_summaries(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path)
    until(lambda: len(stored(tmp_path)) >= 1)
    process.terminate()
    out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert out == ""
    assert 1 <= len(stored(tmp_path)) < BLOCKS


INTERRUPTED_LOG = """
import os, signal, sys
from pathlib import Path
from trsr_lite.engine import library as binding, model as native
class Levels(dict):  # looked up for each line of the log
    def get(self, *arguments):
        if not seen:
            seen.append(1)
            os.kill(os.getpid(), signal.SIGINT)
        return super().get(*arguments)
seen = []
native.library()
binding.LEVELS = Levels(binding.LEVELS)
try:
    native.NativeModel(Path(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_while_llama_cpp_logs_is_not_lost(
    python: Callable[..., subprocess.CompletedProcess[str]], tiny: Path
) -> None:
    done = python("-c", INTERRUPTED_LOG, tiny)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


# Neighbours


def test_two_processes_on_one_cache_both_succeed(start: Start, tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for result, warnings in [finish(process) for process in (start(tmp_path), start(tmp_path))]:
        assert warnings == ""
        assert result["summary"] == undisturbed["summary"]
        assert result["recommendations"] == undisturbed["recommendations"]
    assert len(stored(tmp_path)) == BLOCKS


# Disks


def limited(size: int) -> Callable[[], None]:
    """A `preexec_fn` after which no file can grow beyond `size` bytes, as if the disk were full."""

    def limit() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def assert_one_warning(warnings: str) -> None:
    (line,) = warnings.splitlines()
    assert line.startswith("warning: ")
    assert "new summaries are not kept" in line


def test_a_cache_folder_that_cannot_be_made_costs_one_warning(
    start: Start, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("in the way")
    result, warnings = finish(start(tmp_path / "file" / "cache"))
    assert_one_warning(warnings)
    assert result["recommendations"] == undisturbed["recommendations"]


@pytest.mark.parametrize("size", [0, 20_000, 60_000])
def test_a_full_disk_costs_one_warning(start: Start, tmp_path: Path, undisturbed: dict[str, Any], size: int) -> None:
    result, warnings = finish(start(tmp_path, preexec_fn=limited(size)))
    assert_one_warning(warnings)
    assert result["recommendations"] == undisturbed["recommendations"]

    again, warnings = finish(start(tmp_path))  # with room again, what had fitted is used
    assert warnings == ""
    assert again["recommendations"] == undisturbed["recommendations"]


PREPARE = """
import sys
from pathlib import Path
from trsr_lite import ModelError; from trsr_lite.models import default as embedded
try:
    embedded.prepare(Path(sys.argv[1]), offline=True)
except ModelError as error:
    print(error, error.hint, sep="\\n")
"""


@pytest.mark.real_model
@pytest.mark.parametrize("size", [0, 20 * MEGABYTE])
def test_a_full_disk_while_preparing_leaves_no_half_model(smollm2: Path, tmp_path: Path, size: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=limited(size),
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written" in done.stdout
    assert not default.folder(tmp_path).exists()
    assert list((tmp_path / "models").iterdir()) == []


# Networks

GUARDED = """
import json, os, sys
seen = []
def guard(event, arguments):
    if event.split(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib"):
        seen.append(event)
        raise RuntimeError(f"{event} is forbidden here")
sys.addaudithook(guard)
def forbidden(name):
    def refuse(*_, **__):
        seen.append(name)
        raise RuntimeError(f"{name} is forbidden here")
    return refuse
import socket
for name in ("create_connection", "getaddrinfo", "gethostbyname", "socketpair"):
    setattr(socket, name, forbidden(name))
"""
RUN_GUARDED = (
    f"{GUARDED}\nfrom trsr_lite.cli import run\ncode = run(sys.argv[1:])\nassert not seen, seen\nsys.exit(code)"
)


@pytest.mark.parametrize("arguments", [(), ("--offline",)])
def test_a_run_opens_no_socket(start: Start, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result, warnings = finish(start(tmp_path, *arguments, "--strategy", "none", program=("-c", RUN_GUARDED)))
    assert warnings == ""
    assert len(result["recommendations"]) == 6


@pytest.mark.parametrize(
    "action",
    [
        "socket.socket()",
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('localhost', 80)",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1:9')",
        "__import__('huggingface_hub').hf_hub_download('a/b', 'c')",
    ],
)
def test_the_guard_notices_every_way_to_the_network(tmp_path: Path, action: str) -> None:
    script = f"{GUARDED}\ntry:\n    {action}\nexcept Exception as error:\n    pass\nsys.exit(len(seen))"
    environment = {**os.environ, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, timeout=PATIENCE
    )
    assert done.returncode > 0, done.stderr
