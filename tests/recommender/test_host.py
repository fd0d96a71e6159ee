"""In another program's process: it finds everything as it was, any number of threads may call, and files may vanish."""

from __future__ import annotations

import dataclasses
import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_gguf
from trsr_lite import Cancellation, Cancelled, EngineOptions, ModelError, Recommender, StoreError, TrsrError, User
from trsr_lite.models.bundle import ModelFile
from trsr_lite.summaries import database
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing import FakeEngine, wait_until

Python = Callable[..., "subprocess.CompletedProcess[str]"]
ONE = EngineOptions(threads=1)
TINY: dict[str, Any] = {"options": ONE, "summary_tokens": 8, "strategy": "recurrent", "item_tokens": 16}


@pytest.fixture
def tiny_recommender(tiny: Path, tmp_path: Path) -> Iterator[Recommender]:
    with Recommender.load(tiny, cache_dir=tmp_path / "cache", **TINY) as recommender:
        yield recommender


def parts(user: User) -> list[User]:
    """The same reader at several times, and others with other histories."""
    few = dataclasses.replace(user, candidates=user.candidates[:6])
    return [
        dataclasses.replace(few, user_id=f"reader {start}-{end}", history=user.history[start:end])
        for start, end in ((0, 4), (0, 5), (0, 11), (3, 20), (6, 17), (0, 23))
    ]


# What the host has

