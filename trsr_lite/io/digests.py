"""Content hashes of files: the one that identifies a file here, and the one that a hub knows it by."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

CHUNK = 1 << 22


def file_digest(*paths: Path) -> str:
    """Content hash of a file, or of several one after another, as `b2:<40 hex digits>`."""
    return f"b2:{_read(hashlib.blake2b(digest_size=20), *paths)}"


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return _read(hashlib.sha256(), path)


def _read(digest: Any, *paths: Path) -> str:
    for path in paths:
        try:
            with path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            error.filename = str(path)  # one while reading names no file
            raise
    return str(digest.hexdigest())
