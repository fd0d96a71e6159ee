"""Which attributes are text for people: what a model is shown where nobody names the attributes.

Invariant: by name and value alone, so that the same item is shown alike in training and in serving. Addresses, images,
ids and raw times tell no reader what an item is, and cost the tokens of what would.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from trsr_lite.io.fields import LIKE_TIME
from trsr_lite.io.values import Listed

LOOKED_AT = 4096  # characters; an address that is longer is one as well
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]{1,15}://|//|www\.|data:|mailto:|urn:)\S+", re.IGNORECASE)
_FILE = re.compile(
    r"[^\s,]+\.(?:jpe?g|png|gif|webp|svg|avif|bmp|tiff?|ico|heic|mp4|webm|mov|mp3|wav|pdf)(?:\?\S*)?", re.IGNORECASE
)
_CODE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=\S*\d)(?=\S*[a-f])[0-9a-f]{16,}", re.IGNORECASE)
_MOMENT = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d\S*.{0,8}|[+-]?\d{9,19}(?:\.\d+)?")
_ID_NAME = re.compile(
    r"(?:.*[_\-. ])?(?:ids?|asin|sku|isbn(?:[_-]?1[03])?|ean|upc|gtin|mpn|uuid|guid|hash|md5|sha\d*|checksum|etag)"
    r"|.*[a-z](?:Ids?|ID|Asin|ASIN|Sku|SKU|Uuid|UUID|Guid|Hash)",
)
_LINK_NAME = re.compile(r"(?:.*[_\-. ])?(?:url|uri|href|link|permalink|image|img|thumbnail|thumb|avatar|icon|cover)s?")
_TIME_NAME = re.compile(r".*(?:_at|_ts|_time|_date|timestamp)|.*[a-z](?:At|Time|Date|Timestamp)")


def for_people(name: str, text: str) -> bool:
    """Whether a person would learn from an attribute what an item is."""
    entries = text.entries if isinstance(text, Listed) else (text,)
    return not all(_is_for_programs(name.strip(), entry[:LOOKED_AT].strip()) for entry in entries)


def hidden(attributes: Mapping[str, str]) -> list[str]:
    """Names of an item's attributes that are not shown unless they are named; none where nothing else would be."""
    names = [name for name, text in attributes.items() if name != "title" and not for_people(name, text)]
    return names if len(names) < len(attributes) else []


def _is_for_programs(name: str, text: str) -> bool:
    if " " in text and not text[:4].isdecimal():  # nearly every text for people
        return False
    if _ADDRESS.fullmatch(text) or _FILE.fullmatch(text) or _CODE.fullmatch(text):
        return True
    lower = name.lower()
    if (lower in LIKE_TIME or _TIME_NAME.fullmatch(name)) and _MOMENT.fullmatch(text):
        return True
    one_word = not any(map(str.isspace, text))
    return one_word and bool(_ID_NAME.fullmatch(name) or _ID_NAME.fullmatch(lower) or _is_link(lower, text))


def _is_link(name: str, text: str) -> bool:
    return bool(_LINK_NAME.fullmatch(name)) and ("/" in text or "." in text)
