"""Pairs of a summarizing prompt and the summary that should answer it, as JSON Lines: what a summarizer learns from.

    {"kind": "block",  "items": [{"id": …, "title": …}, …], "summary": "The reader likes articles about …"}
    {"kind": "update", "earlier": "…", "items": […], "summary": "…"}
    {"kind": "merge",  "notes": ["…", "…"], "summary": "…", "domain": "news"}

`domain` may be left out; it is then that of the settings.

Invariant: the prompts are those of `summarize`; nothing here knows how a model learns.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.prompts import templates
from trsr_lite.records import Item, items_from_list
from trsr_lite.results import SummaryNode
from trsr_lite.settings import DOMAINS, Settings

KINDS = ("block", "update", "merge")


@dataclass(frozen=True)
class Pair:
    """A summary and what it is made from: items, notes (earlier summaries), or one note and items.

    `domain` is what the items are, where that is not for the settings to say.
    """

    kind: str
    summary: str
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    domain: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON of one line."""
        data: dict[str, Any] = {"kind": self.kind}
        if self.kind == "merge":
            data["notes"] = list(self.notes)
        if self.kind == "update":
            data["earlier"] = self.notes[0]
        if self.kind != "merge":
            data["items"] = [{"id": item.id, **item.attributes} for item in self.items]
        data["summary"] = self.summary
        return {**data, "domain": self.domain} if self.domain else data

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Pair:
        """A pair from parsed JSON; raises `DataError` that starts with `where`."""
        if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
            raise DataError(f'{where}: a pair is an object whose "kind" is one of {", ".join(KINDS)}')
        kind, domain = data["kind"], data.get("domain")
        if domain not in (None, *DOMAINS):
            raise DataError(f"{where}.domain: {domain!r} is none of {', '.join(DOMAINS)}")
        notes = data.get("notes") if kind == "merge" else [data.get("earlier")] if kind == "update" else []
        texts = [data.get("summary"), *(notes if isinstance(notes, list) else [None])]
        if not all(isinstance(text, str) and text.strip() for text in texts) or (kind == "merge" and len(texts) < 3):
            needs = {"block": "", "update": ' and an "earlier" one', "merge": ' and a list of two or more "notes"'}
            raise DataError(f'{where}: a {kind} needs a "summary"{needs[kind]}, as text that is not empty')
        items = () if kind == "merge" else tuple(items_from_list(data.get("items"), f"{where}.items", candidates=True))
        return cls(kind, texts[0], items, tuple(texts[1:]), domain)


def asked(pair: Pair, settings: Settings, tokenizer: Tokenizer) -> tuple[str, str]:
    """The (message, opening) that asks for a pair's summary, in the nouns of its own domain where it has one."""
    settings = settings.updated(domain=pair.domain)
    if pair.kind == "merge":
        return templates.merge(pair.notes, settings, tokenizer)
    if pair.kind == "update":
        return templates.update(pair.notes[0], pair.items, settings, tokenizer)
    return templates.block(pair.items, settings, tokenizer)


def read(path: Path) -> Iterator[tuple[str, Pair]]:
    """The (place, pair) of every line of a JSON Lines file."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    data = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise DataError(f"{path}:{number}: not valid JSON: {error.msg}") from None
                yield f"{path}:{number}", Pair.from_dict(data, f"{path}:{number}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def of(nodes: Iterable[SummaryNode], *, domain: str | None = None) -> list[Pair]:
    """The pairs of a user's summaries in `domain`; one whose notes are no longer known is left out."""
    return [Pair(node.kind, node.text, node.items, node.notes, domain) for node in nodes if all(node.notes)]


def append(pairs: Iterable[Pair], path: Path) -> int:
    """Append pairs to a JSON Lines file, all or none; returns how many."""
    lines = [orjson.dumps(pair.to_dict()) + b"\n" for pair in pairs]
    _check_pairs(path)
    try:
        before = _mended(path) if path.is_file() else None
        try:
            with path.open("ab") as file:
                file.write(b"".join(lines))
        except OSError:
            if before is not None:
                os.truncate(path, before)
            raise
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    return len(lines)


def _check_pairs(path: Path) -> None:
    """Raise `SettingsError` where a file holds anything else: pairs are appended to pairs alone."""
    try:
        with path.open("rb") as file:
            first = next((line for line in file if line.strip()), b"") if path.is_file() else b""
    except FileNotFoundError:
        return
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    if first and not first.startswith(tuple(b'{"kind":"%s"' % kind.encode() for kind in KINDS)):
        try:
            Pair.from_dict(orjson.loads(first), str(path))
        except (orjson.JSONDecodeError, DataError):
            raise SettingsError(
                f"{path}: is not a file of pairs, so none are appended", hint="name another with `--pairs-out`"
            ) from None


def _mended(path: Path) -> int:
    """The size of a file that ends with a line. A last line that was cut short is taken away."""
    with path.open("r+b") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        if last := content[end:].strip():
            try:
                orjson.loads(last)
            except orjson.JSONDecodeError:
                file.truncate(end)
            else:
                file.write(b"\n")
        return file.seek(0, os.SEEK_END)
