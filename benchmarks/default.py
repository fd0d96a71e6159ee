"""The model that is measured."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from trsr_lite import embedded
from trsr_lite.bundle import Bundle, load
from trsr_lite.digests import file_digest


def bundle() -> Bundle:
    """The prepared default."""
    return load(embedded.prepare(Path(platformdirs.user_data_dir("trsr-lite", False))), file_digest)
