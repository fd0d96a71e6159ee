"""Vectors of small whole numbers, so that dot products in float32 are exact.

Idea: a vector of length 1 times 4,000 and rounded has whole numbers whose products add up to less than 2²⁴, the largest
that float32 holds without rounding. A product of two such matrices is then the same to the bit, whatever order, blocks
or threads a library adds in, and whatever other rows stand beside: a score does not depend on the company.
Invariant: no partial sum of a product of two vectors of this module exceeds 2²⁴ (Cauchy and Schwarz).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SCALE = 4000.0
UNIT = np.float32(1 / SCALE**2)
"""What a product is multiplied by to be a cosine."""
LONGEST = 1 << 24  # the square of the greatest length

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Whole = npt.NDArray[np.int16]


def whole(vectors: Floats) -> Whole:
    """(…, dimensions) -> the same directions in whole numbers; a vector of zeros stays one."""
    lengths = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))[..., None]
    scaled = vectors * (SCALE / np.where(lengths > 0, lengths, 1.0))
    rounded = np.rint(scaled)
    if np.any(np.einsum("...d,...d->...", rounded, rounded) > LONGEST):  # tens of thousands of dimensions
        rounded = np.trunc(scaled)
    return rounded.astype(np.int16)


def bounded(vector: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """A vector of length 1 at most, such as a mean of unit vectors, in whole numbers of the same scale."""
    return np.trunc(vector * SCALE).astype(np.float32)
