"""How an item lies in a catalog, and what identifies all of them together.

Invariant: the digest of a catalog depends on its items (ids, attributes and their order, times) and on nothing else:
not on when or in what order they came. It is a sum, so an item is taken out as it was put in. It finds changes; it does
not resist a forger.
"""

from __future__ import annotations

import hashlib
import zlib

import orjson

from trsr_lite.catalog.database import Damaged
from trsr_lite.io.values import Listed
from trsr_lite.records import Item

BYTES = 20
MOST = 128 << 20  # bytes of an item; a row that is longer is no item (`io.lines.LONGEST`)
LEVEL = 1  # of compression: texts of a few hundred bytes gain nothing from more


def packed(plain: bytes) -> bytes:
    """What is stored of an item's content."""
    return zlib.compress(plain, LEVEL)


def plain(item: Item) -> bytes:
    """An item's content: everything but the id."""
    attributes = {
        name: list(text.entries) if isinstance(text, Listed) else text for name, text in item.attributes.items()
    }
    return orjson.dumps([attributes, item.time])


def unpacked(stored: bytes) -> bytes:
    """The content that was stored; raises `Damaged`, also where little would become very much."""
    try:
        inflating = zlib.decompressobj()
        content = inflating.decompress(stored, MOST)
    except (zlib.error, TypeError) as error:
        raise Damaged(f"an item cannot be read ({error})") from error
    if inflating.unconsumed_tail or not inflating.eof:
        raise Damaged(f"an item has more than {MOST >> 20} MiB, or its end is missing")
    return content


def item(item_id: str, stored: bytes) -> Item:
    """The item that was stored."""
    try:
        found, time = orjson.loads(unpacked(stored))
        attributes = {str(name): Listed(text) if isinstance(text, list) else text for name, text in found.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise Damaged(f"the item {item_id!r} cannot be read ({error})") from error
    if not attributes or not all(isinstance(text, str) for text in attributes.values()):
        raise Damaged(f"the item {item_id!r} has no texts")
    if not isinstance(time, int | float | None):
        raise Damaged(f"the item {item_id!r} has a time that is none")
    return Item(item_id, attributes, time)


class Digest:
    """The sum of all items' hashes."""

    def __init__(self, value: bytes) -> None:
        self._sum = int.from_bytes(value, "little")

    def add(self, item_id: str, content: bytes) -> None:
        """An item has come."""
        self._sum += _hash(item_id, content)

    def remove(self, item_id: str, content: bytes) -> None:
        """An item has gone."""
        self._sum -= _hash(item_id, content)

    @property
    def value(self) -> bytes:
        """(20,) bytes, as they are stored."""
        return (self._sum % (1 << (8 * BYTES))).to_bytes(BYTES, "little")


def named(value: bytes) -> str:
    """The digest as people and other files write it: `b2:` and 40 hexadecimal digits."""
    return f"b2:{value.hex()}"


def _hash(item_id: str, content: bytes) -> int:
    name = item_id.encode()
    data = b"%d:%s%s" % (len(name), name, content)  # the length, so that no two items make the same bytes
    return int.from_bytes(hashlib.blake2b(data, digest_size=BYTES).digest(), "little")
