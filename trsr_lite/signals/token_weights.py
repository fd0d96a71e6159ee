"""What a token counts in an item's mean, by how frequent it is in the language.

Idea: smooth inverse frequency (Arora et al., ICLR 2017): a / (a + p), where p is a token's share of all text. Byte-pair
tokenizers number their tokens by frequency, so that p follows from the number by Zipf's law. No item is counted, so a
weight is the same with any statistics.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SMOOTH = 1e-4  # the share at which a token counts half
FLAT = 100  # tokens that come first are about equally frequent: bytes and marks


def rank_weights(count: int) -> npt.NDArray[np.float32]:
    """(count,) from 0 to 1, for a vocabulary of so many tokens."""
    shares = 1.0 / (np.arange(count) + FLAT)
    return np.asarray(SMOOTH / (SMOOTH + shares / shares.sum()), np.float32)
