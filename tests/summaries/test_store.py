"""The summary store: what a key is made of, and that nothing stored is lost, shown or in the way."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import Item, Settings, StoreError
from trsr_lite.engine.interface import Margin
from trsr_lite.io.digests import file_digest
from trsr_lite.summaries import plan
from trsr_lite.summaries import store as cache
from trsr_lite.summaries.database import SCHEMA
from trsr_lite.summaries.store import FILE_NAME, SummaryStore

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes and limits are POSIX")
Python = Callable[..., "subprocess.CompletedProcess[str]"]

# Keys

CUP = Item("n1", {"title": "Cup draw", "category": "sports"}, time=1.0)
SOUP = Item("n2", {"title": "Carrot soup", "category": "food"}, time=2.0)
# The first five decide which nodes there are, the last two rank what has been summarized.
NOT_IN_A_KEY = {"strategy", "block_size", "recent_items", "fan_in", "ragged", "signals", "rerank"}
OTHER_SETTINGS: dict[str, Any] = {
    "domain": "news",
    "attributes": ("title",),
    "strategy": "recurrent",
    "block_size": 3,
    "recent_items": 9,
    "fan_in": 2,
    "item_tokens": 60,
    "summary_tokens": 40,
    "prompt_tokens": 1000,
    "no_repeat_ngram": 0,
    "grounded": False,
    "ragged": True,
    "signals": ("model",),
    "rerank": 10,
}


def key_of(**changes: Any) -> str:
    whole: dict[str, Any] = {
        "kind": "update",
        "summarizer": "b2:1",
        "settings": Settings(),
        "items": (CUP, SOUP),
        "children": ("k1", "k2"),
    }
    return plan.key(**{**whole, **changes})


def with_attributes(**attributes: str) -> tuple[Item, Item]:
    return (dataclasses.replace(CUP, attributes=attributes), SOUP)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "block"},
        {"summarizer": "b2:2"},
        {"items": (CUP,)},
        {"items": (CUP, SOUP, CUP)},
        {"items": (SOUP, CUP)},
        {"items": with_attributes(title="Cup draws", category="sports")},
        {"items": with_attributes(title="Cup draw", section="sports")},
        {"items": with_attributes(title="Cup draw", category="sports", brand="x")},
        {"items": with_attributes(title="Cup draw")},
        {"items": with_attributes(title="Cup", draw="category", sports="")},
        {"children": ("k1",)},
        {"children": ("k2", "k1")},
        {"children": ("k1", "k3")},
        {"children": ()},
    ],
    ids=str,
)
def test_whatever_a_summary_depends_on_changes_its_key(changes: dict[str, Any]) -> None:
    assert key_of(**changes) != key_of()


def test_the_order_of_attributes_changes_a_key() -> None:
    one = with_attributes(title="t", category="sports", brand="x")
    other = with_attributes(title="t", brand="x", category="sports")
    assert key_of(items=one) != key_of(items=other)


def test_the_prompt_version_changes_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of()
    monkeypatch.setattr(plan, "PROMPT_VERSION", "another")
    assert key_of() != before


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_a_setting_changes_a_key_exactly_if_it_changes_a_prompt_or_its_decoding(name: str) -> None:
    changed = Settings(**{name: OTHER_SETTINGS[name]})
    assert (key_of(settings=changed) == key_of()) == (name in NOT_IN_A_KEY)


def test_what_no_model_sees_changes_no_key() -> None:
    renamed = tuple(dataclasses.replace(item, id=f"other-{item.id}", time=None) for item in (CUP, SOUP))
    assert key_of(items=renamed) == key_of()
    assert key_of(items=with_attributes(title="Cup\n  draw\u200b", category=" sports ")) == key_of()


# Keeping


def test_what_was_put_is_found_again_after_reopening(store: SummaryStore) -> None:
    store.put("k1", "block", "likes “tea” 🫖")
    store.put("k1", "block", "likes coffee")
    store.put("k2", "merge", "likes both")
    assert store.get(["k2", "k1", "k3", "k1"]) == {"k1": "likes coffee", "k2": "likes both"}
    store.close()
    assert store.get(["k1"]) == {"k1": "likes coffee"}


def test_thousands_of_keys_are_found_at_once(store: SummaryStore) -> None:
    store.put("k7", "block", "first")
    store.put("k1999", "block", "last")
    assert store.get(f"k{number}" for number in range(2000)) == {"k7": "first", "k1999": "last"}


def test_nothing_is_created_before_the_first_use(tmp_path: Path) -> None:
    SummaryStore(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@POSIX
def test_only_the_owner_may_read_the_summaries(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path / "deep" / "cache")
    store.put("k1", "block", "text")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (store.path, store.path.parent)}
    beside = [stat.S_IMODE(path.stat().st_mode) for path in store.path.parent.iterdir()]
    store.close()
    assert modes == {store.path: 0o600, store.path.parent: 0o700}
    assert set(beside) == {0o600}


def test_readers_and_writers_do_not_wait_for_each_other(store: SummaryStore) -> None:
    store.put("k1", "block", "text")
    connection = sqlite3.connect(store.path)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    assert mode == "wal"


def test_info_counts_summaries_users_and_bytes(store: SummaryStore) -> None:
    nothing = {"summaries": 0, "margins": 0, "users": 0, "oldest": None, "newest": None}
    assert store.info() == {**nothing, "bytes": store.info()["bytes"]}
    for number in range(3):
        store.put(f"k{number}", "block", "text")
    store.link("u1", ["k0", "k1"])
    store.link("u2", ["k1"])
    store.margins.put("scope", {b"one": Margin(1.0, 1.0), b"two": Margin(2.0, 1.0)})
    info = store.info()
    assert (info["summaries"], info["margins"], info["users"]) == (3, 2, 2)
    assert info["bytes"] >= store.path.stat().st_size > 0
    assert info["oldest"] <= info["newest"]


# Several processes and threads

GET = "import sys; from pathlib import Path; from trsr_lite.summaries.store import SummaryStore\n" + (
    "store = SummaryStore(Path(sys.argv[1])); print(store.get(['k1'])); store.close()"
)
WRITE = """
import sys
from pathlib import Path
from trsr_lite.summaries.store import SummaryStore
store = SummaryStore(Path(sys.argv[1]))
store.get(["k"])
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    store.put(f"{sys.argv[2]}{number}", "block", sys.argv[2] * 50)
    store.link(sys.argv[2], [f"{sys.argv[2]}{number}"])
