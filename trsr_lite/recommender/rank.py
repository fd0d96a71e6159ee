"""Margins to a ranking.

Invariant: candidates are ordered by their float32 margin alone, and by their given order where margins are equal; a
score is for people to read and never decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from trsr_lite.engine.interface import Margin
from trsr_lite.models.calibration import Calibration
from trsr_lite.records import Item
from trsr_lite.results import Recommendation


def rank(
    candidates: Sequence[Item], margins: Sequence[Margin], *, calibration: Calibration, noise_floor: float = 0.0
) -> list[Recommendation]:
    """All candidates, best first; `noise_floor` is the margin difference that computing in batches can make."""
    order = sorted(range(len(candidates)), key=lambda index: -margins[index].margin)
    values = [margins[index].margin for index in order]
    gaps = [math.inf, *(upper - lower for upper, lower in pairwise(values)), math.inf]
    return [
        Recommendation(
            rank=place + 1,
            item=candidates[index],
            score=calibration.score(margins[index].margin),
            margin=margins[index].margin,
            label_mass=margins[index].label_mass,
            tied=min(gaps[place], gaps[place + 1]) <= noise_floor,
        )
        for place, index in enumerate(order)
    ]
