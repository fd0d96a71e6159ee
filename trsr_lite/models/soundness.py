"""Model files of strangers: looked at and tried once, before llama.cpp has them in this process.

Invariant: a file is tried once for each content, adapter and version of llama.cpp. That it passed is remembered in a
folder. If that cannot be written, it is remembered as long as the process lasts. What failed is tried again: it may
have been memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from trsr_lite.engine import headers, library, trial
from trsr_lite.models.bundle import ModelFile

logger = logging.getLogger(__name__)

FOLDER = "sound"
_here: set[str] = set()


def check(file: ModelFile, folder: Path | None = None, on_wait: Callable[[], object] | None = None) -> None:
    """Raise `ModelError` where llama.cpp must not load a model, or its adapter.

    `folder` is where it is remembered. `on_wait` is called often meanwhile; what it raises comes out of here.
    """
    name = hashlib.blake2b(f"{file.identity} {library.version()}".encode(), digest_size=20).hexdigest()
    mark = folder / FOLDER / name if folder else None
    if name in _here or (mark and mark.is_file()):
        return
    headers.check(file.path)
    if file.adapter:
        headers.check(file.adapter.path, adapter=True)
    if trial.possible():
        trial.run(file.path, file.adapter.path if file.adapter else None, size=file.size, on_wait=on_wait)
    else:
        logger.info("%s: only its header was checked: a frozen program has no process to try it in", file.path)
    _here.add(name)
    if mark:
        with contextlib.suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
