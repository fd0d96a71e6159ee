"""Running out of memory, on whichever device, as one line that says what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from trsr_lite.errors import TrsrError

HINT = (
    "lower `--batch-tokens`, `--train-negatives` or `--prompt-tokens`, or use `--gradient-checkpointing`, "
    "`--four-bit`, `--shard` on several GPUs, or a smaller `--base`"
)


@contextmanager
def checked(doing: str = "training", hint: str = HINT) -> Iterator[None]:
    """Turns running out of memory within this block into a `TrsrError` that says what was being done."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise TrsrError(f"out of memory while {doing}", hint=hint) from error


def ran_out(error: BaseException) -> bool:
    """Whether this is what Python, a GPU or torch's allocator on a CPU raises where memory ends."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "alloc" in str(error).lower()
    )
