"""Spotify: *Privacy → Download your data*, JSON lists of the account data or of the extended streaming history.

Invariant: a piece counts when it was heard for half a minute. What was heard in a private session stays out unless it
is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trsr_lite.imports import dates, json_items
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.json_items import has, text
from trsr_lite.imports.source import Source

HEARD = 30_000  # milliseconds
_EXTENDED = {  # name of an attribute: field of a song, field of an episode
    "title": ("master_metadata_track_name", "episode_name"),
    "artist": ("master_metadata_album_artist_name", "episode_show_name"),
    "id": ("spotify_track_uri", "spotify_episode_uri"),
}


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for where, one in json_items.objects(source, reading):
        played = one.get("ms_played", one.get("msPlayed"))
        if isinstance(played, (int, float)) and played < HEARD:
            reading.notes.add("piece left out: heard for less than half a minute", where)
        elif one.get("incognito_mode") is True and not reading.private:
            reading.notes.add("piece left out: private; `trsr-lite import --private` keeps it", where)
        else:
            yield _extended(where, one) if "ts" in one else _account(where, one)


def _extended(where: str, one: dict[str, Any]) -> Entry:
    song, episode = ({name: text(one.get(fields[kind])) for name, fields in _EXTENDED.items()} for kind in (0, 1))
    said = song if song["title"] else episode
    maker = {"artist": said["artist"], "album": text(one.get("master_metadata_album_album_name"))}
    about = maker if said is song else {"show": said["artist"]}
    return Entry(said["title"], where, dates.seconds(text(one.get("ts"))), said["id"], about)


def _account(where: str, one: dict[str, Any]) -> Entry:
    when = dates.seconds(text(one.get("endTime")))
    if "trackName" in one:
        return Entry(
            text(one.get("trackName")),
            where,
            when,
            _id(one, "artistName", "trackName"),
            {"artist": text(one.get("artistName"))},
        )
    return Entry(
        text(one.get("episodeName")),
        where,
        when,
        _id(one, "podcastName", "episodeName"),
        {"show": text(one.get("podcastName"))},
    )


def _id(one: dict[str, Any], *names: str) -> str:
    return " · ".join(text(one.get(name)).casefold() for name in names)


def _looks(source: Source) -> bool:
    account = has(source, "endTime", "msPlayed") and (has(source, "trackName") or has(source, "episodeName"))
    return account or has(source, "ts", "ms_played", "master_metadata_track_name")


FORMAT = Format(
    "spotify",
    "Spotify listening history",
    "music",
    "Account, Privacy, Download your data (Streaming_History_Audio….json)",
    _looks,
    _read,
)
