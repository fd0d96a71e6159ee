"""Settings: read back as written, and what cannot work is refused by name."""

import dataclasses
from typing import Any

import pytest

from trsr_lite import Settings, SettingsError

CHANGED = Settings(
    domain="news",
    attributes=("title", "category"),
    strategy="recurrent",
    block_size=4,
    recent_items=7,
    fan_in=3,
    item_tokens=50,
    summary_tokens=40,
    prompt_tokens=999,
    no_repeat_ngram=0,
    grounded=False,
    ragged=True,
)


def test_settings_are_read_back_as_written() -> None:
    unchanged = [name for name, value in CHANGED.to_dict().items() if value == Settings().to_dict()[name]]
    assert unchanged == []
    assert Settings.from_dict(CHANGED.to_dict()) == CHANGED


def test_missing_names_take_their_defaults() -> None:
    assert Settings.from_dict({}) == Settings()


def test_a_model_from_before_grounded_summaries_writes_as_it_did() -> None:
    assert not Settings.stored({"domain": "news"}).grounded
    assert Settings.stored(Settings().to_dict()).grounded


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no setting 'blocksize'") as caught:
        Settings.from_dict({"blocksize": 5})
    assert caught.value.hint == "did you mean `block_size`?"


def test_an_unknown_name_like_no_other_has_no_hint() -> None:
    with pytest.raises(SettingsError, match="'zzz'") as caught:
        Settings.from_dict({"zzz": 5})
    assert caught.value.hint is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("domain", "films"),
        ("strategy", "flat"),
        ("block_size", 0),
        ("recent_items", 3),
        ("fan_in", 1),
        ("item_tokens", 7),
        ("summary_tokens", 7),
        ("prompt_tokens", 255),
        ("no_repeat_ngram", -1),
        ("no_repeat_ngram", 1),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is {value!r}") as caught:
        Settings.from_dict({name: value})
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["fan_in", "item_tokens", "summary_tokens", "no_repeat_ngram"])
def test_the_least_value_named_in_a_refusal_is_allowed(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: -1})
    least = int(str(caught.value).rsplit(" ", 1)[1])
    assert getattr(Settings(**{name: least}), name) == least


@pytest.mark.parametrize(
    "changes", [{}, {"summary_tokens": 200}, {"fan_in": 300}, {"block_size": 300, "recent_items": 299}], ids=str
)
def test_a_prompt_too_small_for_the_other_settings_is_refused_with_the_least_that_is_not(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(SettingsError, match=r"prompt_tokens is 300; block_size \d+, fan_in \d+ and summary_") as caught:
        Settings(**changes, prompt_tokens=300)
    least = int(str(caught.value).rsplit(" ", 1)[1])
    assert Settings(**changes, prompt_tokens=least).prompt_tokens == least
    with pytest.raises(SettingsError, match=f"at least {least}$"):
        Settings(**changes, prompt_tokens=least - 1)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("fan_in", 2.5, "a whole number"),
        ("fan_in", True, "a whole number"),
        ("prompt_tokens", "2048", "a whole number"),
        ("domain", 5, "text"),
        ("attributes", "title", "a list of names"),
    ],
)
def test_a_value_of_another_kind_is_refused(name: str, value: object, kind: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is {value!r}, which is not {kind}$"):
        Settings.from_dict({name: value})


@pytest.mark.parametrize("attributes", [[""], ["title", 5]])
def test_an_attribute_that_is_no_name_is_refused(attributes: list[object]) -> None:
    with pytest.raises(SettingsError, match="each must be a name"):
        Settings.from_dict({"attributes": attributes})


def test_updated_changes_what_is_given_and_keeps_the_rest() -> None:
    changed = CHANGED.updated(strategy="none", domain=None)
    assert changed == dataclasses.replace(CHANGED, strategy="none")


def test_updated_checks_like_the_constructor() -> None:
    with pytest.raises(SettingsError, match="recent_items"):
        Settings().updated(recent_items=1)


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().fan_in = 9  # type: ignore[misc]
