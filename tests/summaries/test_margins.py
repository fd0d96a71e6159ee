"""Stored margins: what their key is made of, and that nothing wrong, old or damaged is ever taken for a margin."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.summaries.test_store import Other, Python, impatient, on_disk, warnings
from trsr_lite.engine.interface import Margin
from trsr_lite.summaries import margins
from trsr_lite.summaries import store as cache
from trsr_lite.summaries.margins import candidate, scope
from trsr_lite.summaries.store import SummaryStore

__all__ = ["impatient"]  # a fixture
FOUND = {candidate([1, 2]): Margin(0.25, 0.9), candidate([3]): Margin(-1.5, 0.8)}
KEYS = list(FOUND)
POSIX = pytest.mark.skipif(os.name != "posix", reason="limits are POSIX")

# Keys

WHOLE: dict[str, Any] = {
    "model": "b2:1", "arithmetic": "build 1", "prefix": [5, 6, 7], "answers": (40, 60), "noise_floor": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"model": "b2:2"},
        {"arithmetic": "build 2"},
        {"prefix": [5, 6]},
        {"prefix": [5, 7, 6]},
        {"answers": (60, 40)},
        {"noise_floor": 0.2},
        {"noise_floor": 0.0},
        {"noise_floor": None},
    ],
    ids=str,
)
def test_whatever_a_margin_depends_on_changes_where_it_is_stored(change: dict[str, Any]) -> None:
    assert scope(**{**WHOLE, **change}) != scope(**WHOLE)


@pytest.mark.parametrize("name", ["PROMPT_VERSION", "ARITHMETIC"])
def test_a_version_changes_where_a_margin_is_stored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = scope(**WHOLE)
    monkeypatch.setattr(margins, name, "another")
    assert scope(**WHOLE) != before


def rows(store: SummaryStore, table: str) -> int:
    """How many rows a table of the file has."""
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return found


def test_tokens_of_a_candidate_change_its_key() -> None:
    assert len({candidate(tokens) for tokens in ([1, 2], [2, 1], [12], [1], [1, 2, 0], [])}) == 6


# Keeping


def test_what_was_put_is_found_again_to_the_bit(store: SummaryStore) -> None:
    exact = {candidate([1]): Margin(0.1 + 0.2, 1 / 3)}
    store.margins.put("s1", exact)
    store.margins.put("s2", FOUND)
    store.close()
    assert store.margins.get("s1", [*exact, *KEYS]) == exact
    assert store.margins.get("s2", KEYS) == FOUND
    assert store.margins.get("s3", KEYS) == {}


def test_thousands_of_candidates_are_found_at_once(store: SummaryStore) -> None:
    many = {candidate([number]): Margin(float(number), 1.0) for number in range(2000)}
    store.margins.put("s1", many)
    assert store.margins.get("s1", list(many)) == many


def test_a_store_knows_of_which_models_it_has_margins(store: SummaryStore) -> None:
    assert not store.margins.knows("b2:1")
    store.margins.put(scope(**WHOLE), FOUND)
    assert store.margins.knows("b2:1")
    assert not store.margins.knows("b2:2")


def test_a_limit_of_nothing_keeps_and_finds_nothing(tmp_path: Path) -> None:
    SummaryStore(tmp_path).margins.put("s1", FOUND)
    store = SummaryStore(tmp_path, 0)
    store.margins.put("s2", FOUND)
    assert (store.margins.get("s1", KEYS), store.margins.knows("b2:1")) == ({}, False)
    assert SummaryStore(tmp_path).margins.get("s2", KEYS) == {}


# The limit


def full(store: SummaryStore, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        many = {candidate([number, index]): Margin(float(index), 1.0) for index in range(50)}
        store.margins.put(f"s{number}", many)


def there(store: SummaryStore, number: int) -> bool:
    return bool(store.margins.get(f"s{number}", [candidate([number, 0])]))


def test_the_least_recently_used_prefixes_go_first_and_summaries_stay(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path, 300_000)
    store.put("k1", "block", "a summary")
    full(store, 20)
    assert all(there(store, number) for number in range(1, 20))
    for number in range(20, 200):
        assert there(store, 0), number  # in use all the time
        full(store, 1, number)
    assert not there(store, 1) and there(store, 199)
    assert store.get(["k1"])
    store.close()
    assert store.path.stat().st_size < 400_000


def test_what_went_is_nobodys_any_more(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path, 150_000)
    for number in range(100):
        store.link("ann", [f"s{number}"])
        full(store, 1, number)
    left = rows(store, "prefixes")
    assert 0 < left < 100
    assert rows(store, "uses") == left


def test_a_clock_that_jumps_back_changes_nothing_of_what_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SummaryStore(tmp_path, 150_000)
    full(store, 20)
    monkeypatch.setattr(time, "time", lambda: 1.0)
    full(store, 100, 20)
    assert there(store, 119) and not there(store, 0)


# Faults


def test_a_margin_of_which_a_bit_has_flipped_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SummaryStore(tmp_path)
    store.margins.put("s1", FOUND)
    store.close()
    whole = store.path.read_bytes()
    at = whole.index(KEYS[0]) + len(KEYS[0])  # margin, mass and seal stand behind the key
    for bit in range(8 * 32):
        damaged = bytearray(whole)
        damaged[at + bit // 8] ^= 1 << bit % 8
        store.path.write_bytes(damaged)
        assert store.margins.get("s1", KEYS) == {KEYS[1]: FOUND[KEYS[1]]}, bit
        store.close()
    store.margins.put("s1", {KEYS[0]: Margin(7.0, 1.0)})
    assert store.margins.get("s1", KEYS) == {KEYS[0]: Margin(7.0, 1.0), KEYS[1]: FOUND[KEYS[1]]}
    assert "a stored margin was damaged; it is made again" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE margins SET margin = 9.0",
        "UPDATE margins SET mass = 0.1",
        "UPDATE margins SET margin = 'high'",
        "UPDATE margins SET margin = 1",
        "UPDATE margins SET mass = x'00'",
        "UPDATE margins SET seal = ''",
        "UPDATE margins SET prefix = (SELECT id FROM prefixes WHERE key = 's2')",
        "UPDATE prefixes SET key = 's3' WHERE key = 's1'",
    ],
)
def test_a_row_that_is_not_what_was_written_is_not_answered(tmp_path: Path, change: str) -> None:
    store = SummaryStore(tmp_path)
    store.margins.put("s1", FOUND)
    store.margins.put("s2", {candidate([9]): Margin(1.0, 1.0)})
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(change)
    assert [store.margins.get(name, KEYS) for name in ("s1", "s2", "s3")] == [{}, {}, {}]


def test_a_store_of_the_schema_before_is_read_and_takes_margins(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path)
    store.put("k1", "block", "One.")
    store.link("ann", ["k1"])
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DROP TABLE margins")
        connection.execute("DROP TABLE prefixes")
        connection.execute("PRAGMA user_version = 2")
    assert store.margins.get("s1", KEYS) == {}
    store.margins.put("s1", FOUND)
    assert (store.margins.get("s1", KEYS), store.get(["k1"])) == (FOUND, {"k1": "One."})
    assert store.clear("ann") == 1


def test_a_locked_store_costs_no_margin_and_takes_it_later(
    store: SummaryStore, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    store.margins.put("s1", FOUND)
    other = Other(store, "BEGIN IMMEDIATE")
    store.margins.put("s2", FOUND)
    assert (store.margins.get("s1", KEYS), store.margins.get("s2", KEYS)) == (FOUND, {})
    assert len(warnings(caplog)) == 1
    other.end()
    store.margins.put("s3", FOUND)
    assert store.margins.get("s2", KEYS) == FOUND


def test_a_locked_store_that_is_too_full_is_not_waited_for_without_end(tmp_path: Path, impatient: None) -> None:
    store = SummaryStore(tmp_path, 100_000)
    full(store, 10)
    other = Other(store, "BEGIN IMMEDIATE")
    store.margins.limit = 50_000
    full(store, 2, 10)
    other.end()
    full(store, 1, 12)
    assert there(store, 12)
    assert rows(store, "prefixes") < 10


def test_a_read_only_store_is_read_and_new_margins_last_as_long_as_the_process(tmp_path: Path) -> None:
    store = SummaryStore(tmp_path / "cache")
    store.margins.put("s1", FOUND)
    store.close()
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    (tmp_path / "cache").chmod(0o500)
    store.path.chmod(0o400)
    try:
        if os.access(store.path, os.W_OK):
            pytest.skip("root may write everywhere")
        again = SummaryStore(tmp_path / "cache")
        assert again.margins.get("s1", KEYS) == FOUND
        again.margins.put("s2", FOUND)
        assert again.margins.get("s2", KEYS) == FOUND
        again.close()
    finally:
        (tmp_path / "cache").chmod(0o700)
        store.path.chmod(0o600)
    assert store.margins.get("s2", KEYS) == {}


def test_where_nothing_can_be_written_margins_last_as_long_as_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = SummaryStore(tmp_path / "file" / "cache")
    store.margins.put("s1", FOUND)
    assert store.margins.get("s1", KEYS) == FOUND
    store.close()


FILL = """
import logging, resource, signal, sys
from pathlib import Path
from trsr_lite.engine.interface import Margin
from trsr_lite.summaries.margins import candidate
from trsr_lite.summaries.store import SummaryStore
logging.basicConfig(format="WARNED %(message)s", stream=sys.stdout)
store = SummaryStore(Path(sys.argv[1]))
store.margins.put("before", {candidate([1]): Margin(1.0, 1.0)})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
for number in range(40):
    store.margins.put(f"s{number}", {candidate([number, index]): Margin(1.0, 1.0) for index in range(100)})
    assert store.margins.get(f"s{number}", [candidate([number, 99])]), number
