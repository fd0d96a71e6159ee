"""A history cut into complete blocks and recent items.

Invariant: blocks are cut from the oldest end, so appending an item never moves a border. What no block holds yet is
among the recent items. What the user disliked or skipped is in neither. Nothing here knows texts or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from trsr_lite import feedback
from trsr_lite.records import Item
from trsr_lite.settings import Settings, check_cut

T = TypeVar("T")


@dataclass(frozen=True)
class Blocks(Generic[T]):
    """`complete`: tuples of `block_size` items, oldest first; `recent`: the newest items, oldest first.

    `against`: what was disliked or skipped, oldest first, each with its feedback.
    """

    complete: tuple[tuple[T, ...], ...]
    recent: tuple[T, ...]
    against: tuple[T, ...] = ()


def cut(history: Sequence[Item], settings: Settings) -> Blocks[Item]:
    """Cut what was liked of a history (oldest first) as the settings say, and keep the rest apart."""
    liked, against = feedback.parted(history)
    return replace(split(liked, **settings.cut), against=against)


def split(history: Sequence[T], *, block_size: int, recent_items: int, ragged: bool = False) -> Blocks[T]:
    """Cut a history (oldest first); `recent_items >= block_size - 1` keeps every item visible to the model.

    With `ragged`, what is left over is a last, shorter block, as the paper has it; appending then changes that one, and
    no item needs to be a recent one.
    """
    check_cut(block_size, recent_items, ragged=ragged)
    whole = len(history) if ragged else len(history) // block_size * block_size
    complete = tuple(tuple(history[start : start + block_size]) for start in range(0, whole, block_size))
    return Blocks(complete, tuple(history[-recent_items:]) if recent_items else ())
