"""Batches with scripted engines: who is worked, what is written, what a stopped run does next, what is refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import (
    Catalog,
    DataError,
    FakeEngine,
    ModelError,
    Recommender,
    Retrieval,
    Settings,
    SettingsError,
    TrsrError,
)
from trsr_lite.batch import BatchOptions, Report, plan, run, thread_workers
from trsr_lite.batch import users as inputs
from trsr_lite.batch.plan import Partition
from trsr_lite.catalog import build
from trsr_lite.io import files as disk
from trsr_lite.io import lines, lock
from trsr_lite.io.remote import RemotePath
from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.summaries import generate as summarize
from trsr_lite.summaries.store import SummaryStore

Row = dict[str, Any]


class Killed(BaseException):
    """What `kill -9` is to a process: nothing catches it."""


def items(user: str, count: int, kind: str = "h") -> list[Row]:
    return [{"id": f"{user}{kind}{number}", "title": f"{kind} {number} of {user}"} for number in range(count)]


def user(name: str, history: int = 12, candidates: int = 3) -> Row:
    return {"user_id": name, "history": items(name, history), "candidates": items(name, candidates, "c")}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows (objects, or lines as they are) to `users.jsonl`."""

    def to_file(*rows: Row | str, name: str = "users.jsonl") -> Path:
        path = tmp_path / name
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return to_file