HOST = """
import ctypes, json, locale, logging, os, signal, sys, threading
from pathlib import Path

def state():
    links = {path.name: os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.exists()}
    ignored = ("/proc", os.devnull)  # llama_cpp opens the null device when it is imported
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\\t") for line in lines if line.startswith("Sig"))
    glibc = ~(3 << 31)  # the signals 32 and 33 belong to its threads
    return {
        "descriptors": {fd: target for fd, target in links.items() if not target.startswith(ignored)},
        "environment": dict(os.environ),
        "environment of C": [str(ctypes.CDLL(None).getenv(name)) for name in (b"GOMP_SPINCOUNT", b"OMP_WAIT_POLICY")],
        "locale": locale.setlocale(locale.LC_ALL),
        "handlers": {number: repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "signals": [int(status[name], 16) & glibc for name in ("SigBlk", "SigIgn", "SigCgt")],
        "folder": os.getcwd(),
        "hooks": [repr(hook) for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook)],
        "streams": [id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)],
        "log": [logging.root.level, repr(logging.root.handlers), logging.lastResort is not None],
        "threads": [thread.name for thread in threading.enumerate()],
        "limits": [sys.getrecursionlimit(), sys.getswitchinterval()],
    }

model, folder, user = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
before = state()
from trsr_lite import EngineOptions, Recommender
loading = dict(options=EngineOptions(threads=1), strategy="recurrent", summary_tokens=8, unload_after=60.0)
with Recommender.load(model, cache_dir=folder / "one", **loading) as one:
    with Recommender.load(model, cache_dir=folder / "two", **loading) as two:
        first, second = one.recommend(user), two.recommend(user)
        assert first.recommendations == second.recommendations
        one.update(user, {"id": "new", "title": "A new article"})
        one.summarize(user)
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

for cycle in range(23):
    with Recommender.load(model, cache_dir=folder / "one", **loading) as again:
        again.recommend(user)
    if cycle == 2:
        settled = resident()
print(resident() - settled)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_host_finds_everything_as_it_was_and_its_memory_back(
    python: Python, tiny: Path, tmp_path: Path, news_user: User
) -> None:
    import orjson

    items = [{"id": item.id, **item.attributes} for item in news_user.history[:11]]
    user = {"user_id": "u", "history": items, "candidates": items[:3]}
    (tmp_path / "user.json").write_bytes(orjson.dumps(user))
    done = python("-c", HOST, tiny, tmp_path, tmp_path / "user.json")
    changed, growth = done.stdout.splitlines()
    assert changed == "[]"
    assert int(growth) < 5_000_000
    assert done.stderr == ""


# Many threads


def mixed(recommender: Recommender, users: list[User], seed: int, calls: int) -> list[tuple[str, int, Any]]:
    """Random calls with random cancels; (kind, user, what it returned) of those that were not cancelled."""
    dice, done = random.Random(seed), []
    for _ in range(calls):
        number, stop = dice.randrange(len(users)), Cancellation()
        user = users[number]
        kind = dice.choice(["recommend", "exact", "summarize", "summaries", "update", "describe"])
        timer = threading.Timer(dice.random() / 50, stop.cancel) if dice.random() < 0.4 else None
        if timer:
            timer.start()
        try:
            if kind in ("recommend", "exact"):
                found: Any = recommender.recommend(user, k=5, exact=kind == "exact", cancel=stop).recommendations
            elif kind == "summarize":
                found = recommender.summarize(user, cancel=stop).summary
            elif kind == "summaries":
                found = [one.text for one in recommender.summaries([user.history], cancel=stop)]
            elif kind == "update":
                found = recommender.update(user, user.candidates[number], cancel=stop)
            else:
                found = recommender.describe()
            done.append((kind, number, found))
        except Cancelled:
            pass
        finally:
            if timer:
                timer.cancel()
                timer.join()
    return done


@pytest.mark.parametrize("kind", ["scripted", "tiny"])
def test_many_threads_with_random_cancels_get_what_one_thread_gets(
    request: pytest.FixtureRequest, news_user: User, tiny: Path, tmp_path: Path, kind: str
) -> None:
    if kind == "scripted":
        make = request.getfixturevalue("make_recommender")
        shared, alone = make(), make()
    else:
        shared, alone = (Recommender.load(tiny, cache_dir=tmp_path / name, **TINY) for name in ("shared", "alone"))
    users = parts(news_user)
    with shared, alone:
        with ThreadPoolExecutor(8) as pool:
            done = [entry for part in pool.map(lambda seed: mixed(shared, users, seed, 50), range(8)) for entry in part]
        assert len(done) > 200
        summarized = {number for kind, number, _ in done if kind in ("recommend", "exact", "summarize", "summaries")}
        lost = [number for number in summarized if shared.summarize(users[number]).stats.summary_calls]
        assert lost == []
        expected = {
            (kind, number): mixed_once(alone, users[number], number, kind)
            for kind, number in {(kind, number) for kind, number, _ in done}
        }
        wrong = [(kind, number) for kind, number, found in done if found != expected[kind, number]]
        assert wrong == []


def mixed_once(recommender: Recommender, user: User, number: int, kind: str) -> Any:
    if kind in ("recommend", "exact"):
        return recommender.recommend(user, k=5, exact=kind == "exact").recommendations
    if kind == "summarize":
        return recommender.summarize(user).summary
    if kind == "summaries":
        return [one.text for one in recommender.summaries([user.history])]
    return recommender.update(user, user.candidates[number]) if kind == "update" else recommender.describe()


def test_closing_while_many_call_ends_every_call(tiny: Path, tmp_path: Path, news_user: User) -> None:
    recommender = Recommender.load(tiny, cache_dir=tmp_path / "cache", **TINY)
    begun, ends = threading.Barrier(9), []

    def call() -> None:
        begun.wait(60)
        try:
            while True:
                recommender.recommend(news_user)
        except TrsrError as error:
            ends.append(type(error).__name__)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    recommender.close()
    for thread in threads:
        thread.join(60)
    assert len(ends) == 8 and set(ends) <= {"Closed", "Cancelled"}
    assert recommender.loaded == ()


def test_two_threads_may_close_at_once(fake_recommender: Recommender, store: SummaryStore, news_user: User) -> None:
    """The second closes while the first is about to close an engine, and closes the others."""
    closed: list[str] = []

    class Contested(FakeEngine):
        def close(self) -> None:
            closed.append(self.identity)
            if len(closed) == 1:
                second = threading.Thread(target=recommender.close)
                second.start()
                second.join(60)
                assert not second.is_alive()

    def open_engine(file: ModelFile, *_: Any) -> FakeEngine:
        return Contested(identity=file.identity)

    recommender = Recommender(fake_recommender.bundle, store, open_engine)
    recommender.recommend(news_user)
    loaded = recommender.loaded
    recommender.close()
    assert recommender.loaded == ()
    assert len(loaded) == 2 and sorted(closed) == sorted(loaded)


# Files that vanish, memory that is not there


def test_a_model_file_that_vanishes_serves_on_and_is_missed_at_the_next_load(
    tiny: Path, tmp_path: Path, news_user: User
) -> None:
    path, kept = tmp_path / "model.gguf", tmp_path / "kept.gguf"
    path.write_bytes(tiny.read_bytes())
    with Recommender.load(path, cache_dir=tmp_path / "cache", **TINY) as recommender:
        before = recommender.recommend(news_user).recommendations
        path.rename(kept)
        assert recommender.recommend(news_user).recommendations == before
        recommender.unload()  # as idleness does
        with pytest.raises(ModelError, match=r"model\.gguf: the model file has gone or changed") as caught:
            recommender.recommend(news_user)
        assert "put it back" in (caught.value.hint or "")
        tiny_gguf.write_llama(path, seed=1)
        with pytest.raises(ModelError, match="gone or changed"):
            recommender.recommend(news_user)
        path.unlink()
        kept.rename(path)
        assert recommender.recommend(news_user).recommendations == before


NO_MEMORY = """
import resource, sys
from pathlib import Path
from trsr_lite import EngineOptions, ModelError
from trsr_lite.engine.llama import LlamaEngine
engine = LlamaEngine(Path(sys.argv[1]), identity="large", options=EngineOptions(threads=1))
before = engine.margins([5] * 20, [[6]], (40, 60))
limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + (200 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
for exact in (False, True):
    try:
        engine.margins([5] * 2_000_000, [[6]], (40, 60), exact=exact)
    except ModelError as error:
        print(str(error)[:50], "|", error.hint)
assert engine.margins([5] * 20, [[6]], (40, 60)) == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_no_memory_for_a_context_is_an_error_that_suggests_a_smaller_one(python: Python, tmp_path: Path) -> None:
    path = tiny_gguf.write_llama(tmp_path / "large.gguf", context=1 << 22)
    lines = python("-c", NO_MEMORY, path).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("llama.cpp cannot make a context of 2000") and "`ctx_size` to 1000" in line


def test_a_memory_limit_makes_contexts_smaller_and_answers_the_same(
    tiny: Path, tmp_path: Path, news_user: User
) -> None:
    from trsr_lite.engine import model as native

    def cells(limit: int | None) -> tuple[list[int], Any]:
        seen, context = [], native.NativeModel.context

        def spy(self: native.NativeModel, **shape: Any) -> native.Context:
            seen.append(shape["cells"])
            return context(self, **shape)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native.NativeModel, "context", spy)
            wide = {**TINY, "item_tokens": 120, "max_memory": limit}
            with Recommender.load(tiny, cache_dir=tmp_path / f"cache {limit}", **wide) as recommender:
                result = recommender.recommend(news_user, exact=True)
        return seen, [(entry.item.id, entry.margin) for entry in result.recommendations]

    free, expected = cells(None)
    size = tiny.stat().st_size
    model = native.NativeModel(tiny)
    fixed, each = model.context_bytes(sequences=65, batch=512, flash=False)
    model.close()
    close, found = cells(size + fixed + each * (max(free) - 256))
    assert found == expected
    assert max(close) < max(free)
    with pytest.raises(ModelError, match="the memory limit leaves room for 256") as caught:
        cells(size + fixed + each * 256)
    assert "raise `max_memory` by" in (caught.value.hint or "")


