"""Scored candidates to a ranking.

Invariant: candidates are ordered by their float32 margin alone, and by their given order where margins are equal. A
score is for people to read and never decides. A fused margin is the sum of its parts. The noise of batched scoring
reaches it only through the model's part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from trsr_lite.engine.interface import Margin
from trsr_lite.models.calibration import Calibration
from trsr_lite.records import Item
from trsr_lite.results import Recommendation
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.ranker import Fused
from trsr_lite.signals.signal import MODEL


def rank(
    candidates: Sequence[Item], margins: Sequence[Margin], *, calibration: Calibration, noise_floor: float = 0.0
) -> list[Recommendation]:
    """All candidates by the model alone, best first; `noise_floor` is how far computing in batches moves a margin."""
    entries = [
        Recommendation(
            rank=0,
            item=item,
            score=calibration.score(found.margin),
            margin=found.margin,
            label_mass=found.label_mass,
            tied=False,
            parts={MODEL: found.margin},
        )
        for item, found in zip(candidates, margins, strict=True)
    ]
    return _ordered(entries, noise_floor)


def rank_fused(
    candidates: Sequence[Item],
    fused: Fused,
    fusion: Fusion,
    margins: Sequence[Margin | None],
    *,
    noise_floor: float = 0.0,
) -> list[Recommendation]:
    """All candidates by the fused signals, best first; `margins` are the model's, None where it scored nothing."""
    chances = fusion.probability(fused.scores)
    entries = []
    for place, (item, found) in enumerate(zip(candidates, margins, strict=True)):
        parts = {name: float(part[place]) for name, part in fused.parts.items() if name != MODEL or found is not None}
        entries.append(
            Recommendation(
                rank=0,
                item=item,
                score=float(chances[place]),
                margin=float(fused.scores[place]),
                label_mass=found.label_mass if found else None,
                tied=False,
                parts=parts,
            )
        )
    weight = fusion.weights.get(MODEL) if any(margins) else None
    return _ordered(entries, noise_floor * weight.weight / weight.scale if weight else 0.0)


def _ordered(entries: Sequence[Recommendation], noise: float) -> list[Recommendation]:
    """Best first, with ranks and ties; candidates whose margins differ by no more than `noise` are tied."""
    best = sorted(entries, key=lambda entry: -entry.margin)
    gaps = [math.inf, *(upper.margin - lower.margin for upper, lower in pairwise(best)), math.inf]
    return [
        replace(entry, rank=place + 1, tied=min(gaps[place], gaps[place + 1]) <= noise)
        for place, entry in enumerate(best)
    ]
