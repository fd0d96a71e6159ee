"""Users divided into those who train, those who choose a checkpoint, and those who are asked at the end.

Invariant: a user is in exactly one part, and the order of the users decides nothing: they are ranked by a hash of the
seed and their id. So a new user moves few others across a border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trsr_lite.errors import DataError

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """Indices into the users, ascending."""

    train: Numbers
    validation: Numbers
    test: Numbers


def ranked(user_ids: Iterable[str], seed: int) -> Numbers:
    """Indices of the users in an order that only the seed and each id decide."""
    digests = b"".join(hashlib.blake2b(f"{seed}:{one}".encode(), digest_size=16).digest() for one in user_ids)
    high, low = np.frombuffer(digests, dtype=">u8").reshape(-1, 2).T
    return np.lexsort((low, high)).astype(np.int64)


def split(user_ids: Iterable[str], *, validation: float, test: float, seed: int) -> Splits:
    """Cut the users at exact counts; raises `DataError` where a part that is wanted would be empty."""
    order = ranked(user_ids, seed)
    fractions = {"validation": validation, "test": test}
    counts = {name: round(len(order) * fraction) for name, fraction in fractions.items()}
    for name, fraction in fractions.items():
        if fraction > 0 and counts[name] == 0:
            raise DataError(
                f"no {name} users: {len(order):,} users, fraction {fraction:g}",
                hint=f"use more users, a larger `{name}` fraction, or 0",
            )
    held_out = counts["validation"] + counts["test"]
    # All of the users held out is a choice; none left to train by rounding is not.
    if held_out >= len(order) and validation + test < 1:
        raise DataError(
            f"no training users: {len(order):,} users, {held_out:,} held out",
            hint="use more users or smaller fractions",
        )
    test_end = counts["test"]
    end = min(held_out, len(order))
    return Splits(np.sort(order[end:]), np.sort(order[test_end:end]), np.sort(order[:test_end]))