assert store.persistent
store.close()
"""


def test_another_process_sees_a_summary_at_once(store: SummaryStore, python: Python) -> None:
    store.put("k1", "block", "from the first process")
    assert "from the first process" in python("-c", GET, store.path.parent).stdout


def test_two_processes_writing_at_once_lose_nothing(store: SummaryStore) -> None:
    store.get(["k"])
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[1])}
    command = [sys.executable, "-c", WRITE, str(store.path.parent)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    writers = [subprocess.Popen([*command, name], env=environment, **pipes) for name in "ab"]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n", "ready\n"]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    assert store.get(f"{name}{number}" for name in "ab" for number in range(40)).keys() == {
        f"{name}{number}" for name in "ab" for number in range(40)
    }
    assert store.info()["users"] == 2


BEGIN = """
import sys
from pathlib import Path
from trsr_lite.summaries.store import SummaryStore
for folder in sys.stdin:
    store = SummaryStore(Path(folder.strip()))
    store.put(sys.argv[1], "block", "text")
    print(store.persistent, flush=True)
    store.close()
"""


def test_first_use_by_several_processes_at_once_keeps_the_cache(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[1])}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    users = [
        subprocess.Popen([sys.executable, "-c", BEGIN, name], env=environment, bufsize=1, **pipes) for name in "abcd"
    ]
    for attempt in range(20):
        folder = tmp_path / "deep" / str(attempt)
        for one in users:
            assert one.stdin
            one.stdin.write(f"{folder}\n")
        assert [one.stdout.readline() for one in users if one.stdout] == ["True\n"] * 4
        store = SummaryStore(folder)
        assert store.get("abcd").keys() == set("abcd")
        store.close()
    for one in users:
        one.communicate()


def test_threads_share_a_store(store: SummaryStore) -> None:
    def write(name: int) -> None:
        for number in range(20):
            store.put(f"{name}-{number}", "block", "text")

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.info()["summaries"] == 80


# Damage

LONG = "a summary " * 40


def filled(folder: Path) -> Path:
    store = SummaryStore(folder)
    for number in range(100):
        store.put(f"k{number}", "block", LONG)
    store.close()
    return store.path


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path / "cache")
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()
    store = SummaryStore(path.parent)
    for use in (lambda: store.get(["k1"]), lambda: store.put("k", "block", "text"), store.clear):
        with pytest.raises(StoreError, match=f"newer trsr-lite .schema {SCHEMA + 1}") as caught:
            use()
        assert str(path) in str(caught.value)
        assert caught.value.hint is not None and "upgrade" in caught.value.hint
    store.close()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [FILE_NAME]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "random": lambda whole: bytes(number * 73 % 251 for number in range(8192)),
    "text": lambda whole: b"this is not a database\n" * 500,
    "truncated": lambda whole: whole[: len(whole) // 2],
    "cut within a page": lambda whole: whole[: len(whole) - 1000],
    "overwritten": lambda whole: whole[:4096] + b"\xff" * (len(whole) - 4096),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_moved_aside_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    path = filled(tmp_path / "cache")
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    store = SummaryStore(path.parent)
    assert store.get(f"k{number}" for number in range(100)) == {}
    store.put("k1", "block", "made again")
    assert store.persistent
    store.close()
    (aside,) = path.parent.glob(f"{FILE_NAME}.corrupt-*")
    assert aside.read_bytes() == damaged
    assert store.get(["k1"]) == {"k1": "made again"}
    (warning,) = warnings(caplog)
    assert str(path) in warning and aside.name in warning


def test_a_summary_of_which_a_bit_has_flipped_is_made_again_and_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SummaryStore(tmp_path)
    store.put_all([("k1", "block", "The reader likes x."), ("k2", "block", "Other.")])
    store.close()
    whole = store.path.read_bytes()
    first = whole.index(b"The reader")
    for bit in range(8 * len("The reader likes x.")):
        damaged = bytearray(whole)
        damaged[first + bit // 8] ^= 1 << bit % 8  # text of another meaning, and text that is no UTF-8
        store.path.write_bytes(damaged)
        assert store.get(["k1", "k2"]) == {"k2": "Other."}
        store.close()
    store.put("k1", "block", "Made again.")
    assert store.get(["k1", "k2"]) == {"k1": "Made again.", "k2": "Other."}
    assert "a summary was damaged; it is made again" in caplog.text
    assert not list(tmp_path.glob("*corrupt*"))


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE summaries SET text = 'Else.' WHERE key = 'k1'",
        "UPDATE summaries SET text = CAST(x'ff41' AS TEXT) WHERE key = 'k1'",
        "UPDATE summaries SET text = x'41' WHERE key = 'k1'",
        "UPDATE summaries SET text = 41 WHERE key = 'k1'",
        "UPDATE summaries SET kind = 'merge' WHERE key = 'k1'",
        "UPDATE summaries SET kind = CAST(x'ff' AS TEXT) WHERE key = 'k1'",
        "UPDATE summaries SET text = (SELECT text FROM summaries WHERE key = 'k2')",
        "UPDATE summaries SET seal = CAST(x'ff' AS TEXT) WHERE key = 'k1'",
        "UPDATE summaries SET seal = (SELECT seal FROM summaries WHERE key = 'k2')",
    ],
)
def test_a_row_that_is_not_what_was_written_is_not_answered(tmp_path: Path, change: str) -> None:
    store = SummaryStore(tmp_path)
    store.put_all([("k1", "block", "One."), ("k2", "block", "Two.")])
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(change)
    assert store.get(["k1", "k2"]) == {"k2": "Two."}


def test_a_users_row_that_is_no_text_costs_the_user_nothing(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path)
    store.put("k1", "block", "One.")
    store.link("ann", ["k1"])
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE uses SET key = CAST(x'ff41' AS TEXT)")
    store.link("ann", ["k1"])
    assert store.clear("ann") == 1


def test_a_digest_that_was_damaged_is_computed_again(tmp_path: Path) -> None:
    store, file = SummaryStore(tmp_path / "cache"), tmp_path / "model.gguf"
    file.write_bytes(b"weights")
    known = store.digest(file)
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(
            "UPDATE digests SET digest = replace(digest, ?, ?)", (known[5], "0" if known[5] != "0" else "1")
        )
    assert store.digest(file) == known == file_digest(file)


def test_a_store_from_before_there_were_seals_is_read_and_gets_them(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path)
    store.put_all([("k1", "block", "One."), ("k2", "block", "Two.")])
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        for table in ("summaries", "digests"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN seal")
        connection.execute("UPDATE summaries SET text = CAST(x'ff41' AS TEXT) WHERE key = 'k2'")
        connection.execute("PRAGMA user_version = 1")
    assert store.get(["k1", "k2"]) == {"k1": "One."}
    store.put("k2", "block", "Again.")
    assert store.get(["k1", "k2"]) == {"k1": "One.", "k2": "Again."}
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        seals = connection.execute("SELECT seal FROM summaries ORDER BY key").fetchall()
    assert [bool(seal) for (seal,) in seals] == [False, True]


@pytest.mark.parametrize(
    "kind", ["TRIGGER t AFTER INSERT ON uses BEGIN DELETE FROM summaries; END", "VIEW v AS SELECT 1"]
)
def test_a_store_to_which_somebody_added_what_runs_is_refused(tmp_path: Path, kind: str) -> None:
    path = filled(tmp_path / "cache")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE {kind}")
    with pytest.raises(StoreError, match=f"holds a {kind.split()[0].lower()} called") as caught:
        SummaryStore(path.parent).get(["k1"])
    assert caught.value.hint and "made again" in caught.value.hint


def test_damage_met_while_writing_is_moved_aside_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(tmp_path / "cache")
    path.write_bytes(DAMAGES["overwritten"](path.read_bytes()))
    store = SummaryStore(path.parent)
    store.put("k1", "block", "made again")
    assert store.get(["k1"]) == {"k1": "made again"}
    store.close()
    assert len(warnings(caplog)) == 1
    assert len(list(path.parent.glob(f"{FILE_NAME}.corrupt-*"))) == 1


@POSIX
def test_a_store_that_another_process_has_made_anew_is_not_moved_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(tmp_path / "cache")
    keys = [f"k{number}" for number in range(100)]
    first, second = SummaryStore(path.parent), SummaryStore(path.parent)
    for store in (first, second):
        assert store.get(["k0"])  # open, with most pages not yet read
    path.write_bytes(DAMAGES["overwritten"](path.read_bytes()))
    assert first.get(keys) == {}
    first.put("k1", "block", "made again")
    assert second.get(keys) == {"k1": "made again"}
    second.put("k2", "block", "as well")
    assert first.get(keys).keys() == {"k1", "k2"}
    first.close()
    second.close()
    assert len(warnings(caplog)) == 1


def test_closing_and_using_a_store_again_repeats_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = SummaryStore(tmp_path / "file" / "cache")
    for number in range(3):
        store.put(f"k{number}", "block", "kept in memory")
        store.close()
    assert len(warnings(caplog)) == 1


def test_where_nothing_can_be_written_one_warning_is_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    store = SummaryStore(tmp_path / "file" / "cache")
    store.put("k1", "block", "kept in memory")
    store.put("k2", "block", "as well")
    store.link("u1", ["k1"])
    assert store.get(["k1", "k2"]) == {"k1": "kept in memory", "k2": "as well"}
    assert store.digest(tmp_path / "file") == file_digest(tmp_path / "file")
    assert store.clear("u1") == 1
    assert store.get(["k1", "k2"]) == {"k2": "as well"}
    assert not store.persistent
    assert len(warnings(caplog)) == 1
    assert str(store.path) in warnings(caplog)[0]
    store.close()
    assert (tmp_path / "file").read_text() == "in the way"


FILL = """
import logging, resource, signal, sys
from pathlib import Path
from trsr_lite.summaries.store import SummaryStore
logging.basicConfig(format="WARNED %(message)s", stream=sys.stdout)
store = SummaryStore(Path(sys.argv[1]))
store.put("before", "block", "kept on disk")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for number in range(50):
    store.put(f"k{number}", "block", "x" * 10_000)
    assert store.get([f"k{number}"]), number
