"""GitHub: the repositories that somebody has starred, as the interface gives them (`gh api user/starred --paginate`).

Invariant: both forms are read, with dates of the stars and without; without them the newest star comes first.
"""

from __future__ import annotations

from collections.abc import Iterator

from trsr_lite.imports import dates, json_items
from trsr_lite.imports.entry import Entry
from trsr_lite.imports.format import Format, Reading
from trsr_lite.imports.json_items import has, text
from trsr_lite.imports.source import Source


def _read(source: Source, reading: Reading) -> Iterator[Entry]:
    for where, one in json_items.objects(source, reading):
        inner = one.get("repo")
        repository = inner if isinstance(inner, dict) else one
        topics = repository.get("topics")
        yield Entry(
            text(repository.get("full_name")) or text(repository.get("name")),
            where,
            dates.seconds(text(one.get("starred_at"))),
            f"github:{text(repository.get('full_name'))}",
            {
                "description": text(repository.get("description")),
                "topics": topics if isinstance(topics, list) else [],
                "language": text(repository.get("language")),
            },
        )


FORMAT = Format(
    "github",
    "GitHub stars",
    "software",
    "gh api user/starred --paginate -H 'Accept: application/vnd.github.star+json'",
    lambda source: has(source, "full_name", "stargazers_count") or has(source, "starred_at", "repo"),
    _read,
    newest_first=True,
)
