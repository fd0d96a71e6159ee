"""Histories of many users, summarized together.

Invariant: batches are full, each summary is kept as soon as it is made, and progress counts users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trsr_lite.models.session import ModelSession
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.results import Summary
from trsr_lite.settings import Settings
from trsr_lite.summaries.generate import Work
from trsr_lite.summaries.summarizer import Summarizer

TOGETHER = 64  # histories summarized at once: enough to keep every batch full


def summarize(
    histories: Sequence[Sequence[Item]],
    user_ids: Sequence[str | None],
    settings: Settings,
    summarizer: Summarizer,
    session: ModelSession,
    *,
    deterministic: bool,
    nodes: bool,
) -> list[Summary]:
    """Their summaries, in order; `deterministic` and `nodes` as in `Recommender.summaries`."""
    made: list[Summary] = []
    report = session.stage("summarize")
    for start in range(0, len(histories), TOGETHER):
        part = histories[start : start + TOGETHER]
        check_visible([item for history in part for item in history], settings)

        def in_part(done: int, total: float, start: int = start, users: int = len(part)) -> None:
            report(start + int(users * min(1.0, done / max(total, 1))), len(histories))

        whole = summarizer.make_all(
            [summarizer.plan(history, settings) for history in part],
            user_ids[start : start + TOGETHER],
            session,
            Work(),
            on_progress=in_part,
            deterministic=deterministic,
        )
        made += whole if nodes else [replace(one, nodes=()) for one in whole]
        report(len(made), len(histories))
    return made


def check_visible(items: Sequence[Item], settings: Settings) -> None:
    """Raise `DataError` for an item without a visible attribute, before any model is loaded."""
    for item in items:
        templates.shown(item, settings)
