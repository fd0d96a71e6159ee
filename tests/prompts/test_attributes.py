"""A model is shown text for people; addresses, images, ids and raw times only where they are named."""

from __future__ import annotations

import pytest

from trsr_lite import Item, Settings
from trsr_lite.io.values import Listed
from trsr_lite.prompts import attributes, templates

FOR_PROGRAMS = [
    ("url", "https://example.org/aaaa?x=1&utm_source=feed"),
    ("link", "www.example.org/a"),
    ("link", "/p/12345"),
    ("page", "//cdn.example.org/a"),
    ("image", "https://cdn.example.org/1234567890.jpg"),
    ("picture", "1234567890.JPG"),
    ("cover", "images/a.webp?size=2"),
    ("data", "data:image/png;base64,iVBORw0KGgo="),
    ("parent_asin", "B000000001"),
    ("productId", "12345"),
    ("sku", "AB-12-C"),
    ("isbn13", "9783161484100"),
    ("key", "3f2504e0-4f89-11d3-9a0c-0305e82c3301"),
    ("digest", "d41d8cd98f00b204e9800998ecf8427e"),
    ("timestamp", "1388534400000"),
    ("created_at", "2026-01-02T10:00:00Z"),
    ("publishedAt", "2026-01-02 10:00:00+00:00"),
    ("photos", Listed(["https://example.org/a.jpg", "b.png"])),
]
FOR_PEOPLE = [
    ("description", "A warm reading lamp with a linen shade"),
    ("description", "See https://example.org for more"),
    ("category", "Garden"),
    ("brand", "Acme"),
    ("price", "40000000"),
    ("price", "12.50"),
    ("year", "2014"),
    ("date", "2014-05-01"),
    ("size", "350"),
    ("published", "spring 2014"),
    ("size", "1234567890"),
    ("id card", "blue with a clip"),
    ("android", "yes"),
    ("idea", "solar"),
    ("cover", "hardcover"),
    ("rating_number", "17"),
    ("tags", Listed(["garden", "https://example.org/a.jpg"])),
    ("facade", "decade"),
]


@pytest.mark.parametrize(("name", "text"), FOR_PROGRAMS)
def test_what_is_for_programs_is_not_shown_unless_it_is_named(name: str, text: str) -> None:
    item = Item("a", {"title": "Lamp", name: text, "category": "Light"})
    assert [shown for shown, _ in templates.shown(item, Settings())] == ["title", "category"]
    assert attributes.hidden(item.attributes) == [name]
    assert templates.shown(item, Settings(attributes=("title", name))) == [("title", "Lamp"), (name, text)]


@pytest.mark.parametrize(("name", "text"), FOR_PEOPLE)
def test_what_is_for_people_is_shown(name: str, text: str) -> None:
    item = Item("a", {"title": "Lamp", name: text})
    assert templates.shown(item, Settings()) == [("title", "Lamp"), (name, text)]


def test_an_item_of_which_nothing_else_is_known_is_shown_as_it_is() -> None:
    item = Item("a", {"url": "https://example.org/red-lamp"})
    assert templates.shown(item, Settings()) == [("url", "https://example.org/red-lamp")]


def test_a_title_is_shown_whatever_it_is() -> None:
    item = Item("a", {"title": "https://example.org", "sku": "A1"})
    assert templates.shown(item, Settings()) == [("title", "https://example.org")]