assert not store.persistent
store.close()
"""


@POSIX
def test_on_a_full_disk_the_work_goes_on_with_one_warning(store: SummaryStore, python: Python) -> None:
    output = python("-c", FILL, store.path.parent).stdout
    assert output.count("WARNED") == output.count("new summaries are not kept") == 1
    assert store.margins.get("before", [candidate([1])])


WRITE = """
import sys
from pathlib import Path
from trsr_lite.engine.interface import Margin
from trsr_lite.summaries.margins import candidate
from trsr_lite.summaries.store import SummaryStore
store = SummaryStore(Path(sys.argv[1]))
store.get(["k"])
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    store.margins.put("shared", {candidate([number]): Margin(float(number), float(sys.argv[2]))})
assert store.persistent
store.close()
"""


def test_two_processes_writing_the_same_keys_leave_whole_margins(store: SummaryStore) -> None:
    store.get(["k"])
    environment = {**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[2])}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", WRITE, str(store.path.parent)]
    writers = [subprocess.Popen([*command, mass], env=environment, **pipes) for mass in ("0.25", "0.75")]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n", "ready\n"]
    for writer in writers:
        writer.communicate("go\n")
    assert [writer.returncode for writer in writers] == [0, 0]
    found = store.margins.get("shared", [candidate([number]) for number in range(40)])
    assert [found[candidate([number])].margin for number in range(40)] == [float(number) for number in range(40)]
    assert {margin.label_mass for margin in found.values()} <= {0.25, 0.75}


# Forgetting


@pytest.mark.parametrize("user", [None, "ann"])
def test_forgotten_margins_are_gone_from_the_disk(store: SummaryStore, user: str | None) -> None:
    store.link("ann", ["s1"])
    store.margins.put("s1", FOUND)
    assert KEYS[0] in on_disk(store)
    assert store.clear(user) == 0  # no summary
    assert store.margins.get("s1", KEYS) == {}
    assert not any(key in on_disk(store) for key in KEYS)
    assert store.info()["margins"] == store.info()["users"] == 0


def test_forgetting_keeps_margins_that_another_user_shares(store: SummaryStore) -> None:
    store.margins.put("s1", FOUND)
    store.margins.put("s2", FOUND)
    store.link("ann", ["s1", "s2"])
    store.link("bob", ["s2"])
    store.clear("ann")
    assert (store.margins.get("s1", KEYS), store.margins.get("s2", KEYS)) == ({}, FOUND)


def test_margins_that_a_locked_store_did_not_take_are_forgotten_too(store: SummaryStore, impatient: None) -> None:
    store.get(["k"])
    other = Other(store, "BEGIN IMMEDIATE")
    store.link("ann", ["s1"])
    store.margins.put("s1", FOUND)
    other.end()
    store.clear("ann")
    assert store.margins.get("s1", KEYS) == {}
