"""The model and the program that are measured, whatever is set for trsr-lite here."""

from __future__ import annotations

import os
import subprocess
import sys

from trsr_lite.io import folders
from trsr_lite.io.digests import file_digest
from trsr_lite.models import default
from trsr_lite.models.bundle import Bundle, load

PROGRAM = (sys.executable, "-m", "trsr_lite", "--config", os.devnull)  # in this `environment()`
COMMAND = (*PROGRAM, "recommend", "-m", "smollm2", "--signals", "model")  # else the default ranks without its model


def environment() -> dict[str, str]:
    """Without what is set for trsr-lite here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRSR_LITE_")}


def bundle() -> Bundle:
    """The prepared default, made by another process: whoever measures memory would pass its own peak on to children."""
    subprocess.run([*PROGRAM, "inspect", "smollm2"], check=True, capture_output=True, env=environment())
    return load(default.prepare(folders.data()), file_digest)
