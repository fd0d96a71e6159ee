"""What the file system refuses, such as room on a full disk, as one line, whichever library was writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trsr_lite.errors import TrsrError

ROOM = "make room, then run the same command again"
_TORCH_WRITER = "inline_container"  # the file of torch that every failed `torch.save` names


@contextmanager
def checked(place: Path, *, step: str | None = None, hint: str = ROOM) -> Iterator[None]:
    """Turns what is refused within this block into a `TrsrError` that names the file, or `place`, and the step."""
    from safetensors import SafetensorError  # of the training extra; commands that need it are there without it too

    lead = f"step {step}: " if step else ""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a library's own error, which no room mends
            raise
        raise TrsrError(f"{lead}{error.filename or place}: {error.strerror}", hint=hint) from error
    except (SafetensorError, RuntimeError) as error:  # theirs is no OSError, and torch's names no cause
        if isinstance(error, RuntimeError) and _TORCH_WRITER not in str(error):
            raise
        raise TrsrError(f"{lead}{place}: cannot be written: {error}", hint=hint) from error
