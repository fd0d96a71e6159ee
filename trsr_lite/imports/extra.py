"""Parsers that the extra `import` installs.

Invariant: a parser that is missing is one line that says how to get it.
"""

from __future__ import annotations

import importlib
from typing import Any

from trsr_lite.errors import SettingsError


def module(name: str, purpose: str) -> Any:
    """A module of the extra, or `SettingsError` with the line that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise SettingsError(
            f"{purpose} needs the package {package}, which is not installed", hint="pip install 'trsr-lite[import]'"
        ) from error