@pytest.mark.parametrize("flash", [True, False])
def test_the_memory_of_a_context_is_known_before_it_is_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flash: bool
) -> None:
    from trsr_lite.engine import model as native

    model = native.NativeModel(tiny_gguf.write_llama(tmp_path / "wide.gguf", width=256, layers=4, heads=8, kv_heads=4))
    for cells in (512, 4096):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="trsr_lite.llama"):
            abort = native.AbortFlag(native.library())
            shape = {"sequences": 65, "batch": 512, "flash": flash}
            model.context(cells=cells, threads=1, abort=abort, **shape).close()
        taken = sum(
            float(record.getMessage().split("=")[1].split()[0]) * 2**20
            for record in caplog.records
            if "buffer size" in record.getMessage()
        )
        fixed, each = model.context_bytes(**shape)
        assert 0.9 * taken < fixed + each * cells < 1.5 * taken + 8e6
    model.close()


# A cache folder that becomes read-only


def read_only(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the store's file cannot be written, as on a file system that was mounted read-only."""
    connect = database.connect

    def connected(path: Path, patience: float) -> sqlite3.Connection:
        connection = connect(path, patience)
        connection.execute("PRAGMA query_only = 1")
        return connection

    monkeypatch.setattr(database, "connect", connected)
    recommender.store.close()  # the next use opens it again


def test_a_cache_that_becomes_read_only_still_gives_what_it_has(
    tiny_recommender: Recommender,
    news_user: User,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorter = dataclasses.replace(news_user, history=news_user.history[:11])
    tiny_recommender.summarize(shorter)
    read_only(tiny_recommender, monkeypatch)
    with caplog.at_level(logging.WARNING):
        stats = tiny_recommender.summarize(news_user).stats
    assert (stats.summary_cache_hits, stats.summary_calls) == (2, 2)
    assert [record.getMessage() for record in caplog.records if "cannot be written" in record.getMessage()]
    assert tiny_recommender.summarize(news_user).stats.summary_calls == 0
    assert not tiny_recommender.store.persistent


# Privacy


def test_no_text_of_a_user_is_in_any_log(
    tiny: Path,
    tmp_path: Path,
    news_user: User,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark = "XYZZY"

    def marked(count: int, name: str) -> list[dict[str, str]]:
        return [{"id": f"{mark}{name}{n}", "title": f"{mark} film {n}", "abstract": mark * 9} for n in range(count)]

    user = {"user_id": mark, "history": marked(14, "h"), "candidates": marked(4, "c")}
    long = {"user_id": mark, "history": marked(14, "h"), "candidates": [{"id": mark, "title": mark * 4000}]}
    with (
        caplog.at_level(logging.DEBUG),
        Recommender.load(tiny, cache_dir=tmp_path / "cache", unload_after=60.0, **TINY) as recommender,
    ):
        logging.getLogger("trsr_lite.llama").setLevel(logging.DEBUG)
        recommender.recommend(user)
        recommender.recommend(user, exact=True, budget=0.0)
        recommender.prompt(user)
        updated = recommender.update(user, marked(15, "h")[-1])
        wait_until(lambda: recommender.queue.state() == ([], None))
        recommender.recommend(updated)
        for refused in (
            lambda: recommender.recommend(long),
            lambda: recommender.update(user, {"id": "x", "title": ""}),
        ):
            with pytest.raises(TrsrError):
                refused()
        stop = Cancellation()
        with pytest.raises(Cancelled):
            recommender.recommend(user, progress=lambda _: stop.cancel(), cancel=stop)
        read_only(recommender, monkeypatch)
        recommender.summarize({**user, "history": marked(20, "other")})
        with pytest.raises(StoreError):
            recommender.forget(mark)
    assert len(caplog.records) > 50
    assert mark not in caplog.text
    assert not any(mark in str(vars(record)) for record in caplog.records)
    assert capfd.readouterr() == ("", "")
