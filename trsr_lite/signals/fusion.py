"""Signals added up: each standardized by a fixed mean and scale, times a weight that was learned.

Invariant: a fused score depends on the candidate's own numbers alone. What is not known adds nothing. Parts lie on a
grid of 2⁻¹⁴ and are bounded. So they add up to the score exactly, in any order, in float32 as in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trsr_lite.errors import ModelError
from trsr_lite.signals.signal import MODEL, Numbers

VERSION = 1
NAMES = (
    MODEL, "tokens", "meaning", "recent", "words", "taste", "specific", "attributes", "popularity", "neighbours",
    "freshness",
)  # fmt: skip
"""All signals that there are, in the order of parts."""
GRID = float(1 << 14)
FARTHEST = 10.0  # deviations; a number beyond counts as so many
LARGEST = 90.0  # of a part: eleven of them stay below 2²⁴ steps of the grid
_FIELDS = ("weight", "mean", "scale")


@dataclass(frozen=True)
class Weight:
    """What a signal counts: `weight` for each deviation `scale` above `mean`."""

    weight: float
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Fusion:
    """The weights of signals by name, and what turns a score into a probability.

    Attributes
    ----------
    weights: name -> weight; a signal that is not named counts nothing.
    temperature: what a score is divided by, and `bias` what is then added, for the logistic function.
    fitted_on: facts about the lists that the weights were fitted on, as plain JSON values.
    """

    weights: Mapping[str, Weight]
    temperature: float = 1.0
    bias: float = 0.0
    fitted_on: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in NAMES:
                raise ModelError(f"fusion: there is no signal {name!r}", hint=f"signals are {', '.join(NAMES)}")
            for one in _FIELDS:
                _finite(f"fusion: {one} of {name}", getattr(weight, one), least=None if one == "mean" else 0.0)
            if weight.scale <= 0:
                raise ModelError(f"fusion: scale of {name} is {weight.scale}; it must be above 0")
        _finite("fusion: temperature", self.temperature, least=0.0)
        _finite("fusion: bias", self.bias)
        if self.temperature <= 0:
            raise ModelError(f"fusion: temperature is {self.temperature}; it must be above 0")

    @property
    def names(self) -> list[str]:
        """The signals that count, in the order of parts."""
        return [name for name in NAMES if name in self.weights and self.weights[name].weight > 0]

    def parts(self, numbers: Mapping[str, Numbers]) -> dict[str, Numbers]:
        """Name -> (candidates,) what each signal adds; a signal without numbers, and what is not known, adds 0."""
        found = {}
        for name in self.names:
            if name in numbers:
                weight = self.weights[name]
                deviations = (numbers[name].astype(np.float64) - weight.mean) / weight.scale
                part = np.clip(np.nan_to_num(deviations, nan=0.0), -FARTHEST, FARTHEST) * weight.weight
                found[name] = (np.rint(np.clip(part, -LARGEST, LARGEST) * GRID) / GRID).astype(np.float32)
        return found

    def scores(self, numbers: Mapping[str, Numbers], count: int) -> Numbers:
        """(count,) the sum of the parts."""
        return total(self.parts(numbers), count)

    def probability(self, scores: Numbers) -> Numbers:
        """(candidates,) how likely each is the user's, where as many are as are not."""
        logits = scores.astype(np.float64) / self.temperature + self.bias
        return (1.0 / (1.0 + np.exp(-np.clip(logits, -700, 700)))).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back."""
        return {
            "version": VERSION,
            "weights": {name: vars(self.weights[name]) for name in NAMES if name in self.weights},
            "temperature": self.temperature,
            "bias": self.bias,
            "fitted_on": dict(self.fitted_on),
        }

    @classmethod
    def from_json(cls, data: Any) -> Fusion:
        """The fusion of parsed JSON; raises `ModelError` for what none can be."""
        wanted = {"version", "weights", "temperature", "bias", "fitted_on"}
        if not isinstance(data, Mapping):
            raise ModelError("fusion: must be an object")
        if data.get("version") != VERSION:
            raise ModelError(f"fusion: version {data.get('version')!r} is not known", hint="upgrade trsr-lite")
        if strange := sorted(set(data) ^ wanted):
            raise ModelError(f"fusion: {strange[0]!r} is {'not known' if strange[0] in data else 'missing'}")
        weights, facts = data["weights"], data["fitted_on"]
        if not isinstance(weights, Mapping) or not isinstance(facts, Mapping):
            raise ModelError("fusion: `weights` and `fitted_on` must be objects")
        for name, weight in weights.items():
            if not isinstance(weight, Mapping) or set(weight) != set(_FIELDS):
                raise ModelError(f"fusion: {name!r} must have {', '.join(_FIELDS)}")
        read = {
            name: Weight(**{one: _number(f"{one} of {name}", weight[one]) for one in _FIELDS})
            for name, weight in weights.items()
        }
        return cls(read, _number("temperature", data["temperature"]), _number("bias", data["bias"]), dict(facts))


def total(parts: Mapping[str, Numbers], count: int) -> Numbers:
    """(count,) the sum of parts, which is exact."""
    found = np.zeros(count, np.float32)
    for part in parts.values():
        found = found + part
    return found


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(f"fusion: {name} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ModelError(f"fusion: {name} is too large") from None


def _finite(name: str, value: float, least: float | None = None) -> None:
    if not math.isfinite(value) or (least is not None and value < least):
        raise ModelError(f"{name} is {value}; it must be a finite number{'' if least is None else ', 0 or more'}")