class Desk:
    """Runs batches into `tmp_path / "out"` on scripted engines with one cache; `asked` are the prompts of summaries."""

    def __init__(self, tmp_path: Path, fake: FakeEngine) -> None:
        self.path, self.fake = tmp_path, fake
        self.settings, self.cache, self.files = Settings(), "cache", "b2:model"

    @property
    def out(self) -> Path:
        return self.path / "out"

    def open(self, threads: int | None = None) -> Recommender:
        files = {
            role: ModelFile(self.path / f"{role}.gguf", f"{self.files}-{role}", 1)
            for role in ("summarizer", "recommender")
        }

        def engine(file: ModelFile, vocab_only: bool, on_load: Any) -> FakeEngine:
            return dataclasses.replace(self.fake, identity=file.digest, closed=False)

        store = SummaryStore(self.path / self.cache)
        return Recommender(Bundle(name="scripted", **files), store, engine, settings=self.settings)

    def batch(
        self, users: Path, *, resume: bool = False, workers: int = 1, output: str = "out", **options: Any
    ) -> Report:
        asked = BatchOptions(users=str(users), output=str(self.path / output), **options)
        return run(asked, self.open, resume=resume, workers=workers)

    def lines(self, output: str = "out") -> list[Row]:
        files = sorted((self.path / output).glob("part-*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]

    def rejects(self) -> list[Row]:
        return [json.loads(line) for line in (self.out / "rejects.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def desk(tmp_path: Path, fake: FakeEngine) -> Desk:
    return Desk(tmp_path, fake)


@pytest.fixture
def stored() -> Iterator[None]:
    """An empty store in memory, before and after."""
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    yield
    fsspec.filesystem("memory").store.clear()


# What is written


def test_every_user_has_what_recommend_gives_in_order_of_the_file(desk: Desk, write: Callable[..., Path]) -> None:
    rows = [user(f"u{number}", history=4 + 3 * number) for number in range(7)]
    report = desk.batch(write(*rows), partition_users=3, k=2)
    assert (report.counts.users, report.counts.partitions, report.users) == (7, 3, 7)
    with desk.open() as recommender:
        expected = [recommender.recommend(row, k=2).to_dict() for row in rows]
    names = ("user_id", "summary", "recommendations")
    assert [{name: line[name] for name in names} for line in desk.lines()] == [
        {name: result[name] for name in names} for result in expected
    ]


def test_summaries_of_a_partition_are_generated_together_and_never_twice(
    desk: Desk, write: Callable[..., Path]
) -> None:
    calls: list[int] = []
    generate = FakeEngine.generate

    class Counting(FakeEngine):
        def generate(self, prompts: Any, **options: Any) -> list[str]:
            calls.append(len(prompts))
            return generate(self, prompts, **options)

    desk.fake = Counting()
    desk.batch(write(*(user(f"u{number}", history=10) for number in range(8))))
    assert calls == [16, 8]  # two blocks of each user, then the merge of each


def test_one_candidate_file_serves_all_users(desk: Desk, write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "items.json").write_text(json.dumps(items("x", 4, "c")))
    rows = [{"user_id": f"u{number}", "history": items("u", 3)} for number in range(2)]
    desk.batch(write(*rows), candidates=str(tmp_path / "items.json"))
    assert [{entry["id"] for entry in line["recommendations"]} for line in desk.lines()] == 2 * [
        {"xc0", "xc1", "xc2", "xc3"}
    ]


def test_summaries_alone_need_no_candidates(desk: Desk, write: Callable[..., Path]) -> None:
    desk.batch(write({"user_id": "u", "history": items("u", 5)}), summaries_only=True)
    (line,) = desk.lines()
    assert line["summary"] and line["recommendations"] == []
    assert desk.fake.scored == []


def test_a_user_who_was_worked_can_be_forgotten(desk: Desk, write: Callable[..., Path]) -> None:
    desk.batch(write(user("u")))
    with desk.open() as recommender:
        assert recommender.forget("u") == 3  # two blocks and their merge


def test_so_can_a_user_whose_turn_to_be_ranked_never_came(desk: Desk, write: Callable[..., Path]) -> None:
    class Stopped(FakeEngine):
        def margins(self, *arguments: Any, **options: Any) -> Any:
            raise Killed

    desk.fake = Stopped()
    with pytest.raises(Killed):
        desk.batch(write(user("u"), user("v")))
    with desk.open() as recommender:
        assert recommender.forget("v") == 3


def test_parquet_in_and_out_says_what_json_lines_say(desk: Desk, write: Callable[..., Path], tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [user(f"u{number}") for number in range(5)]
    rows[1]["history"][0]["category"] = "x"  # an attribute that others lack
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "users.parquet", row_group_size=3)
    desk.batch(write(*rows), partition_users=2)
    desk.batch(tmp_path / "users.parquet", partition_users=2, output="other")
    files = sorted((tmp_path / "other").glob("part-*.parquet"))
    assert len(files) == 3
    found = [row for file in files for row in parquet.read_table(file).to_pylist(maps_as_pydicts="strict")]
    assert found == desk.lines()


def test_parquet_has_dates_decimals_and_missing_values_and_a_bad_value_spoils_its_row_alone(
    desk: Desk, tmp_path: Path
) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    entry = {
        "id": pa.string(),
        "title": pa.string(),
        "price": pa.decimal128(5, 2),
        "out": pa.date32(),
        "pages": pa.float64(),
    }
    schema = pa.schema({name: pa.list_(pa.struct(entry)) for name in ("history", "candidates")})
    one = {"title": "A", "price": Decimal("1.50"), "out": date(2026, 1, 2), "pages": float("nan")}
    rows = [{name: [{"id": f"{name}{n}", **one} for n in range(5)] for name in schema.names} for _ in range(3)]
    ids = pa.array([b"u0", b"\xff", b"u2"]).view(pa.string())
    table = pa.Table.from_pylist(rows, schema).append_column("user_id", ids)
    parquet.write_table(table, tmp_path / "users.parquet")
    report = desk.batch(tmp_path / "users.parquet", format="jsonl")
    assert [line["user_id"] for line in desk.lines()] == ["u0", "u2"]
    assert report.counts.bad == 1 and report.failed == 0
    assert desk.rejects()[0]["row"] == 2 and "value that cannot be read" in desk.rejects()[0]["reason"]
    assert any(
        "1.50" in prompt and "2026-01-02" in prompt and "nan" not in prompt.lower() for prompt in desk.fake.prompts
    )


@pytest.mark.parametrize("address", ["file://{}", "memory:/{}"])
def test_an_address_works_like_a_path(
    desk: Desk, write: Callable[..., Path], tmp_path: Path, address: str, stored: None
) -> None:
    place = address.format(tmp_path)
    users = write(user("u"), "{", user("v"))
    desk.batch(users)
    RemotePath(f"{place}/far.jsonl").write(users.read_bytes())
    asked = BatchOptions(users=f"{place}/far.jsonl", output=f"{place}/far")
    assert run(asked, desk.open).counts.bad == 1
    far = RemotePath(f"{place}/far")
    assert far.listing() == sorted(path.name for path in desk.out.iterdir())
    assert (far / "part-000000.jsonl").read() == (desk.out / "part-000000.jsonl").read_bytes()
    with pytest.raises(SettingsError, match="holds a batch already"):
        run(asked, desk.open)
    assert run(asked, desk.open, resume=True).kept == 1


def test_parquet_at_an_address_says_what_the_file_says(desk: Desk, tmp_path: Path, stored: None) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.Table.from_pylist([user("u"), user("v"), user("w")])
    parquet.write_table(table, tmp_path / "users.parquet", row_group_size=1)
    RemotePath("memory://far/users.parquet").write((tmp_path / "users.parquet").read_bytes())
    run(BatchOptions(users=str(tmp_path / "users.parquet"), output="memory://far/near", partition_users=1), desk.open)
    run(BatchOptions(users="memory://far/users.parquet", output="memory://far/out", partition_users=1), desk.open)
    for number in range(3):
        name = f"part-{number:06d}.parquet"
        ours, theirs = (RemotePath(f"memory://far/{folder}/{name}").read() for folder in ("out", "near"))
        assert ours == theirs != b""


def test_a_long_history_shares_its_batches_from_the_beginning(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of ten and five chains of two, two at a time: ten rounds, if the longest chain is never kept waiting."""
    monkeypatch.setattr(summarize, "ROUND", 2)
    desk.settings = Settings(strategy="recurrent")
    rounds: list[int] = []

    class Counting(FakeEngine):
        def generate(self, prompts: Any, **options: Any) -> list[str]:
            rounds.append(len(prompts))
            return super().generate(prompts, **options)

    desk.fake = Counting()
    desk.batch(write(*(user(f"u{number}", history=10) for number in range(5)), user("long", history=50)))
    assert rounds == 10 * [2]


# Rows that are no users


def test_bad_rows_are_counted_named_and_left_out(desk: Desk, write: Callable[..., Path]) -> None:
    rows: list[Row | str] = [user("a"), "{", user("b"), {"user_id": "c", "history": []}, "", "7", user("d")]
    rows += [{**user(""), "user_id": ""}, {"user_id": "e", "history": items("e", 3)}]
    report = desk.batch(write(*rows))
    assert (report.counts.rows, report.counts.users, report.counts.bad) == (8, 3, 5)
    assert [line["user_id"] for line in desk.lines()] == ["a", "b", "d"]
    found = {line["row"]: (line["user_id"], line["reason"]) for line in desk.rejects()}
    assert list(found) == [2, 4, 6, 8, 9]
    assert "users.jsonl:2" in found[2][1] and "not valid JSON" in found[2][1]
    assert found[4][0] == "c" and "history: is empty" in found[4][1]
    assert "candidates: missing" in found[9][1]


def test_what_is_left_out_of_users_is_said_once_and_costs_no_user(
    desk: Desk, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    rows: list[Row | str] = [
        {**user(name), "history": [*items(name, 3), {"id": "x", "details": {"a": 1}}, "no item"]} for name in "abcd"
    ]
    rows.append(json.dumps(user("e", 2)).replace('"h 0 of e"', '"cut \\ud83d", "price": NaN'))
    report = desk.batch(write(*rows))
    assert (report.counts.users, report.counts.bad) == (5, 0)
    said = [record.getMessage() for record in caplog.records if "users: " in record.getMessage()]
    assert len(said) == 3 and all(line.startswith("users: 4 × ") for line in said)


def test_users_in_another_encoding_are_refused_with_what_to_do(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "users.jsonl"
    path.write_bytes((json.dumps(user("a")) + "\n").encode("utf-16"))
    with pytest.raises(DataError, match="is UTF-16 text, not UTF-8") as caught:
        desk.batch(path)
    assert caught.value.hint == "save it as UTF-8"


def test_of_rows_that_name_the_same_user_the_first_counts(desk: Desk, write: Callable[..., Path]) -> None:
    again = {**user("a"), "history": items("other", 2)}
    report = desk.batch(write(user("a"), user("b"), again, user("b"), user("c")), partition_users=2)
    assert (report.counts.users, report.counts.duplicates, report.counts.bad) == (3, 2, 0)
    assert [line["user_id"] for line in desk.lines()] == ["a", "b", "c"]
    assert "is already the user of row 1" in desk.rejects()[0]["reason"]
    assert any("name a user again" in line for line in report.lines())


@pytest.mark.parametrize("bad", ["{", json.dumps(user("a"))])
def test_strict_stops_before_any_model_runs_and_leaves_nothing(
    desk: Desk, write: Callable[..., Path], bad: str
) -> None:
    with pytest.raises(DataError, match=r"users\.jsonl:2"):
        desk.batch(write(user("a"), bad), strict=True)
    assert desk.fake.prompts == [] and list(desk.out.glob("*")) == []


def test_a_user_the_model_cannot_be_asked_about_has_an_error(desk: Desk, write: Callable[..., Path]) -> None:
    desk.settings = Settings(prompt_tokens=900)
    long = {**user("long"), "candidates": [{"id": "c", "title": 1000 * "x"}]}
    users = write(user("a"), long, user("b"))
    report = desk.batch(users)
    assert report.failed == 1
    assert [bool(line["error"]) for line in desk.lines()] == [False, True, False]
    assert "its title alone needs" in desk.lines()[1]["error"]
    with pytest.raises(DataError, match=r"user 'long': candidate 'c': its title alone"):
        desk.batch(users, output="strict", strict=True)


def test_a_file_without_users_is_refused(desk: Desk, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="has no usable user"):
        desk.batch(write("{"))


@pytest.mark.parametrize(
    ("text", "words"),
    [({"brand": "x"}, "item 'c': it has none"), ({"title": 1000 * "x"}, "candidate 'c': its title alone needs")],
)
def test_an_item_of_the_candidate_file_that_cannot_be_asked_of_stops_the_batch(
    desk: Desk, write: Callable[..., Path], tmp_path: Path, text: Row, words: str
) -> None:
    desk.settings = Settings(attributes=("title",), prompt_tokens=900)
    (tmp_path / "items.json").write_text(json.dumps([*items("x", 2), {"id": "c", **text}]))
    with pytest.raises(DataError, match=rf"items\.json: {words}"):
        desk.batch(write(user("a")), candidates=str(tmp_path / "items.json"))
    assert desk.fake.prompts == [] and not desk.out.exists()


@pytest.mark.parametrize("name", ["users.json", "users.csv", "users"])
def test_another_kind_of_file_is_refused(desk: Desk, write: Callable[..., Path], name: str) -> None:
    with pytest.raises(DataError, match="JSON Lines or Parquet"):
        desk.batch(write(user("a"), name=name))


def test_a_line_without_end_is_one_bad_row(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 2000)
    huge = json.dumps({**user("b"), "history": items("b", 200)})
    assert len(huge) > 4000
    report = desk.batch(write(user("a", 3), huge, user("c", 3)))
    assert [line["user_id"] for line in desk.lines()] == ["a", "c"]
    assert "is longer than" in desk.rejects()[0]["reason"] and report.counts.rows == 3


# The plan


def test_the_plan_accounts_for_every_row_once(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SKIPS", 5)
    rows: list[Row | str] = []
    for number in range(60):
        rows += [user(f"u{number}", history=1001 if number % 20 == 7 else 3), *(number % 9 * ["{"])]
    source, folder = inputs.source(str(write(*rows))), RemotePath(str(tmp_path / "plan"))
    rules = plan.Rules(Settings(), own_candidates=True)
    counts = plan.make(source, folder, rules, 4)
    partitions = list(plan.read(folder))
    found = [[user.user_id for user in plan.users(source, partition, rules)] for partition in partitions]
    flat = [name for names in found for name in names]
    assert sorted(flat, key=lambda name: int(name[1:])) == [f"u{number}" for number in range(60)]
    assert max(len(names) for names in found) == 4 and len(flat) == counts.users
    assert max(len(partition.skip) for partition in partitions) <= 9
    assert found[-3:] == [["u7"], ["u27"], ["u47"]]


def test_some_hundred_users_are_parts_enough_for_several_workers(desk: Desk, write: Callable[..., Path]) -> None:
    """No part is more than half of what each of four workers has to do."""
    report = desk.batch(write(*(user(f"u{number}", history=1, candidates=1) for number in range(512))))
    assert report.counts.partitions >= 2 * 4


def test_nobody_waits_for_a_huge_history(desk: Desk, write: Callable[..., Path]) -> None:
    seen: list[tuple[bool, int]] = []

    def script(prompt: str) -> str:
        seen.append(("of huge" in prompt, len(list(desk.out.glob("part-*")))))
        return f" {len(prompt)}."

    desk.fake = FakeEngine(script=script)
    desk.batch(write(user("huge", history=1100), *(user(f"u{number}") for number in range(4))), partition_users=2)
    assert {there for huge, there in seen if huge} == {2}  # the others were committed before its first prompt
    assert desk.lines()[-1]["user_id"] == "huge"


def test_a_users_file_that_changes_under_the_plan_is_noticed(tmp_path: Path, write: Callable[..., Path]) -> None:
    source, folder = inputs.source(str(write(user("a"), user("b")))), RemotePath(str(tmp_path / "plan"))
    rules = plan.Rules(Settings(), own_candidates=True)
    plan.make(source, folder, rules, 4)
    partition = next(iter(plan.read(folder)))
    assert [one.user_id for one in plan.users(source, partition, rules)] == ["a", "b"]
    for changed in ([user("a")], [user("b"), user("a")], [user("a", 4), user("b", 4)], ['{"user_id": "a', "{"], []):
        write(*changed)
        with pytest.raises(DataError, match="has changed"):
            plan.users(source, partition, rules)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_users_file_that_is_replaced_by_another_order_stops_the_run(
    desk: Desk, write: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    """Otherwise some users would come twice and others never, without a word."""
    rows = [user(f"u{number}", 7) for number in range(4)]

    def put(rows: list[Row]) -> Path:
        if suffix == "jsonl":
            return write(*rows)
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "users.parquet")
        return tmp_path / "users.parquet"

    def script(prompt: str) -> str:  # while the first partition is worked
        put(rows[::-1])
        return " x."

    users = put(rows)
    desk.fake = FakeEngine(script=script)
    with pytest.raises(DataError, match="partition 1: the users file has changed"):
        desk.batch(users, partition_users=2, format="jsonl")
    assert [line["user_id"] for line in desk.lines()] == ["u0", "u1"]
    put(rows)
    desk.fake = FakeEngine()
    desk.batch(users, partition_users=2, format="jsonl", resume=True)
    assert [line["user_id"] for line in desk.lines()] == ["u0", "u1", "u2", "u3"]


def test_a_full_temporary_folder_is_said(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(plan._Seen, "earlier", full)
    source, folder = inputs.source(str(write(user("a")))), RemotePath(str(tmp_path / "plan"))
    with pytest.raises(TrsrError, match="temporary folder: database or disk is full") as caught:
        plan.make(source, folder, plan.Rules(Settings(), own_candidates=True), 4)
    assert "TMPDIR" in caught.value.hint
    assert list((tmp_path / "plan").iterdir()) == []


# Stopping and going on


def test_a_run_killed_anywhere_goes_on_to_the_same_results(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The texts depend on their company in a batch here, as they do on real hardware."""
    monkeypatch.setattr(summarize, "ROUND", 4)
    users = write(*(user(f"u{number}", history=3 + 7 * number % 40) for number in range(10)))
    left = 0

    def step() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    class Moody(FakeEngine):
        def generate(self, prompts: Any, **options: Any) -> list[str]:
            company, keep = sum(sum(prompt) for prompt in prompts), options.pop("on_result")

            def on_result(index: int, text: str, tokens: int) -> None:
                step()
                keep(index, f"{text[:-1]} in the company of {company}.", tokens)

            return super().generate(prompts, **options, on_result=on_result)

        def margins(self, *arguments: Any, **options: Any) -> Any:
            step()
            return super().margins(*arguments, **options)

    desk.fake = Moody()
    desk.batch(users, partition_users=4, output="calm")
    desk.cache, kills, source = "other", 0, random.Random(5)
    while True:
        left = source.randint(6, 12)
        try:
            report = desk.batch(users, partition_users=4, resume=True)
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 4 and report.kept >= 1
    assert desk.lines() == desk.lines("calm")
    assert len({line["user_id"] for line in desk.lines()}) == 10


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    place = RemotePath(str(tmp_path / "part"))
    with place.writing() as file:
        file.write(b"whole")
        assert not place.exists()
    with pytest.raises(Killed), place.writing() as file:
        file.write(b"ha")
        raise Killed
    assert place.read() == b"whole" and [path.name for path in tmp_path.iterdir()] == ["part"]


def test_what_killed_writers_left_is_taken_away(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(user("a"))
    desk.batch(users)
    (desk.out / ".part-000000.jsonl.0a1b2c3d.tmp").write_text("ha")
    desk.batch(users, resume=True)
    assert [path.name for path in desk.out.iterdir() if path.name.startswith(".")] == []


def test_what_is_committed_is_not_worked_again(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(*(user(f"u{number}") for number in range(6)))
    desk.batch(users, partition_users=2)
    (desk.out / "part-000001.jsonl").unlink()
    desk.fake.scored.clear()
    report = desk.batch(users, partition_users=2, resume=True)
    assert (report.kept, report.users) == (2, 2) and desk.fake.scored == []  # margins of what was lost are stored
    assert [line["user_id"] for line in desk.lines()] == [f"u{number}" for number in range(6)]


def test_a_plan_that_was_not_finished_is_made_anew(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = write(user("a"), user("b"))
    with monkeypatch.context() as patch:
        patch.setattr("trsr_lite.batch.manifest.write", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            desk.batch(users)
    assert desk.batch(users).counts.users == 2


def test_a_folder_is_not_reused_without_being_told(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(user("a"))
    desk.batch(users)
    with pytest.raises(SettingsError, match="holds a batch already") as error:
        desk.batch(users)
    assert "--resume" in str(error.value.hint)
    (desk.path / "mine").mkdir()
    (desk.path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(SettingsError, match=r"is not a batch: it holds 'thesis\.txt'"):
        desk.batch(users, output="mine", resume=True)


def _users(desk: Desk, users: Path) -> dict[str, Any]:
    users.write_text(users.read_text() + "\n")
    return {}


def _settings(desk: Desk, users: Path) -> dict[str, Any]:
    desk.settings = Settings(strategy="none")
    return {}


def _model(desk: Desk, users: Path) -> dict[str, Any]:
    desk.files = "b2:other"
    return {}


def _candidates(desk: Desk, users: Path) -> dict[str, Any]:
    path = desk.path / "items.json"
    path.write_text(json.dumps(items("x", 2)))
    return {"candidates": str(path)}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_users, "users.digest"),
        (_settings, "settings.strategy was 'hierarchical' and is now 'none'"),
        (_model, "model.summarizer"),
        (_candidates, "ranking.candidates"),
        (lambda *_: {"k": 3}, "ranking.k was 10 and is now 3"),
        (lambda *_: {"exact": True}, "ranking.exact"),
        (lambda *_: {"partition_users": 5}, "output.partition_users"),
        (lambda *_: {"format": "parquet"}, "output.format"),
        (lambda *_: {"sort_history": True}, "sort_history"),
    ],
)
def test_what_changed_since_the_start_is_named_and_refused(
    desk: Desk, write: Callable[..., Path], change: Callable[..., dict[str, Any]], named: str
) -> None:
    users = write(user("a"))
    desk.batch(users)
    with pytest.raises(SettingsError, match=named):
        desk.batch(users, resume=True, **change(desk, users))


def test_a_worker_with_another_model_is_refused(desk: Desk, write: Callable[..., Path]) -> None:
    opened = 0

    def open_recommender(threads: int | None) -> Recommender:
        nonlocal opened
        opened += 1
        desk.files = f"b2:{opened}"
        return desk.open()

    asked = BatchOptions(users=str(write(user("a"))), output=str(desk.out))
    with pytest.raises(ModelError, match="the batch was begun with"):
        run(asked, open_recommender)


def test_a_full_disk_says_what_to_do_and_a_later_run_goes_on(desk: Desk, write: Callable[..., Path]) -> None:
    resource = pytest.importorskip("resource")
    users = write(*(user(f"u{number}", candidates=40) for number in range(4)))
    desk.batch(users, partition_users=2, output="calm", k=40)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    desk.batch(users, partition_users=2, k=40)
    whole = (desk.out / "part-000001.jsonl").read_bytes()
    (desk.out / "part-000001.jsonl").unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, hard))
    try:
        with pytest.raises(TrsrError, match=r"part-000001\.jsonl: cannot be written") as error:
            desk.batch(users, partition_users=2, resume=True, k=40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--resume" in str(error.value.hint)
    assert [path.name for path in desk.out.iterdir() if path.name.startswith(".")] == []
    desk.batch(users, partition_users=2, resume=True, k=40)
    assert desk.lines() == desk.lines("calm")


# Two runs at once


def test_a_second_run_in_the_folder_is_refused_and_disturbs_nothing(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(*(user(f"u{number}") for number in range(4)))
    desk.batch(users, partition_users=2, output="calm")
    refused: list[SettingsError] = []

    def script(prompt: str) -> str:  # while the first run is at work
        for resume in (False, True):
            with pytest.raises(SettingsError, match=f"{desk.out}: another run is at work") as caught:
                desk.batch(users, partition_users=2, resume=resume)
            refused.append(caught.value)
        return FakeEngine().script(prompt)

    desk.fake, desk.cache = FakeEngine(script=script), "other"
    desk.batch(users, partition_users=2)
    assert "--resume" in str(refused[0].hint) and desk.lines() == desk.lines("calm")
    assert [path.name for path in desk.out.iterdir() if path.name.startswith(".")] == []
    assert desk.batch(users, partition_users=2, resume=True).kept == 2


def test_runs_in_two_folders_do_not_know_of_each_other(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(user("u"))
    with lock.held(RemotePath(str(desk.path / "other"))):
        assert desk.batch(users).users == 1


def test_a_run_that_fails_leaves_the_folder_to_the_next(desk: Desk, write: Callable[..., Path]) -> None:
    with pytest.raises(Killed), lock.held(RemotePath(str(desk.out))):
        raise Killed
    assert desk.batch(write(user("u"))).users == 1


def test_the_lock_ends_with_its_process(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(user("u"))
    code = (
        "import sys; from trsr_lite.io import lock, remote\n"
        "with lock.held(remote.RemotePath(sys.argv[1])): input(print())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(desk.out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline()
        with pytest.raises(SettingsError, match="another run"):
            desk.batch(users)
        process.kill()
    assert (desk.out / lock.LOCK).exists()
    assert desk.batch(users).users == 1


def test_where_nothing_can_be_locked_a_run_warns_and_works(
    desk: Desk, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unable(number: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unable)
    with caplog.at_level(logging.WARNING):
        assert desk.batch(write(user("u"))).users == 1
    assert "cannot be locked" in caplog.text and str(desk.out) in caplog.text


@pytest.mark.parametrize(("number", "room"), [(errno.EACCES, False), (errno.ENAMETOOLONG, False), (errno.EDQUOT, True)])
def test_room_is_asked_for_where_it_is_lacking(tmp_path: Path, number: int, room: bool) -> None:
    blocks = [disk.checked(tmp_path, hint="make room"), RemotePath(str(tmp_path)).mapped("make room")]
    for block in blocks:
        with pytest.raises(TrsrError, match="refused") as caught, block:
            raise OSError(number, "refused")
        assert caught.value.hint == ("make room" if room else "name another place")


@pytest.mark.parametrize("own", [[], None, [{"id": "c1"}]], ids=str)
def test_candidates_that_are_not_ranked_cost_no_user(desk: Desk, write: Callable[..., Path], own: Any) -> None:
    users = write({"user_id": "u", "history": items("u", 5), "candidates": own})
    assert desk.batch(users, summaries_only=True).users == 1
    assert [line["user_id"] for line in desk.lines()] == ["u"] and desk.rejects() == []


def test_a_folder_that_cannot_be_looked_at_is_said(desk: Desk, write: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        desk.batch(write(user("u")), output="x" * 300)


def test_a_file_is_no_folder_for_results(desk: Desk, write: Callable[..., Path]) -> None:
    desk.out.write_text("mine")
    with pytest.raises(SettingsError, match="is a file, not a folder"):
        desk.batch(write(user("u")))
    assert desk.out.read_text() == "mine"


# Several workers


def test_several_workers_write_what_one_writes(desk: Desk, write: Callable[..., Path]) -> None:
    users = write(*(user(f"u{number}") for number in range(12)))
    desk.batch(users, partition_users=2, output="one")
    report = desk.batch(users, partition_users=2, workers=3)
    assert report.users == 12 and desk.lines() == desk.lines("one")


def test_a_worker_that_fails_stops_the_others_and_its_error_is_raised(desk: Desk, write: Callable[..., Path]) -> None:
    def script(prompt: str) -> str:
        if "of u3" in prompt:
            raise ModelError("it broke")
        return " x."

    desk.fake = FakeEngine(script=script)
    users = write(*(user(f"u{number}") for number in range(40)))
    with pytest.raises(ModelError, match="it broke"):
        desk.batch(users, partition_users=1, workers=2)
    assert len(list(desk.out.glob("part-*"))) < 39
    assert [thread for thread in threading.enumerate() if thread.name.startswith("worker")] == []


def test_partitions_are_read_as_they_are_needed(desk: Desk, write: Callable[..., Path]) -> None:
    taken: list[int] = []
    users = write(*(user(f"u{number}") for number in range(3)))
    desk.batch(users, partition_users=1)

    def partitions() -> Any:
        for partition in plan.read(RemotePath(str(desk.out))):
            taken.append(partition.number)
            yield partition

    class Only:
        def __init__(self, job: Any, threads: int | None) -> None: ...

        def work(self, partition: Partition, **_: Any) -> int:
            return partition.number

        def close(self) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thread_workers, "Worker", Only)
        work = thread_workers.work(None, partitions(), workers=1, threads=None)  # type: ignore[arg-type]
        assert next(work) == 0 and taken == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "at least 1"),
        ({"format": "csv"}, "format is 'csv'"),
        ({"candidates": "a", "catalog": "b"}, "not from both"),
        ({"candidates": "a", "summaries_only": True}, "ranks nothing"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BatchOptions(users="users.jsonl", output="out", **options)


# A catalog


@pytest.fixture
def catalog(write: Callable[..., Path], tmp_path: Path) -> Path:
    path = tmp_path / "items.catalog"
    build.build([write(*items("u0", 40, "n"), name="items.jsonl")], path)
    return path


def test_candidates_of_a_catalog_are_those_that_recommend_finds(
    desk: Desk, write: Callable[..., Path], catalog: Path
) -> None:
    rows = [{"user_id": f"u{number}", "history": items(f"u{number}", 7)} for number in range(2)]
    desk.batch(write(*rows), catalog=str(catalog), retrieve=Retrieval(count=5))
    with desk.open() as recommender, Catalog(catalog) as opened:
        expected = recommender.recommend(rows[0], catalog=opened, retrieve=5, k=10).to_dict()
    assert desk.lines()[0]["recommendations"] == expected["recommendations"]
    assert len(expected["recommendations"]) == 5


def test_a_filter_on_an_attribute_that_no_item_has_stops_the_batch_before_any_model_runs(
    desk: Desk, write: Callable[..., Path], catalog: Path
) -> None:
    users = write({"user_id": "u0", "history": items("u0", 7)})
    with pytest.raises(SettingsError, match="no item has the attribute 'kind'"):
        desk.batch(users, catalog=str(catalog), retrieve=Retrieval(filters={"kind": ["x"]}))
    assert desk.fake.prompts == [] and not desk.out.exists()


def test_a_catalog_that_changed_is_named_and_refused(desk: Desk, write: Callable[..., Path], catalog: Path) -> None:
    users = write({"user_id": "u0", "history": items("u0", 7)}, {"user_id": "u1", "history": items("u1", 7)})
    added = write({"id": "new", "title": "h of u0"}, name="new.jsonl")

    def script(prompt: str) -> str:  # while the first partition is worked
        build.add([added], catalog)
        return " x."

    desk.fake = FakeEngine(script=script)
    with pytest.raises(DataError, match="the catalog has changed since the batch was begun"):
        desk.batch(users, catalog=str(catalog), partition_users=1)
    assert desk.lines() == []  # what was ranked from either state is not kept as if it were of the first
    with pytest.raises(SettingsError, match=r"ranking\.catalog was 'b2:.* and is now 'b2:"):
        desk.batch(users, catalog=str(catalog), partition_users=1, resume=True)