assert not store.persistent
store.close()
"""


@POSIX
def test_on_a_full_disk_the_work_goes_on_with_one_warning(store: SummaryStore, python: Python) -> None:
    output = python("-c", FILL, store.path.parent).stdout
    assert output.count("WARNED") == output.count("new summaries are not kept") == 1
    assert store.get(["before", "k0", "k49"]).keys() == {"before", "k0"}


# Forgetting


def test_forgetting_a_user_keeps_what_another_shares(store: SummaryStore) -> None:
    for number in range(4):
        store.put(f"k{number}", "block", f"text {number}")
    store.link("u1", ["k0", "k1", "k2"])
    store.link("u2", ["k2"])
    assert store.clear("u1") == 2
    assert store.get(f"k{number}" for number in range(4)).keys() == {"k2", "k3"}
    assert store.clear("u1") == 0
    assert store.clear("u2") == 1
    assert store.info()["users"] == 0


def test_linking_again_changes_nothing(store: SummaryStore) -> None:
    store.put("k0", "block", "text")
    for _ in range(2):
        store.link("u1", ["k0", "k0"])
    assert store.clear("u1") == 1


def test_clearing_everything_leaves_nothing(store: SummaryStore) -> None:
    for number in range(4):
        store.put(f"k{number}", "block", "text")
    store.link("u1", ["k0"])
    assert store.clear() == 4
    assert (store.info()["summaries"], store.info()["users"]) == (0, 0)


def on_disk(store: SummaryStore) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.path.parent.iterdir()))


def test_forgotten_text_is_gone_from_the_disk(store: SummaryStore) -> None:
    store.put("k0", "block", "a very private preference")
    store.put("k1", "block", "something for everyone")
    store.link("u1", ["k0"])
    assert b"a very private preference" in on_disk(store)
    store.clear("u1")
    assert b"a very private preference" not in on_disk(store)
    assert b"something for everyone" in on_disk(store)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for another process."""
    monkeypatch.setattr(cache, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(cache, "PATIENCE", 0.05)


class Other:
    """Another process that uses the file of a store."""

    def __init__(self, store: SummaryStore, *statements: str) -> None:
        self.connection = sqlite3.connect(store.path, isolation_level=None)
        for statement in statements:
            self.connection.execute(statement).fetchall()

    def end(self) -> None:
        self.connection.close()


@pytest.mark.parametrize("user", [None, "u1"])
def test_what_cannot_be_deleted_now_is_an_error_and_deleted_later(
    store: SummaryStore, impatient: None, user: str | None
) -> None:
    store.put("k0", "block", "a very private preference")
    store.link("u1", ["k0"])
    other = Other(store, "BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as caught:
        store.clear(user)
    assert str(store.path) in str(caught.value) and caught.value.hint
    assert b"a very private preference" in on_disk(store)
    other.end()
    assert store.clear(user) == 1
    assert b"a very private preference" not in on_disk(store)


def test_deleted_text_that_another_process_still_reads_is_an_error(store: SummaryStore, impatient: None) -> None:
    store.put("k0", "block", "a very private preference")
    other = Other(store, "BEGIN", "SELECT * FROM summaries")
    with pytest.raises(StoreError, match="another process is reading"):
        store.clear()
    other.end()
    store.clear()
    assert b"a very private preference" not in on_disk(store)


FORGET = """
import resource, signal, sys
from pathlib import Path
from trsr_lite import StoreError
from trsr_lite.summaries.store import SummaryStore
store = SummaryStore(Path(sys.argv[1]))
store.put("k0", "block", "a very private preference")
store.link("u1", ["k0"])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
if sys.argv[2] == "fallen":
    store.put("k1", "block", "x" * 50_000)
    assert not store.persistent
for user in ("u1", None):
    try:
        print(store.clear(user))
    except StoreError as error:
        print("refused")
store.close()
"""


@POSIX
@pytest.mark.parametrize("state", ["full", "fallen"])
def test_on_a_full_disk_nothing_is_said_to_be_forgotten(store: SummaryStore, python: Python, state: str) -> None:
    assert python("-c", FORGET, store.path.parent, state).stdout == "refused\n" * 2
    assert store.get(["k0"])
    assert store.clear("u1") == 1


def test_clearing_everything_deletes_damaged_stores_and_forgetting_one_user_warns_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(tmp_path / "cache")
    path.write_bytes(DAMAGES["overwritten"](path.read_bytes()))
    store = SummaryStore(path.parent)
    store.get(["k0"])
    (aside,) = path.parent.glob(f"{FILE_NAME}.corrupt-*")
    (path.parent / "mine").write_text("not of the store")
    store.clear("u1")
    assert aside.exists() and aside.name in warnings(caplog)[-1]
    store.clear()
    assert not list(path.parent.glob(f"{FILE_NAME}.corrupt-*")) and (path.parent / "mine").exists()
    store.close()


def test_a_locked_store_takes_later_what_it_did_not_take(
    store: SummaryStore, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    store.put("k0", "block", "before")
    other = Other(store, "BEGIN IMMEDIATE")
    store.put("k1", "block", "meanwhile")
    store.put("k2", "block", "as well")
    store.link("u1", ["k1"])
    assert store.persistent and store.get(["k0", "k1"]) == {"k0": "before"}
    assert len(warnings(caplog)) == 1
    other.end()
    store.put("k3", "block", "after")
    assert store.get(["k1", "k2", "k3"]) == {"k1": "meanwhile", "k2": "as well", "k3": "after"}
    store.close()
    store.link("u1", ["k1"])
    assert store.clear("u1") == 1


@pytest.mark.parametrize("old", [False, True])
def test_what_a_locked_store_did_not_take_is_forgotten_too(store: SummaryStore, impatient: None, old: bool) -> None:
    store.get(["k1"])
    if old:  # a store of an earlier version has no salt before its first user
        store.close()
        with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
            connection.execute("DELETE FROM salts")
        store.get(["k1"])
    other = Other(store, "BEGIN IMMEDIATE")
    store.put("k1", "block", "a very private preference")
    store.link("u1", ["k1"])
    other.end()
    assert store.clear("u1") == 1
    store.put("k2", "block", "after")
    assert store.get(["k1", "k2"]) == {"k2": "after"}


def test_a_long_lock_is_waited_for_once(store: SummaryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.get(["k1"])
    patience: list[float] = []
    commit = SummaryStore._commit

    def spy(self: SummaryStore, writes: Any, seconds: float) -> None:
        patience.append(seconds)
        commit(self, writes, seconds)

    monkeypatch.setattr(SummaryStore, "_commit", spy)
    monkeypatch.setattr(cache, "PATIENCE", 0.05)
    other = Other(store, "BEGIN IMMEDIATE")
    for number in range(3):
        store.put(f"k{number}", "block", "text")
    other.end()
    for number in range(3, 5):
        store.put(f"k{number}", "block", "text")
    assert patience == [0.05, 0, 0, 0, 0.05]


def test_a_write_has_less_patience_than_a_call_has_time() -> None:
    assert cache.PATIENCE < 0.5  # the budget of docs/guides/embed.md


def test_what_a_locked_store_did_not_take_is_written_when_it_closes(store: SummaryStore, impatient: None) -> None:
    store.get(["k1"])
    other = Other(store, "BEGIN IMMEDIATE")
    store.put("k1", "block", "meanwhile")
    other.end()
    store.close()
    assert SummaryStore(store.path.parent).get(["k1"]) == {"k1": "meanwhile"}


def test_a_damaged_store_that_cannot_be_moved_aside_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(tmp_path / "cache")
    path.write_bytes(b"not a database" * 1000)

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    store = SummaryStore(path.parent)
    assert store.get(["k1"]) == {}
    store.put("k1", "block", "made again")
    assert store.get(["k1"]) == {"k1": "made again"} and not store.persistent
    assert path.read_bytes().startswith(b"not a database")
    assert "Permission denied" in warnings(caplog)[-1]
    store.close()


def test_clearing_everything_leaves_no_name_of_a_model_file(store: SummaryStore, tmp_path: Path) -> None:
    file = tmp_path / "somebody-s-model.gguf"
    file.write_bytes(b"weights")
    store.digest(file)
    assert b"somebody-s-model" in on_disk(store)
    store.clear("nobody")
    assert b"somebody-s-model" in on_disk(store)
    store.clear()
    assert b"somebody-s-model" not in on_disk(store)


def test_several_summaries_are_kept_together_or_not_at_all(store: SummaryStore) -> None:
    store.put_all([("k1", "block", "one"), ("k2", "block", "two")])
    with pytest.raises(sqlite3.Error):
        store.put_all([("k3", "block", "three"), ("k4", "block", object())])  # type: ignore[list-item]
    assert store.get(["k1", "k2", "k3"]) == {"k1": "one", "k2": "two"}


def test_clearing_gives_the_disk_space_back(tmp_path: Path) -> None:
    store = SummaryStore(filled(tmp_path / "cache").parent)
    before = store.path.stat().st_size
    store.clear()
    assert store.path.stat().st_size < before / 2
    store.close()


def test_user_ids_are_not_on_the_disk(store: SummaryStore) -> None:
    store.put("k0", "block", "text")
    store.link("jane.doe@example.org", ["k0"])
    assert b"jane" not in on_disk(store)
    store.close()
    assert b"jane" not in on_disk(store)
    assert store.clear("jane.doe@example.org") == 1


def test_one_user_looks_different_in_two_stores(tmp_path: Path) -> None:
    users = []
    for name in ("a", "b"):
        store = SummaryStore(tmp_path / name)
        store.link("u1", ["k0"])
        store.close()
        connection = sqlite3.connect(store.path)
        users += connection.execute("SELECT user FROM uses").fetchall()
        connection.close()
    assert len(set(users)) == 2


# File hashes


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file whose hash was computed, in order."""
    computed: list[Path] = []
    compute = file_digest

    def counting(path: Path) -> str:
        computed.append(path)
        return compute(path)

    monkeypatch.setattr(cache, "file_digest", counting)
    return computed


def test_a_file_hash_is_computed_again_only_if_the_file_changed(
    store: SummaryStore, tmp_path: Path, hashed: list[Path]
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"weights")
    os.utime(file, ns=(10**18, 10**18))
    first = store.digest(file)
    store.close()
    assert store.digest(tmp_path / "." / "model.gguf") == first
    assert len(hashed) == 1
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(10**18, 10**18 + 1))
    same_size = store.digest(file)
    assert len(hashed) == 2
    file.write_bytes(b"more weights")
    os.utime(file, ns=(10**18, 10**18 + 1))
    same_time = store.digest(file)
    assert len(hashed) == 3
    assert len({first, same_size, same_time}) == 3
