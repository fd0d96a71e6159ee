"""The tensor type of the prepared default, by what the processor can do.

Invariant: one release on one machine always takes the same type, whoever else computes meanwhile. So margins, summaries
and noise are the same in every data folder. Each row was measured on a quiet machine; F16 keeps a ranking best, and is
what a processor gets that no row knows.
"""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """A tensor type, and why it was chosen.

    `noise_floor` is what counts as noise where there was no time to measure it: well above all that was ever measured.
    """

    type: str
    noise_floor: float
    reason: str


TABLE = (
    # In llama.cpp's line on its features; prefill and decode in tokens a second on two cores.
    Choice("BF16", 0.5, "AVX512_BF16 = 1"),  # BF16 967 and 225, Q8_0 720 and 186, F16 658 and 201
    Choice("F16", 0.1, "AVX2 = 1"),  # F16 183 with one thread and 201 with two, ahead of Q8_0 and BF16
)
SAFE = Choice("F16", 0.1, "no row of the table")


def choice(features: str) -> Choice:
    """The first row whose reason is among llama.cpp's `features`, else the safe type."""
    known = {part.strip() for part in features.replace(":", "|").split("|")}
    return next((row for row in TABLE if row.reason in known), SAFE)
