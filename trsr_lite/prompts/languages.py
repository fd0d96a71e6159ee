"""Whether a history is in a language that a base reads, by its script and its most common words.

Invariant: it says nothing where it is not sure: of short histories, of names, of bases that nobody has listed. A guess
changes no ranking.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping

from trsr_lite.records import Item

ENGLISH_ONLY = ("smollm",)
"""Beginnings of the names of bases that read English alone."""
LEAST_LETTERS = 40
LEAST_WORDS = 4  # common words of one language that must be there
LONGEST = 500  # characters of one text that are looked at
NEWEST = 50  # items that are
_SCRIPTS: Mapping[str, str] = {  # first word of a letter's name: what people call it
    "HANGUL": "Korean",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "CJK": "Chinese",
    "DEVANAGARI": "Hindi",
    "CYRILLIC": "Cyrillic",
    "ARABIC": "Arabic",
    "HEBREW": "Hebrew",
    "GREEK": "Greek",
    "THAI": "Thai",
    "BENGALI": "Bengali",
    "TAMIL": "Tamil",
}
_COMMON: Mapping[str, str] = {
    "English": "the and of to in for on with is how what why your from at by an this that are",
    "German": "der die das und ein eine mit für von im den zu auf ist wie nicht auch bei wird des",
    "French": "le la les et des du un une pour dans sur avec est qui que au aux ce comment en",
    "Spanish": "el la los las y de del un una para con por en es que se al cómo su más",
    "Italian": "il lo la gli e di del della un una per con in è che da al come nel sul",
    "Portuguese": "o a os as e de do da um uma para com por em é que no na como dos",
    "Dutch": "de het een en van voor met in op is hoe niet ook bij naar wat waarom zijn aan uit",
}
_WORDS = {name: frozenset(words.split()) for name, words in _COMMON.items()}
_WORD = re.compile(r"[^\W\d_]+")


def unread(history: Iterable[Item], base: str) -> str | None:
    """The language of a history, such as `German`, where the base does not read it; else None."""
    if not base.lower().rpartition("/")[2].startswith(ENGLISH_ONLY):
        return None
    found = guess(" ".join(item.title[:LONGEST] for item in list(history)[-NEWEST:]))
    return found if found != "English" else None


def guess(text: str) -> str | None:
    """The language of a text, None where nothing is sure."""
    letters = [letter for letter in text if letter.isalpha()]
    if len(letters) < LEAST_LETTERS:
        return None
    scripts = Counter(_script(letter) for letter in letters)
    if scripts["Japanese"] and scripts["Japanese"] * 5 > scripts["Chinese"]:  # Han stands in Japanese, too
        scripts["Japanese"] += scripts.pop("Chinese", 0)
    script, count = scripts.most_common(1)[0]
    if count * 2 < len(letters):
        return None
    if script:
        return script
    words = [word.lower() for word in _WORD.findall(text)]
    common = {name: sum(word in known for word in words) for name, known in _WORDS.items()}
    best = max(common, key=lambda name: common[name])
    others = [number for name, number in common.items() if name != best]
    sure = common[best] >= LEAST_WORDS and common[best] > max(others)
    return best if sure and (best == "English" or common[best] > common["English"] * 2) else None


def _script(letter: str) -> str:
    """What a letter's script is called, empty for Latin and for what nobody has listed."""
    if letter < "\u0370":
        return ""
    return _SCRIPTS.get(unicodedata.name(letter, "").partition(" ")[0], "")
