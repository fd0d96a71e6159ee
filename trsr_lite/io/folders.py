"""The folders of this user: where summaries, prepared models and locks are.

Invariant: every way in finds the same ones: what is given, else `TRSR_LITE_CACHE_DIR` and `TRSR_LITE_DATA_DIR`, else
the system's own.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

NAME = "trsr-lite"


def cache(given: str | Path | None = None) -> Path:
    """Where summaries are."""
    import platformdirs

    return Path(given or os.environ.get("TRSR_LITE_CACHE_DIR") or platformdirs.user_cache_dir(NAME, False))


def data(given: str | Path | None = None) -> Path:
    """Where the prepared default model is."""
    import platformdirs

    return Path(given or os.environ.get("TRSR_LITE_DATA_DIR") or platformdirs.user_data_dir(NAME, False))


def runtime() -> Path:
    """Where this user's processes find each other's locks; raises `OSError` where it cannot be made."""
    import platformdirs

    with warnings.catch_warnings():  # of a folder with wrong rights: another one is taken
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_dir(NAME, False, ensure_exists=True))
