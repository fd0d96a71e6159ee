"""Ratings as programs write them in a cell.

Invariant: what is no rating is None, and 0 stars are no rating: programs write it where a person gave none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from trsr_lite.imports.entry import Rating

_OF = re.compile(r"(\d+(?:[.,]\d+)?)\s*(?:/|of|von|sur|de)\s*(\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_STARS = re.compile(r"(★*)(☆*)(½?)☆*")
_WORDS = {"👍": "like", "like": "like", "liked": "like", "love": "like", "loved": "like", "thumbs up": "like"}
_WORDS |= {"👎": "dislike", "dislike": "dislike", "disliked": "dislike", "thumbs down": "dislike"}
_PERCENT = 100.0
_SCALES = (5.0, 10.0, 100.0)


def stars(text: str, most: float | None = None) -> Rating | None:
    """The rating of a cell: `4`, `4.5`, `4/5`, `★★★★½`, `85%`; `most` is the scale of a plain number."""
    text = text.strip()
    if found := _OF.fullmatch(text):
        return _rating(_float(found.group(1)), float(found.group(2)))
    if text.endswith("%") and _NUMBER.fullmatch(text[:-1].strip()):
        return _rating(_float(text[:-1]), _PERCENT)
    if text and (drawn := _STARS.fullmatch(text)):
        full, empty, half = drawn.groups()
        return _rating(len(full) + (0.5 if half else 0.0), max(5.0, len(full) + len(empty)))
    return _rating(_float(text), most) if _NUMBER.fullmatch(text) else None


def feedback(text: str) -> str:
    """`like` or `dislike` where a cell says so in a word or with a thumb."""
    return _WORDS.get(text.strip().lower(), "")


def scale(given: Iterable[Rating]) -> tuple[float, float] | None:
    """The worst and the best rating of a history; None where nothing was rated, or where scales differ."""
    found = list(given)
    bests = {rating.most or _likely(found) for rating in found}
    return (_worst(found), bests.pop()) if len(bests) == 1 else None


def shares(given: Iterable[Rating]) -> list[float]:
    """The ratings of several scales on one, from 0 to 1; none comes to lie beyond it."""
    found = list(given)
    likely, worst = _likely(found), min(1.0, _worst(found))
    limits = [rating.most or likely for rating in found]
    return [max(0.0, (one.value - worst) / (most - worst)) for one, most in zip(found, limits, strict=True)]


def _likely(given: Iterable[Rating]) -> float:
    """The best of a scale that no program names, by the largest rating on it."""
    largest = max((rating.value for rating in given if rating.most is None), default=_SCALES[0])
    return next((most for most in _SCALES if largest <= most), largest)


def _worst(given: Iterable[Rating]) -> float:
    """One, as in stars; less where somebody gave less, as in half stars and in hundredths."""
    return min(1.0, *(rating.value for rating in given), 1.0)


def _rating(value: float, most: float | None) -> Rating | None:
    if value <= 0 or (most is not None and value > most):
        return None
    return Rating(value, most)


def _float(text: str) -> float:
    return float(text.replace(",", ".").strip())
