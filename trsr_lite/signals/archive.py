"""A header and arrays as one file: a NumPy archive without pickled objects, whose size is bounded before it inflates.

Invariant: the same header and arrays give the same bytes; what a header means, and its digest, are the caller's.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from trsr_lite.io import files

Arrays = dict[str, npt.NDArray[Any]]
DAMAGES = (
    zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, MemoryError, NotImplementedError,
)  # fmt: skip
"""What reading a damaged file, or another file, may raise."""


def write(path: Path, header: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the file whole; raises `OSError` where it cannot be."""
    content, named = io.BytesIO(), dict[str, Any](arrays)
    np.savez_compressed(content, header=np.frombuffer(orjson.dumps(header), np.uint8), **named)
    files.replace(path, content.getvalue())


def read(path: Path, largest: int) -> tuple[dict[str, Any], Arrays]:
    """(header, arrays); raises `ModelError` where it cannot be read, else one of `DAMAGES`.

    More than `largest` bytes of all arrays together count as damage.
    """
    with files.granted(path), zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > largest:
            raise ValueError("too large")
    with files.granted(path), np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    header: dict[str, Any] = orjson.loads(found.pop("header").tobytes())
    return header, found
