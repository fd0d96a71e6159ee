"""What token vectors are learned from: texts under free licences, words, and bags of words that belong together.

Papers are titles and parts of abstracts of the ACL Anthology (CC BY 4.0), software is Debian's package index. News and
products hardly occur in them, so many texts are made: some words of the tokenizer that are near each other, in any
order. A sentence encoder says of each what it is about.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from software import index_entries
from texts import read

LONGEST = 400  # characters of a text
SOFTWARE = 50_000  # texts of the package index
WHOLE = 80  # words of an abstract or a paragraph that are counted
SHORT = 60  # characters; a shorter abstract or paragraph says too little
BAGS, PAIRS = 48_000, 16_000  # of one neighbourhood, and of two
FREQUENT = 1500  # words that get into bags of any kind
RARE, KNOWN = 3, 8  # how often a word of texts must come to be learned, and to get into bags
LONGEST_PIECE = 32  # characters; longer tokens are rulers and indentation
UNINTERESTING = re.compile(r"-dbg|-dbgsym|debug symbols|transitional|dummy package")
SINGLE = re.compile(r" [a-z]{3,}")  # a token that is a word, as it stands in a text
WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """`texts` are learned from; words are counted in them and in `whole`."""

    texts: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)


def papers(file: Path) -> Source:
    """Titles, and one or two parts of each abstract, of `items.jsonl`."""
    rng, found = random.Random(0), Source()
    for line in file.read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        abstract = " ".join(item.get("abstract", "").split())
        found.texts.append(item["title"])
        if len(abstract) > SHORT:
            found.whole.append(f"{item['title']} {_first(abstract)}")
            sentences = [one for one in re.split(r"(?<=[.!?])\s+(?=[A-Z0-9])", abstract) if one]
            place = rng.randrange(len(sentences))
            found.texts.append(" ".join(sentences[place : place + 2])[:LONGEST])
            if len(sentences) > 3:
                found.texts.append(sentences[rng.randrange(len(sentences))][:LONGEST])
    return found


def software() -> Source:
    """Short descriptions and first paragraphs of Debian's package index, each once."""
    found, seen = Source(), set[str]()
    for entry in index_entries("Translation-en", updates=False):
        short, _, body = entry.get("Description-en", "").partition("\n")
        if short.lower() in seen or UNINTERESTING.search(entry["Package"] + short):
            continue
        seen.add(short.lower())
        found.texts.append(short)
        first, *others = [" ".join(paragraph.split()) for paragraph in body.split("\n.\n")]
        if len(first) > SHORT and first.lower() not in seen:
            found.whole.append(f"{entry['Package'].replace('-', ' ')}: {short} {_first(first)}")
            others = [one for one in others[:2] if len(one) > SHORT and not one.startswith("This package")]
            for paragraph in (first, *others):
                if paragraph.lower() not in seen:
                    seen.add(paragraph.lower())
                    found.texts.append(paragraph[:LONGEST])
    if not found.texts:
        raise SystemExit("Debian's package index has no descriptions: see `software.py`")
    return found


def chosen(source: Source) -> list[str]:
    """At most `SOFTWARE` texts, in any order."""
    texts = source.texts.copy()
    random.Random(1).shuffle(texts)
    return texts[:SOFTWARE]


def own() -> Source:
    """The project's own texts, in which words are counted only: people composed of them show what was learned."""
    found = Source()
    for text in read():
        found.texts.extend((text.title, text.description, text.subject))
        found.whole.append(f"{text.title} {text.brand} {text.description}")
    return found


def words(pieces: Sequence[str], sources: Iterable[Source]) -> tuple[list[str], list[str], list[str]]:
    """What is learned of as a word; words that are one token, most frequent first; and others that are well known."""
    counts = Counter(
        word for source in sources for text in (*source.texts, *source.whole) for word in WORD.findall(text.lower())
    )
    frequent = sorted(word for word, count in counts.items() if count >= RARE and 2 < len(word) < 25)
    whole = {piece.strip() for piece in pieces if "\ufffd" not in piece and len(piece) <= LONGEST_PIECE}
    learned = whole - {""} | set(frequent)
    single = [piece[1:] for piece in pieces if SINGLE.fullmatch(piece)]
    taken = set(single)
    others = [one for one in frequent if re.fullmatch(r"[a-z]{4,}", one) and one not in taken and counts[one] >= KNOWN]
    return sorted(learned), single, others


def bags(single: Sequence[str], others: Sequence[str], meaning: Values, table: Values) -> list[str]:
    """Words of a neighbourhood and some frequent ones, in any order; then parts of two such bags at a time.

    Which words belong together is said by `meaning` (single + others, dimensions) or by `table` (single, dimensions),
    unit vectors of the encoder and of the base model.
    """
    rng, names, found = np.random.default_rng(3), [*single, *others], list[str]()
    likely = 1.0 / (np.arange(len(names)) + 2000.0)
    seeds = rng.choice(len(names), BAGS, p=likely / likely.sum())
    for start in range(0, BAGS, 512):
        part = seeds[start : start + 512]
        by_meaning, by_table = meaning[part] @ meaning.T, table[np.minimum(part, len(single) - 1)] @ table.T
        for row, seed in enumerate(part):
            near = by_meaning[row] if seed >= len(single) or rng.random() < 0.5 else by_table[row]
            count = rng.integers(20, 120)
            nearest = np.argpartition(-near, count)[:count]
            bag = [names[seed], *(names[one] for one in rng.choice(nearest, rng.integers(3, 8), replace=False))]
            bag += [single[one] for one in rng.choice(FREQUENT, rng.integers(0, 4))]
            rng.shuffle(bag)
            found.append(" ".join(dict.fromkeys(bag)))
    pairs = zip(found[: 2 * PAIRS : 2], found[1 : 2 * PAIRS : 2], strict=True)
    return found + [" ".join(one.split()[:5] + other.split()[:4]) for one, other in pairs]


def _first(text: str) -> str:
    return " ".join(text.split()[:WHOLE])
