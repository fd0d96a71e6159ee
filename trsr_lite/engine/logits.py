"""From logits to margins, and how candidates are cut into batches.

Invariant: pure functions of their arguments; a margin that is not finite is an error, never a rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.interface import Margin
from trsr_lite.errors import ModelError


def margin(logits: npt.NDArray[np.float32], answers: tuple[int, int]) -> Margin:
    """Margin in float32; the label mass by a stable log-sum-exp."""
    yes, no = (logits[answer] for answer in answers)
    highest = logits.max()
    mass = (np.exp(yes - highest) + np.exp(no - highest)) / np.exp(logits - highest).sum()
    difference = float(yes - no)
    if not np.isfinite(difference):
        raise ModelError("the model's logits are not finite", hint="the file may be damaged or its type too small")
    return Margin(difference, float(mass))


def exact_share(prefix: int, shortest: int, batch: int) -> int:
    """How much of a prefix can be shared so that each margin stays bit-identical to evaluating its whole prompt.

    llama.cpp multiplies a batch of one token by another kernel than larger ones, which rounds differently. The batch of
    the whole prompt in which the prefix ends is therefore cut so that no part of it is a single token, or not at all.
    """
    start = prefix // batch * batch
    end = min(start + batch, prefix + shortest)
    possible = (cut for cut in range(prefix, max(start, prefix - 3), -1) if cut - start > 1 and end - cut > 1)
    return next(possible, start)


def chunks(tails: Sequence[Sequence[int]], budget: int, most: int) -> list[list[Sequence[int]]]:
    """Neighbouring tails in groups of at most `budget` tokens and `most` tails; a longer tail is alone."""
    groups: list[list[Sequence[int]]] = []
    room = 0
    for tail in tails:
        if not groups or len(tail) > room or len(groups[-1]) == most:
            groups.append([])
            room = budget
        groups[-1].append(tail)
        room -= len(tail)
    return groups
