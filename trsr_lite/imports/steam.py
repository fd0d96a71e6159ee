"""Steam: the library of games as its public interface gives it, JSON or XML, saved to a file.

Invariant: a game that was never played is a candidate. Without a date of the last play, the longest played counts as
the newest, because the file has no other order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from trsr_lite.imports import json_items, xml
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.json_items import has
from trsr_lite.imports.source import Source

_HOUR = 60
_LISTS = ("response.games.item", "games.item", "item")


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    games = sorted(_xml(source) if source.head.lstrip()[:1] == "<" else _json(source, reading), key=lambda one: one[0])
    return (entry for _, entry in games)


def _json(source: Source, reading: Reading) -> Iterator[tuple[float, Entry]]:
    path = _LISTS[0] if has(source, "response") else _LISTS[1] if has(source, "games") else _LISTS[2]
    for where, one in json_items.objects(source, reading, path):
        minutes, last = one.get("playtime_forever"), one.get("rtime_last_played")
        played = float(minutes) if isinstance(minutes, (int, float)) else 0.0
        time = float(last) if isinstance(last, (int, float)) and last > 0 else None
        yield played, _entry(where, json_items.text(one.get("name")), str(one.get("appid", "")), played, time)


def _xml(source: Source) -> Iterator[tuple[float, Entry]]:
    count = itertools.count(1)
    for event, element in xml.elements(source):
        if event != "end" or xml.local(element.tag).lower() != "game":
            continue
        texts = {xml.local(one.tag).lower(): (one.text or "").strip() for one in element}
        try:
            played = float(texts.get("hoursonrecord", "0").replace(",", "")) * _HOUR
        except ValueError:
            played = 0.0
        where = f"{source.name}: game {next(count)}"
        yield played, _entry(where, texts.get("name", ""), texts.get("appid", ""), played, None)
        element.clear()


def _entry(where: str, name: str, number: str, minutes: float, time: float | None) -> Entry:
    hours = f"{minutes / _HOUR:.0f}" if minutes >= _HOUR else ""
    return Entry(name, where, time, f"steam:{number}" if number else "", {"hours played": hours}, wanted=minutes <= 0)


FORMAT = Format(
    "steam",
    "Steam library",
    "game",
    "GetOwnedGames of the Steam Web API (JSON), or your profile's games page with ?xml=1",
    lambda source: has(source, "appid", "playtime_forever") or xml.root(source) == "gameslist",
    _read,
)
