"""A domain: a name, and the six words that prompts need of it.

Idea: a domain is its name wherever a name is enough, so it is text that knows more, as `io.values.Listed` is.
Invariant: `item`, `news` and `product` are written by name alone, because bundles depend on their prompts; any other
domain carries its words along, so that a run and a bundle keep them whatever a later version ships.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.options import nearest

WORDS = ("item", "items", "person", "did", "would", "likes")
FIXED = ("item", "news", "product")
LONGEST = 60  # characters of a word: it stands in every prompt
SUFFIX = ".toml"
LARGEST = 1 << 16  # bytes of a file
HINT = "a domain is a TOML table with a name and these words: " + ", ".join(WORDS)


class Domain(str):
    """The name of a kind of item, with its nouns and verbs; `likes` opens a summary, which the model continues."""

    words: tuple[str, ...]

    def __new__(cls, name: str, words: tuple[str, ...]) -> Domain:  # noqa: D102 - as of `str`
        made = super().__new__(cls, name)
        made.words = words
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return str(self), self.words

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True and (not isinstance(other, Domain) or self.words == other.words)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    @property
    def item(self) -> str:
        """One thing, such as `article`."""
        return self.words[0]

    @property
    def items(self) -> str:
        """Several of them."""
        return self.words[1]

    @property
    def person(self) -> str:
        """Who takes them, such as `reader`."""
        return self.words[2]

    @property
    def did(self) -> str:
        """What the person did with those of the history."""
        return self.words[3]

    @property
    def would(self) -> str:
        """What the person may do with a candidate."""
        return self.words[4]

    @property
    def likes(self) -> str:
        """How a sentence on the person's interests begins."""
        return self.words[5]

    def plain(self) -> str | dict[str, str]:
        """As JSON has it: the name alone where it says all."""
        return str(self) if self in FIXED else {"name": str(self), **dict(zip(WORDS, self.words, strict=True))}


@cache
def shipped() -> Mapping[str, Domain]:
    """The domains of this package, by name."""
    text = resources.files("trsr_lite.domains").joinpath("domains.toml").read_text(encoding="utf-8")
    return {name: Domain(name, tuple(table[word] for word in WORDS)) for name, table in tomllib.loads(text).items()}


def named(name: str) -> Domain:
    """The shipped domain of this name; raises `SettingsError`."""
    known = shipped()
    if name not in known:
        near = nearest(str(name), known)
        hint = f"did you mean `{near}`?" if near else f"`--domain FILE{SUFFIX}` gives words of your own"
        raise SettingsError(f"domain is {str(name)[:40]!r}; it must be one of {', '.join(known)}", hint=hint)
    return known[name]


def of(value: Any, where: str = "domain") -> Domain:
    """The domain of a setting: a name, a `Domain`, or a table with `name` and words; raises `SettingsError`."""
    if isinstance(value, Domain):
        return value
    if isinstance(value, str):
        return named(value)
    if isinstance(value, Mapping):
        return _of_table(str(value.get("name", "")), {n: w for n, w in value.items() if n != "name"}, where)
    raise SettingsError(f"{where} is {value!r}, which is not text")


def read(text: str) -> Domain:
    """The domain of a command line: a name, or a TOML file (its name ends in `.toml`) with one domain of its own.

    The words stand in the file's only table, or at its top, where the file's name is the domain's. Raises
    `SettingsError`.
    """
    if not text.endswith(SUFFIX):
        return named(text)
    path = Path(text)
    try:
        if path.stat().st_size > LARGEST:
            raise SettingsError(f"{text}: has more than {LARGEST >> 10} KiB, which no domain needs", hint=HINT)
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8, or a NUL in the path
        raise SettingsError(
            f"{text}: cannot be read: {getattr(error, 'strerror', None) or error}", hint=HINT
        ) from error
    tables = {name: table for name, table in data.items() if isinstance(table, dict)}
    if len(tables) > 1:
        raise SettingsError(f"{text}: it has {len(tables)} domains: {', '.join(tables)}", hint="keep one in the file")
    name, table = next(iter(tables.items())) if tables and len(data) == 1 else (path.stem, data)
    return _of_table(name, table, text)


def _of_table(name: str, table: Mapping[str, Any], where: str) -> Domain:
    """A domain of its own; a name that is shipped keeps its words unless they are the same."""
    if not name.strip() or len(name) > LONGEST or not name.isprintable():
        raise SettingsError(f"{where}: the domain has no name of 1 to {LONGEST} letters", hint=HINT)
    for word in table:
        if word not in WORDS:
            near = nearest(str(word), WORDS)
            raise SettingsError(
                f"{where}: there is no word {str(word)[:40]!r}", hint=f"did you mean `{near}`?" if near else HINT
            )
    for word in WORDS:
        text = table.get(word)
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST or not text.isprintable():
            raise SettingsError(f"{where}: {word!r} must be a text of 1 to {LONGEST} letters", hint=HINT)
    made = Domain(name, tuple(" ".join(table[word].split()) for word in WORDS))
    if name in FIXED and made != shipped()[name]:
        raise SettingsError(f"{where}: {name!r} is a domain with other words", hint="give yours another name")
    return made
