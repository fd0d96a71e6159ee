"""The signals of one bundle: which of them rank in a call, and what they say.

Invariant: statistics and vocabulary are read when they are first needed, and no weights with them. Signals touch no
loaded model, so they can rank for a call whose turn does not come in time. One thread works at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from trsr_lite.engine.interface import Engine, Margin
from trsr_lite.errors import Closed, SettingsError
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.pool import OpenEngine
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.signals.fusion import NAMES, Fusion, total
from trsr_lite.signals.ranker import Fused, SignalRanker
from trsr_lite.signals.signal import MODEL

ALL, SIMPLE = ("all",), ("simple",)


def chosen(bundle: Bundle, settings: Settings) -> tuple[str, ...]:
    """The signals that rank, in the order of parts; `model` alone where the bundle has no fusion.

    Raises `SettingsError` for a signal that there is not, or that this bundle cannot weigh. Also for a `rerank` that
    would change nothing: there is no fusion, or the model is not among the signals.
    """
    names = _names(bundle, tuple(settings.signals))
    if settings.rerank in (0, bundle.settings.rerank):
        return names
    if bundle.signals is None:
        raise SettingsError(
            f"rerank is {settings.rerank}, but {bundle.name} has no fusion: its model scores every candidate",
            hint="remove `rerank`, or use a bundle that has signals",
        )
    if MODEL not in names:
        raise SettingsError(
            f"rerank is {settings.rerank}, but the model of {bundle.name} is not among the signals that rank",
            hint="remove `rerank`, or name `model` among the signals of a bundle that weighs it",
        )
    return names


def _names(bundle: Bundle, wanted: tuple[str, ...]) -> tuple[str, ...]:
    if wanted == (MODEL,) or (wanted == ALL and bundle.signals is None):
        return (MODEL,)
    if bundle.signals is None:
        raise SettingsError(
            f"{bundle.name} has no fusion: it ranks by the model alone",
            hint="set `signals` to `all`, or use a bundle that has signals",
        )
    known = bundle.signals.fusion.names
    if wanted == ALL:
        return tuple(known)
    if wanted == SIMPLE and (simple := tuple(name for name in known if name != MODEL)):
        return simple
    for name in wanted:
        if name not in NAMES:
            raise SettingsError(
                f"there is no signal {name!r}", hint=f"choose from {', '.join(('all', 'simple', *NAMES))}"
            )
        if name not in known:
            raise SettingsError(
                f"{bundle.name} does not weigh the signal {name!r}", hint=f"it weighs {', '.join(known)}"
            )
    return tuple(name for name in known if name in wanted)


class Signals:
    """Rankers by what may count, each made when it is first needed."""

    def __init__(self, open_engine: OpenEngine) -> None:
        self._open_engine = open_engine
        self._lock = threading.Lock()
        self._rankers: dict[tuple[str, tuple[str, ...]], SignalRanker] = {}
        self._vocabulary: Engine | None = None
        self._closed = False

    def rank(self, bundle: Bundle, names: Sequence[str], history: Sequence[Item], candidates: Sequence[Item]) -> Fused:
        """What all `names` but the model say of the candidates, in their order."""
        with self._lock:
            return self._ranker(bundle, tuple(names)).rank(history, candidates)

    def because(
        self, bundle: Bundle, names: Sequence[str], history: Sequence[Item], candidates: Sequence[Item]
    ) -> list[tuple[str, ...]]:
        """For each candidate the ids of the history items nearest to it, nearest first."""
        with self._lock:
            return self._ranker(bundle, tuple(names)).because(history, candidates)

    def close(self) -> None:
        """Forget all, and refuse work from now on."""
        with self._lock:
            self._closed = True
            self._rankers.clear()
            if self._vocabulary is not None:
                self._vocabulary.close()
                self._vocabulary = None

    def _ranker(self, bundle: Bundle, names: tuple[str, ...]) -> SignalRanker:
        if self._closed:
            raise Closed("the recommender was closed")
        assert bundle.signals is not None  # noqa: S101 - `chosen` has seen it
        key = (bundle.signals.identity, names)
        if key not in self._rankers:
            if self._vocabulary is None:
                self._vocabulary = self._open_engine(bundle.recommender, True, None)
            self._rankers[key] = bundle.signals.ranker(bundle.recommender.path, self._vocabulary, names)
        return self._rankers[key]


def with_model(fused: Fused, fusion: Fusion, margins: Sequence[Margin | None]) -> Fused:
    """The same with the model's part added: nothing for a candidate that it did not score."""
    numbers = np.array([margin.margin if margin else np.nan for margin in margins], np.float32)
    parts = {**fusion.parts({MODEL: numbers}), **fused.parts}
    return replace(fused, scores=total(parts, len(margins)), parts=parts)
