"""The page as HTML, from the one template `page.html`: the only home of Jinja2.

Invariant: every text is folded to one line and escaped, wherever it stands in the template. Only drawings and the
typed command, which keeps its spaces, are not folded.
"""

from __future__ import annotations

import importlib
from importlib import resources
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.evaluation.report import plots
from trsr_lite.evaluation.report.content import Page
from trsr_lite.prompts.templates import fold

TEMPLATE = "page.html"


def library() -> Any:
    """jinja2; raises `SettingsError` where it is missing."""
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise SettingsError(
            "a report needs the package jinja2, which is not installed", hint="pip install 'trsr-lite[report]'"
        ) from error


def render(page: Page) -> str:
    """The whole document."""
    jinja2 = library()
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_folded,
        keep_trailing_newline=True,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    source = resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    rendered: str = environment.from_string(source).render(
        page=page, light=plots.variables(dark=False), dark=plots.variables(dark=True)
    )
    return rendered


def _folded(value: Any) -> Any:
    """A text on one line; markup, such as what a macro made, stays as it is."""
    return fold(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
