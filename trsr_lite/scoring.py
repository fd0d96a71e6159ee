"""Margins to a ranking.

Invariant: candidates are ordered by their float32 margin alone, and by their given order where margins are equal; a
score is for people to read and never decides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trsr_lite.engine.base import Margin
from trsr_lite.errors import SettingsError
from trsr_lite.records import Item


@dataclass(frozen=True)
class Calibration:
    """Turns a margin into a probability: sigmoid((margin − bias) / temperature)."""

    temperature: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0 and math.isfinite(self.bias)):
            raise SettingsError(f"a calibration of temperature {self.temperature} and bias {self.bias} cannot be")

    def score(self, margin: float) -> float:
        """A probability for people; stable for any margin."""
        value = (margin - self.bias) / self.temperature
        if value >= 0:
            return 1 / (1 + math.exp(-value))
        return math.exp(value) / (1 + math.exp(value))


@dataclass(frozen=True)
class Recommendation:
    """One ranked candidate.

    Attributes
    ----------
    rank: from 1.
    item: the candidate.
    score: calibrated probability of yes.
    margin: logit(yes) − logit(no), float32.
    label_mass: probability that the model answers yes or no at all; low values mean it did not understand the question.
    tied: a neighbour's margin is within the noise floor, so that their order means nothing.
    """

    rank: int
    item: Item
    score: float
    margin: float
    label_mass: float
    tied: bool


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
