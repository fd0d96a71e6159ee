"""Threads follow the load: fewer while others need the cores, more when they are free again, never those asked for."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests.engine.test_llama import ANSWERS, several, some_tokens
from trsr_lite import EngineOptions
from trsr_lite.engine import llama, load
from trsr_lite.engine.context import Context
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.load import Load, idle_seconds, runnable

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")


class Machine:
    """A clock, and what each second of it says of the processors."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.idle = self.own = 0.0
        self.others: int | None = None
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: self.own)
        monkeypatch.setattr(load, "idle_seconds", lambda: self.idle)
        monkeypatch.setattr(load, "runnable", lambda: self.others)
        monkeypatch.setattr(os, "cpu_count", lambda: 4)

    def compute(self, threads: Load, *, own: float, idle: float, seconds: float = 1.0) -> bool:
        """A batch that took so long, while we had `own` cores and nobody had `idle`."""
        self.now += seconds
        self.own += own * seconds
        self.idle += idle * seconds
        return threads.look()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.mark.parametrize(
    ("own", "idle", "threads"),
    [
        (4.0, 0.0, 4),  # a quiet machine: all spin
        (3.7, 0.0, 4),  # somebody's mail
        (3.2, 0.0, 3),
        (2.0, 0.0, 2),
        (1.3, 0.0, 1),
        (0.5, 0.0, 1),  # never none
        (1.0, 2.8, 4),  # one long sequential part of our own, and free cores
    ],
)
def test_as_many_threads_compute_as_cores_were_available(
    machine: Machine, own: float, idle: float, threads: int
) -> None:
    of = Load(4)
    machine.compute(of, own=own, idle=idle)
    assert of.now == threads


def test_threads_come_back_when_cores_were_free_twice(machine: Machine) -> None:
    of = Load(4)
    assert machine.compute(of, own=1.0, idle=0.0)
    assert of.now == 1
    assert not machine.compute(of, own=1.0, idle=3.0), "a neighbour may only have paused"
    assert machine.compute(of, own=1.0, idle=3.0)
    assert of.now == 4


def test_a_short_time_says_nothing(machine: Machine) -> None:
    of = Load(4)
    assert not machine.compute(of, own=0.1, idle=0.0, seconds=load.WINDOW / 2)
    assert of.now == 4


def test_waiting_for_a_turn_is_not_taken_for_a_busy_machine(machine: Machine) -> None:
    of = Load(4)
    machine.now += 5.0  # another process of ours computed with all cores
    of.waited()
    machine.compute(of, own=4.0, idle=0.0)
    assert of.now == 4


def test_a_call_after_a_pause_begins_with_the_cores_that_are_free_now(machine: Machine) -> None:
    of = Load(4)
    for others, threads in ((0, 4), (1, 3), (9, 1), (None, 1), (0, 4)):
        machine.now += 10.0
        machine.others = others
        of.begin()
        assert of.now == threads
    machine.others = 9
    of.begin()
    assert of.now == 4, "a moment ago it was known better"


def test_threads_that_were_asked_for_stay(machine: Machine) -> None:
    of = Load(4, fixed=True)
    machine.others = 9
    machine.now += 10.0
    of.begin()
    machine.compute(of, own=0.5, idle=0.0)
    assert of.now == 4


def test_a_system_that_says_nothing_changes_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    of = Load(4)
    monkeypatch.setattr(load, "idle_seconds", lambda: None)
    machine.compute(of, own=0.5, idle=0.0)
    machine.compute(of, own=0.5, idle=0.0)
    assert of.now == 4


@LINUX
def test_idle_seconds_are_those_of_the_processors_that_may_be_used(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    lines = [f"cpu{cpu} 1 2 3 {100 * (cpu + 1)} 50 0 0" for cpu in range(max(mine) + 2)]
    (tmp_path / "stat").write_text("\n".join(["cpu 9 9 9 99999 9", *lines, "intr 1 2"]))
    ticks = os.sysconf("SC_CLK_TCK")
    assert idle_seconds(tmp_path / "stat") == sum(100 * (cpu + 1) + 50 for cpu in mine) / ticks
    assert idle_seconds(tmp_path / "absent") is None
    assert (idle_seconds() or 0) > 0


@LINUX
@pytest.mark.parametrize(("text", "others"), [("0.1 0.2 0.3 4/120 99", 3), ("0 0 0 1/9 1", 0), ("", None), ("x", None)])
def test_runnable_threads_of_others_are_counted_without_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, others: int | None
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: len(os.sched_getaffinity(0)))
    (tmp_path / "loadavg").write_text(text)
    assert runnable(tmp_path / "loadavg") == others
    monkeypatch.setattr(os, "cpu_count", lambda: len(os.sched_getaffinity(0)) + 1)
    assert runnable(tmp_path / "loadavg") is None, "others may be on processors that are not ours"


# In an engine


def test_an_engine_computes_with_fewer_threads_from_the_next_batch_on(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama, "default_threads", lambda: 2)
    monkeypatch.setattr(load, "WINDOW", 0.0)
    monkeypatch.setattr(load, "runnable", lambda: None)
    asked: list[int] = []
    compute_with = Context.compute_with

    def spy(self: Context, threads: int) -> None:
        asked.append(threads)
        compute_with(self, threads)

    monkeypatch.setattr(Context, "compute_with", spy)
    monkeypatch.setattr(Load, "_judge", lambda self, _: setattr(self, "now", 1))
    engine, own = (
        LlamaEngine(tiny, identity="tiny"),
        LlamaEngine(tiny, identity="own", options=EngineOptions(threads=2)),
    )
    prefix, suffixes = some_tokens(600), several((20, 30))
    found = engine.margins(prefix, suffixes, ANSWERS, exact=True)
    assert asked == [2, 1]
    assert own.margins(prefix, suffixes, ANSWERS, exact=True) == found
    assert asked == [2, 1, 2]
    for one in (engine, own):
        one.close()
