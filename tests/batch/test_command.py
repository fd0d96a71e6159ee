"""`trsr-lite batch` on a tiny model: the command, its processes, and Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.commands import Run, runner
from trsr_lite.bench import samples
from trsr_lite.io import lock
from trsr_lite.io.remote import RemotePath

PATIENCE = 300  # seconds; only so that nothing hangs for ever
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and Ray's processes are POSIX")


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(capsys)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve users of 3 to 14 items, and a row that is none."""
    path = tmp_path_factory.mktemp("users") / "users.jsonl"
    lines = ["{"]
    for number in range(12):
        entries = [{"id": item.id, **item.attributes} for item in samples.items(3 + number + 4, number, words=3)]
        lines.append(json.dumps({"user_id": f"u{number}", "history": entries[4:], "candidates": entries[:4]}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def calm(users: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run writes."""
    from trsr_lite import cli

    folder = tmp_path_factory.mktemp("calm")
    arguments = ["--users", users, "--output", folder / "out", "-m", tiny, "--cache-dir", folder / "cache"]
    code = cli.run(["batch", *map(str, arguments), "--partition-users", "2", "--threads", "1"])
    assert code == 0
    return folder / "out"


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_the_command_writes_parts_rejects_and_a_report(
    run: Run, users: Path, calm: Path, tiny: Path, tmp_path: Path
) -> None:
    data = run(
        "batch", "--users", users, "--output", tmp_path / "out", "-m", tiny, "--partition-users", "2", "--json"
    ).json
    assert (data["schema"], data["users"], data["bad"], data["partitions"]) == (1, 12, 1, 6)
    assert parts(tmp_path / "out") == parts(calm)
    assert json.loads((tmp_path / "out" / "rejects.jsonl").read_text())["row"] == 1


def test_the_command_stops_where_strict_and_exits_with_4(run: Run, users: Path, tiny: Path, tmp_path: Path) -> None:
    code, _, err = run("batch", "--users", users, "--output", tmp_path / "out", "-m", tiny, "--strict")
    assert code == 4 and "users.jsonl:1" in err


def test_a_folder_in_use_is_refused_with_the_option_that_goes_on(run: Run, users: Path, calm: Path, tiny: Path) -> None:
    code, _, err = run("batch", "--users", users, "--output", calm, "-m", tiny, "--partition-users", "2")
    assert code == 2 and "--resume" in err


def test_a_folder_where_another_run_is_at_work_is_refused(
    run: Run, users: Path, calm: Path, tiny: Path, tmp_path: Path
) -> None:
    with lock.held(RemotePath(str(calm))):
        code, _, err = run(
            "batch", "--users", users, "--output", calm, "-m", tiny, "--partition-users", "2", "--resume"
        )
    assert code == 2 and f"{calm}: another run is at work" in err and "--resume" in err


def test_gpus_without_ray_are_refused(run: Run, users: Path, tiny: Path, tmp_path: Path) -> None:
    code, _, err = run("batch", "--users", users, "--output", tmp_path / "out", "-m", tiny, "--gpus", "1")
    assert code == 2 and "`--gpus` needs `--engine ray`" in err


def test_without_ray_the_line_that_installs_it_is_shown(
    run: Run, users: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run("batch", "--users", users, "--output", tmp_path / "out", "-m", tiny, "--engine", "ray")
    assert code == 2 and "pip install 'trsr-lite[ray]'" in err


def test_without_pyarrow_the_line_that_installs_it_is_shown(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "users.parquet").write_bytes(b"PAR1")
    code, _, err = run("batch", "--users", tmp_path / "users.parquet", "--output", tmp_path / "out", "-m", tiny)
    assert code == 2 and "pip install 'trsr-lite[parquet]'" in err


def test_what_is_no_parquet_is_bad_input(run: Run, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "users.parquet").write_bytes(b"PAR1 and nothing else")
    code, _, err = run("batch", "--users", tmp_path / "users.parquet", "--output", tmp_path / "out", "-m", tiny)
    assert code == 4 and "users.parquet" in err


@pytest.fixture
def start(users: Path, tiny: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a batch into `tmp_path / "out"` in a process of its own; whatever it started ends with the test."""
    begun: list[subprocess.Popen[str]] = []

    def popen(*options: str) -> subprocess.Popen[str]:
        arguments = ["--users", users, "--output", tmp_path / "out", "-m", tiny, "--cache-dir", tmp_path / "cache"]
        command = [sys.executable, "-m", "trsr_lite", "batch", *map(str, arguments), "--partition-users", "2"]
        begun.append(subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield popen
    for process in begun:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


def _until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    assert condition(), process.stderr and process.stderr.read()


@POSIX
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_was_stopped_goes_on_to_the_same_files(
    start: Callable[..., subprocess.Popen[str]], calm: Path, tmp_path: Path, how: signal.Signals
) -> None:
    out = tmp_path / "out"
    first = start()
    _until(lambda: len(parts(out)) >= 1, first)
    first.send_signal(how)
    assert first.wait(PATIENCE) == (130 if how == signal.SIGINT else -how)
    last = (first.stderr.read() if first.stderr else "").splitlines()[-1:]
    assert last == ["Interrupted; finished files are kept, and `--resume` goes on"] or how == signal.SIGKILL
    assert (out / lock.LOCK).exists() == (how == signal.SIGKILL)
    there = len(parts(out))
    second = start("--resume", "--json")
    report = json.loads(second.communicate(timeout=PATIENCE)[0])
    assert 1 <= there < 6 and report["kept_partitions"] == there
    assert parts(out) == parts(calm)


@POSIX
@pytest.mark.ray
def test_ray_workers_that_are_killed_are_started_again_and_nothing_is_lost(
    start: Callable[..., subprocess.Popen[str]], calm: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    out = tmp_path / "out"
    process = start("--engine", "ray", "--workers", "2", "--json")
    _until(lambda: len(parts(out)) >= 1, process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if child.is_running() and "_Actor" in " ".join(child.cmdline())
    ]
    workers[0].kill()
    data = json.loads(process.communicate(timeout=PATIENCE)[0])
    assert (data["worked_users"], data["failed_users"]) == (12, 0)
    assert parts(out) == parts(calm)
