"""What a signal is: one reason to rank a candidate, as a number.

Invariant: a number depends on the history, the candidate and the statistics that the signal was made with, to the last
bit: it is the same in any company and any order. `NaN` says that nothing is known, which fusion makes neutral.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trsr_lite.records import Item

Numbers = npt.NDArray[np.float32]

MODEL = "model"
"""The name of the language model's margin among the signals; no class here computes it."""


class Signal(Protocol):
    """One reason to rank a candidate; `name` is what settings, weights and parts call it."""

    @property
    def name(self) -> str:
        """A short word."""
        ...

    def numbers(self, history: Sequence[Item], candidates: Sequence[Item]) -> Numbers:
        """(candidates,) float32: more is better, `NaN` is not known; the history is oldest first."""
        ...


def unknown(count: int) -> Numbers:
    """(count,) numbers that say nothing."""
    return np.full(count, np.nan, np.float32)
