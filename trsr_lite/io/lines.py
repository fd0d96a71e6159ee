"""Files of lines, read one at a time whatever they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

LONGEST = 1 << 26  # bytes: a longer line is no row but a broken file
TOO_LONG = f"is longer than {LONGEST >> 20} MiB"


def read(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Each line with its end, and how many bytes it takes in the file: more than are given where it is too long."""
    while line := file.readline(LONGEST):
        size, part = len(line), line
        while len(part) == LONGEST and not part.endswith(b"\n"):
            part = file.readline(LONGEST)
            size += len(part)
        yield line, size
