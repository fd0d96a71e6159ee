"""Recommending from a catalog, in Python and on the command line: what is retrieved is what the model ranks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.commands import Run, runner
from trsr_lite import Catalog, DataError, FakeEngine, Item, Recommender, Retrieval, SettingsError, User
from trsr_lite.catalog import build

HISTORY = [
    {"id": f"h{number}", "title": f"Garden spade {name}", "time": f"2026-01-0{number + 1}"}
    for number, name in enumerate("uvwxyz")
]
ITEMS = [
    *({"id": f"g{number}", "title": f"Garden tool {number}", "kind": "tool"} for number in range(8)),
    *({"id": f"s{number}", "title": f"Poem about storms {number}", "kind": "book"} for number in range(8)),
    {"id": "h2", "title": "Garden spade w"},
    {"id": "late", "title": "Garden hose", "time": "2026-03-01"},
]


def write(path: Path, items: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    build.build([write(tmp_path / "items.jsonl", ITEMS)], tmp_path / "items.catalog")
    return tmp_path / "items.catalog"


@pytest.fixture
def user() -> User:
    return User.from_dict({"user_id": "u", "history": HISTORY, "candidates": [{"id": "own", "title": "Own candidate"}]})


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `trsr-lite recommend` for the user on the tiny model."""
    monkeypatch.setenv("TRSR_LITE_STRATEGY", "none")
    (tmp_path / "user.json").write_text(json.dumps({"user_id": "u", "history": HISTORY}))
    return runner(capsys, "recommend", "--user", str(tmp_path / "user.json"), "-m", str(tiny), "--json")


def ids(outcome: object) -> set[str]:
    return {entry["id"] for entry in outcome.json["recommendations"]}  # type: ignore[attr-defined]


def test_a_model_ranks_what_the_catalog_finds(fake_recommender: Recommender, path: Path, user: User) -> None:
    with Catalog(path) as catalog:
        result = fake_recommender.recommend(user, catalog=catalog, retrieve=5, k=3)
        expected = {one.id for one in catalog.retrieve(user.history, result.summary, 5)}
    assert len(result.recommendations) == 3 and len(expected) == 5
    assert {entry.item.id for entry in result.recommendations} <= expected
    assert result.stats.seconds["retrieve"] >= 0


def test_words_that_only_the_summary_has_find_items(fake_recommender: Recommender, path: Path, user: User) -> None:
    with Catalog(path) as catalog:
        plain = {one.id for one in catalog.retrieve(user.history, None, Retrieval(20))}
        told = {one.id for one in catalog.retrieve(user.history, "Likes poem and storms", Retrieval(20))}
    assert not any(name.startswith("s") for name in plain)
    assert {f"s{number}" for number in range(8)} <= told


def test_items_that_no_model_sees_anything_of_are_left_out(
    make_recommender: object, path: Path, user: User, tmp_path: Path
) -> None:
    from trsr_lite import Settings

    (tmp_path / "more.jsonl").write_text('{"id": "bare", "text": "garden garden tool spade"}\n')
    build.add([tmp_path / "more.jsonl"], path)
    recommender = make_recommender(Settings(attributes=("title",)))  # type: ignore[operator]
    with Catalog(path) as catalog:
        assert "bare" in {one.id for one in catalog.retrieve(user.history)}
        result = recommender.recommend(user, catalog=catalog)
    assert "bare" not in {entry.item.id for entry in result.recommendations}


