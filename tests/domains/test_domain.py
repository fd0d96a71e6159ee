"""Domains as data: shipped, of one's own, kept in settings."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import orjson
import pytest

from tests.commands import runner
from trsr_lite import Item, Settings, SettingsError
from trsr_lite.domains import domain as domains
from trsr_lite.imports import registry
from trsr_lite.prompts import fingerprint, templates
from trsr_lite.summaries import plan

SERMON = """
[sermon]
item = "sermon"
items = "sermons"
person = "listener"
did = "heard"
would = "hear"
likes = "likes sermons on"
"""
PINNED = "b2:0833a032bf75814a66776415a5df4ea7d76fa217"
ITEMS = [Item("1", {"title": "On patience"})]


@pytest.fixture
def sermon(tmp_path: Path) -> Path:
    path = tmp_path / "sermon.toml"
    path.write_text(SERMON)
    return path


def test_prompts_of_the_first_three_domains_are_what_they_were() -> None:
    # The digest that bundles of version 0.1 carry: another one would refuse them.
    assert fingerprint.template() == PINNED


def test_twelve_domains_are_shipped_and_each_can_be_said() -> None:
    assert list(domains.shipped()) == (
        ["item", "news", "product", "book", "film", "music", "podcast", "video", "paper", "recipe", "game", "software"]
    )
    for name in domains.shipped():
        settings = Settings(domain=name)
        message, opening = templates.block(ITEMS, settings, fingerprint.Characters())
        assert f"from the {settings.words.items} below" in message
        assert opening == f"The {settings.words.person} {settings.words.likes}"


def test_every_import_format_names_a_shipped_domain() -> None:
    assert {one.domain for one in registry.formats().values()} <= set(domains.shipped())


@pytest.mark.parametrize("at_the_top", [False, True])
def test_a_file_gives_words_of_ones_own(sermon: Path, at_the_top: bool) -> None:
    if at_the_top:
        sermon.write_text(SERMON.replace("[sermon]", ""))
    found = domains.read(str(sermon))
    assert (found, found.person, found.likes) == ("sermon", "listener", "likes sermons on")
    prompt = templates.scoring(None, ITEMS, ITEMS, Settings(domain=found), fingerprint.Characters())
    assert "Will this listener hear the candidate sermon?" in prompt.prefix[0].text
    assert "### Recent sermons, oldest first" in prompt.prefix[0].text


def test_settings_carry_words_through_json_and_processes(sermon: Path) -> None:
    settings = Settings(domain=domains.read(str(sermon)))
    assert Settings.from_dict(orjson.loads(orjson.dumps(settings.to_dict()))) == settings
    for again in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings), dataclasses.replace(settings)):
        assert again.words.words == settings.words.words
    assert Settings(domain="news").to_dict()["domain"] == "news"
    assert Settings(domain="film").to_dict()["domain"]["person"] == "viewer"
    assert settings.updated(domain="film").words.person == "viewer"


def test_words_that_a_bundle_keeps_count_whatever_is_shipped() -> None:
    kept = {**Settings(domain="film").to_dict(), "domain": {**domains.shipped()["film"].plain(), "person": "cineast"}}  # type: ignore[dict-item]
    assert Settings.from_dict(kept).words.person == "cineast"
    assert Settings.from_dict(kept) != Settings(domain="film")


def test_summaries_of_other_words_are_other_summaries(sermon: Path) -> None:
    def key(settings: Settings) -> str:
        return plan.key("block", "model", settings, ITEMS)

    own = domains.read(str(sermon))
    other = domains.Domain("sermon", (*own.words[:5], "loves sermons on"))
    assert len({key(Settings(domain=one)) for one in (own, other, "film", "item")}) == 4
    assert own != other
    assert own == "sermon"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "'item' must be a text"),
        (SERMON.replace("did = ", "done = "), "there is no word 'done'"),
        (SERMON.replace('"heard"', "3"), "'did' must be a text"),
        (SERMON.replace('"heard"', '"a\\nb"'), "'did' must be a text"),
        (SERMON.replace('"heard"', f'"{"x" * 100}"'), "'did' must be a text"),
        (SERMON + SERMON.replace("[sermon]", "[talk]"), "it has 2 domains: sermon, talk"),
        (SERMON.replace("[sermon]", "[news]"), "'news' is a domain with other words"),
        ("item = ", "cannot be read"),
        ("a = " + "[" * 50_000, "cannot be read"),
        ("#" * 70_000, "has more than 64 KiB"),
    ],
)
def test_a_file_that_is_no_domain_is_one_line(sermon: Path, content: str, said: str) -> None:
    sermon.write_text(content)
    with pytest.raises(SettingsError, match=said):
        domains.read(str(sermon))


@pytest.mark.parametrize("value", ["films", "", "missing.toml"])
def test_an_unknown_domain_is_one_line(value: str) -> None:
    with pytest.raises(SettingsError):
        domains.read(value)
    with pytest.raises(SettingsError, match=r"did you mean `film`\?|must be one of") as caught:
        Settings(domain="films")
    assert caught.value.hint == "did you mean `film`?"


def test_settings_never_read_a_file(sermon: Path) -> None:
    with pytest.raises(SettingsError, match="must be one of"):
        Settings(domain=str(sermon))


def test_the_command_line_takes_a_name_or_a_file(
    sermon: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Path
) -> None:
    user = tmp_path / "user.json"
    user.write_bytes(
        orjson.dumps(
            {"history": [{"id": "1", "title": "On patience"}], "candidates": [{"id": "2", "title": "On haste"}]}
        )
    )
    run = runner(capsys, "prompt", "--user", str(user), "-m", str(tiny))
    for given, said in ((str(sermon), "hear the candidate sermon"), ("film", "watch the candidate film")):
        assert said in run("--domain", given).out
    assert "did you mean `film`?" in run("--domain", "flim").err


def test_a_user_file_says_what_its_items_are_unless_a_flag_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Path
) -> None:
    user = tmp_path / "user.json"

    def write(domain: object) -> None:
        items = [{"id": "1", "title": "On patience"}]
        user.write_bytes(orjson.dumps({"domain": domain, "history": items, "candidates": [{"id": "2", "title": "B"}]}))

    run = runner(capsys, "prompt", "--user", str(user), "-m", str(tiny))
    write("film")
    assert "watch the candidate film" in run().out
    assert "read the candidate article" in run("--domain", "news").out
    write(
        {
            "name": "sermon",
            **dict(zip(domains.WORDS, ("sermon", "sermons", "listener", "heard", "hear", "likes"), strict=True)),
        }
    )
    assert "hear the candidate sermon" in run().out
    write("films")
    shown = run()
    assert "choose the candidate item" in shown.out
    assert "domain left out: domain is 'films'" in shown.err
