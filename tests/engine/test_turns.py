"""Turns between processes: one computes at a time, nobody starves, and no lock outlives who held it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.test_llama import ANSWERS, several, some_tokens
from trsr_lite import Cancellation, Cancelled, EngineOptions
from trsr_lite.engine import llama, load, turns
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.turns import Turns
from trsr_lite.io import folders

ROOT = Path(turns.__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")

# Prints the moments at which each of its turns began and ended, on the clock that all processes share.
WORK = """
import sys, time
from pathlib import Path
from trsr_lite.engine import turns
from trsr_lite.engine.turns import Turns
from trsr_lite.io import folders
turns.SLICE = 0.0
mine = Turns(Path(sys.argv[1]), background=sys.argv[2] == "background")
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        mine.take(lambda: False)
        start = time.monotonic()
        time.sleep(0.02)
        print("turn", start, time.monotonic(), flush=True)
        mine.done()
    mine.end()
    print("end", flush=True)
"""
Start = Callable[..., "subprocess.Popen[str]"]


def never() -> bool:
    return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process that takes turns in `tmp_path`, and waits until it is ready."""
    started: list[subprocess.Popen[str]] = []

    def begin(kind: str = "urgent", code: str = WORK) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen([sys.executable, "-c", code, str(tmp_path), kind], env=environment, **pipes))
        assert read(started[-1]) == ["ready"]
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def read(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split()


def tell(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdin
    process.stdin.write(f"{count}\n")
    process.stdin.flush()


def spans(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    found = []
    while (line := read(process)) != ["end"]:
        found.append((float(line[1]), float(line[2])))
    return found


def test_one_process_computes_at_a_time_and_all_come_to_their_turn(start: Start) -> None:
    processes = [start() for _ in range(3)]
    for process in processes:
        tell(process, 20)
    found = sorted((*span, number) for number, process in enumerate(processes) for span in spans(process))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(found))
    order = [number for _, _, number in found][:30]  # all three still wait for turns
    assert min(map(order.count, range(3))) >= 4, "nobody starves"


def test_two_processes_take_every_other_turn(start: Start) -> None:
    processes = [start() for _ in range(2)]
    for process in processes:
        tell(process, 20)
    order = [number for _, number in sorted((span, number) for number in range(2) for span in spans(processes[number]))]
    both = order[order.index(1) if order[0] == 0 else order.index(0) :][:20]
    assert sum(earlier == later for earlier, later in itertools.pairwise(both)) <= 2


@POSIX
def test_a_killed_process_gives_its_turn_back(start: Start, tmp_path: Path) -> None:
    holder = start(code=WORK.replace("time.sleep(0.02)", "print('turn', flush=True) or time.sleep(60)"))
    tell(holder, 1)
    assert read(holder) == ["turn"]
    mine = Turns(tmp_path)
    waiting = threading.Thread(target=mine.take, args=(never,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    holder.kill()
    waiting.join(30)
    assert not waiting.is_alive()
    mine.end()


@POSIX
def test_nobody_waits_for_ever_for_a_process_that_was_stopped(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start(code=WORK.replace("time.sleep(0.02)", "print('turn', flush=True) or time.sleep(60)"))
    tell(holder, 1)
    assert read(holder) == ["turn"]
    holder.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(turns, "PATIENCE", 0.2)
    mine = Turns(tmp_path)
    assert mine.take(never)
    assert not mine.take(never), "patience is lost once, not at every batch"
    mine.end()


def test_a_clock_that_jumps_changes_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = Turns(tmp_path), Turns(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    mine.take(never)
    waiting = threading.Thread(target=other.take, args=(never,))
    waiting.start()
    monkeypatch.setattr(time, "time", lambda: 1e12)
    waiting.join(0.2)
    assert waiting.is_alive()
    mine.end()
    waiting.join(30)
    other.end()


def test_who_waits_stops_when_told_so(tmp_path: Path) -> None:
    mine, other = Turns(tmp_path), Turns(tmp_path)
    mine.take(never)
    stop = threading.Event()
    waiting = threading.Thread(target=other.take, args=(stop.is_set,))
    waiting.start()
    stop.set()
    waiting.join(30)
    assert not waiting.is_alive()
    mine.end()
    assert not Turns(tmp_path).take(never), "who was stopped holds nothing"


def test_work_in_the_background_waits_while_another_call_goes_on(start: Start, tmp_path: Path) -> None:
    behind = start("background")
    mine = Turns(tmp_path)
    mine.take(never)
    tell(behind, 3)
    monotonic = time.monotonic()
    while time.monotonic() < monotonic + 0.3:  # between batches of the call nobody has the turn
        mine._end_turn()
        time.sleep(0.01)
        mine.take(never)
    mine.end()
    ended = time.monotonic()
    assert min(begun for begun, _ in spans(behind)) >= ended - 0.02


def test_work_in_the_background_does_not_starve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "REST", 0.1)
    mine, behind = Turns(tmp_path), Turns(tmp_path, background=True)
    mine.take(never)
    mine._end_turn()
    assert behind.take(never)
    behind.end()
    mine.end()


def test_short_batches_share_one_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = Turns(tmp_path), Turns(tmp_path)
    assert other._opened()
    mine.take(never)
    mine.done()
    assert not other._try("turn")
    monkeypatch.setattr(turns, "SLICE", 0.0)
    mine.done()
    assert other._try("turn")
    other.end()


def test_where_nothing_can_be_locked_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    mine, other = Turns(tmp_path / "file" / "locks"), Turns(tmp_path / "file" / "locks")
    assert not mine.take(never)
    assert not other.take(never)
    mine.done()
    mine.end()


@POSIX
def test_a_folder_of_another_user_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert not Turns(tmp_path / "locks").take(never)
    assert not list((tmp_path / "locks").iterdir())


@POSIX
def test_a_forked_child_gives_nothing_back(tmp_path: Path) -> None:
    mine = Turns(tmp_path)
    mine.take(never)
    if not (child := os.fork()):
        mine.end()
        mine.take(lambda: True)
        os._exit(7 if mine._since is None else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    other = Turns(tmp_path)
    assert other._opened() and not other._try("turn")
    mine.end()
    assert other._try("turn")
    other.end()


@POSIX
def test_only_the_owner_may_open_the_locks(tmp_path: Path) -> None:
    mine = Turns(tmp_path / "locks")
    mine.take(never)
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "locks").iterdir()} == {0o600}
    mine.end()


# In an engine


@pytest.fixture
def engine(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LlamaEngine]:
    monkeypatch.setattr(llama, "default_threads", lambda: 2)
    monkeypatch.setattr(load, "runnable", lambda: 0)  # on a machine where nobody else computes
    monkeypatch.setattr(load.Load, "look", lambda _: False)
    engine = LlamaEngine(tiny, identity="tiny")
    yield engine
    engine.close()


def test_an_engine_holds_the_turn_while_it_computes_and_never_between_calls(engine: LlamaEngine) -> None:
    other, held = Turns(folders.runtime()), []
    assert other._opened()

    def look(_done: int, _total: int) -> None:
        if got := other._try("turn"):
            other._release("turn")
        held.append(not got)

    engine.generate(several((9, 12)), max_tokens=6, stop="", on_progress=look)
    assert any(held)
    assert other._try("turn")
    other._release("turn")


def test_an_engine_whose_threads_leave_room_takes_no_turn(engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Turns(folders.runtime())
    other.take(never)
    monkeypatch.setattr(engine._load, "now", 1)
    monkeypatch.setattr(load, "runnable", lambda: 9)
    assert len(engine.margins(some_tokens(20), several((5, 6)), ANSWERS)) == 2, "it did not wait for the other's turn"
    other.end()


def test_a_call_that_waits_for_its_turn_can_be_cancelled(engine: LlamaEngine) -> None:
    other = Turns(folders.runtime())
    other.take(never)
    stop = Cancellation()
    threading.Timer(0.1, stop.cancel).start()
    with pytest.raises(Cancelled):
        engine.margins(some_tokens(20), several((5, 6)), ANSWERS, cancel=stop)
    other.end()
    assert len(engine.margins(some_tokens(20), several((5, 6)), ANSWERS)) == 2


@pytest.mark.parametrize(("threads", "cores", "taking"), [(None, 8, True), (8, 8, True), (4, 8, False), (1, 1, False)])
def test_only_who_would_fill_more_than_half_of_the_cores_takes_turns(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, threads: int | None, cores: int, taking: bool
) -> None:
    monkeypatch.setattr(llama, "default_threads", lambda: cores)
    engine = LlamaEngine(tiny, identity="tiny", options=EngineOptions(threads=threads), vocab_only=True)
    assert (engine._turns is not None) == taking
    engine.close()