def test_an_item_that_fits_no_prompt_is_left_out_and_counted(
    fake_recommender: Recommender, path: Path, user: User, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = {"id": "long", "title": f"Garden tool spade {'x' * 3000}"}
    untitled = {"id": "untitled", "text": f"Another spade for gardens {'y' * 3000}"}
    build.add([write(tmp_path / "more.jsonl", [long, untitled])], path)
    with Catalog(path) as catalog:
        found = {one.id for one in catalog.retrieve(user.history)}
        result = fake_recommender.recommend(user, catalog=catalog)
        assert {"long", "untitled"} < found
        assert {entry.item.id for entry in result.recommendations} == found - {"long", "untitled"}
        assert result.skipped is None
        assert "no prompt has room for were left out: 2" in caplog.text
        with pytest.raises(DataError, match="candidate 'long': its title alone"):
            fake_recommender.recommend(user, [catalog.get("g1"), catalog.get("long")])
    only = tmp_path / "only.catalog"
    build.build([write(tmp_path / "only.jsonl", [long])], only)
    with Catalog(only) as catalog, pytest.raises(DataError, match="candidate 'long': its title alone"):
        fake_recommender.recommend(user, catalog=catalog)


def test_candidates_come_from_one_place(fake_recommender: Recommender, path: Path, user: User) -> None:
    with Catalog(path) as catalog, pytest.raises(SettingsError, match="from a list or from a catalog"):
        fake_recommender.recommend(user, [Item("a", {"title": "A"})], catalog=catalog)


def test_a_filter_that_can_find_nothing_is_said_before_any_model_runs(
    fake_recommender: Recommender, fake: FakeEngine, path: Path, user: User
) -> None:
    with Catalog(path) as catalog, pytest.raises(SettingsError, match="no item has the attribute 'kin'") as caught:
        fake_recommender.recommend(user, catalog=catalog, retrieve=Retrieval(filters={"kin": ["tool"]}))
    assert fake.prompts == [] and caught.value.hint == "its items have title, kind"


def test_an_empty_catalog_is_not_taken_for_none(fake_recommender: Recommender, path: Path, user: User) -> None:
    build.remove([str(item["id"]) for item in ITEMS], path)
    with Catalog(path) as catalog, pytest.raises(DataError, match="no item passes the filters") as caught:
        fake_recommender.recommend(user, catalog=catalog)
    assert "trsr-lite catalog info" in str(caught.value.hint)


def test_a_user_without_history_is_told_that_nothing_is_found(fake_recommender: Recommender, path: Path) -> None:
    with Catalog(path) as catalog, pytest.raises(DataError, match="shares a word with the history or the summary"):
        fake_recommender.recommend(User("new", ()), catalog=catalog)


def test_the_command_ranks_retrieved_items_and_narrows_them(run: Run, path: Path) -> None:
    assert ids(run("--catalog", path, "-k", "20")) == {*(f"g{number}" for number in range(8)), "late"}
    assert ids(run("--catalog", path, "--filter", "kind=TOOL", "-k", "20")) == {f"g{number}" for number in range(8)}
    assert ids(run("--catalog", path, "--newer-than", "2026-02-01")) == {"late"}
    assert len(ids(run("--catalog", path, "--retrieve", "3", "--diversity", "0.5"))) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--retrieve", "3"], 2, "`--retrieve` needs `--catalog`"),
        (["--filter", "a=b"], 2, "`--filter` needs `--catalog`"),
        (["--diversity", "0"], 2, "`--diversity` needs `--catalog`"),
        (["--newer-than", ""], 2, "`--newer-than` needs `--catalog`"),
        (["--catalog", "PATH", "--newer-than", ""], 2, "`--newer-than` is empty"),
        (["--catalog", "PATH", "--filter", "kind"], 2, "is not NAME=TEXT"),
        (["--catalog", "PATH", "--newer-than", "soon"], 4, "--newer-than: 'soon' is not a time"),
        (["--catalog", "PATH", "--candidates", "c.json"], 2, "not both"),
        (["--catalog", "nowhere"], 4, "there is no such catalog"),
        (["--catalog", "PATH", "--filter", "kin=tool"], 2, "no item has the attribute 'kin'"),
        (["--catalog", "PATH", "--filter", "kind=none"], 4, "no item passes the filters"),
    ],
)
def test_what_cannot_be_is_said_before_or_instead_of_ranking(
    run: Run, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.json").write_text('[{"id": "a", "title": "A"}]')
    outcome = run(*(str(path) if argument == "PATH" else argument for argument in arguments))
    assert (outcome.code, outcome.out) == (code, "")
    assert says in outcome.err
