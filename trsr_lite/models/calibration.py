"""Margins as probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trsr_lite.errors import SettingsError


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
