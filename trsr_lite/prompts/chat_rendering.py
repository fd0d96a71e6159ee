"""A chat template rendered as transformers renders it, and with no more time and memory than any template needs.

Invariant: a template that could run long or grow, as far as its syntax shows, is rendered in a child process with
limits; only one that can do neither is rendered here. Both are sandboxed: no template sees Python.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from trsr_lite.errors import ModelError

LARGEST = 1 << 18  # characters of a template; the longest known have some 20,000
LONGEST = 1 << 20  # characters of what it renders
PATIENCE = 30  # seconds, on a busy machine
TODAY = datetime(2024, 7, 26)  # a prompt must be the same on every day; Llama 3's template falls back to this one
REFUSED = 3  # exit code of the child
HARMLESS = frozenset(("trim", "tojson", "length", "count", "upper", "lower", "string", "default", "first", "last"))


def render(template: str, values: dict[str, Any]) -> str:
    """The text of a template; raises `ModelError` where it has none."""
    if len(template) > LARGEST:
        raise ModelError(f"the model's chat template has {len(template):,} characters; {LARGEST:,} are allowed")
    try:
        here = is_plain(template) or not _has_child()
        return render_here(template, values) if here else _render_apart(template, values)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"the model's chat template cannot be rendered: {error}") from error


def render_here(template: str, values: dict[str, Any]) -> str:
    """The text of a template, in this process and without limits."""
    return str(_environment().from_string(template).render(**values))


def is_plain(template: str) -> bool:
    """Whether a template can neither run long nor grow: it loops over the messages at most, and builds no texts."""
    from jinja2 import TemplateError, nodes

    try:
        tree = _environment().parse(template)
    except (TemplateError, RecursionError):
        return False
    grows = (
        nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.Include, nodes.Import,
        nodes.FromImport, nodes.Extends, nodes.Block, nodes.Mul, nodes.Pow, nodes.Mod,
    )  # fmt: skip
    loops = list(tree.find_all(nodes.For))
    filters = {one.name for one in tree.find_all(nodes.Filter)}
    return (
        next(tree.find_all(grows), None) is None
        and filters <= HARMLESS
        and all(isinstance(loop.iter, nodes.Name) and loop.iter.name == "messages" for loop in loops)
        and not any(next(loop.find_all(nodes.For), None) for loop in loops)
        and all(_is_known(call) for call in tree.find_all(nodes.Call))
    )


def _is_known(call: Any) -> bool:
    """Whether a call is one that builds nothing large."""
    name = getattr(call.node, "name", None) or getattr(call.node, "attr", None)
    return name in ("raise_exception", "strftime_now", "strip", "lstrip", "rstrip", "startswith", "endswith", "get")


def _has_child() -> bool:
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def _render_apart(template: str, values: dict[str, Any]) -> str:
    """The text, from a child process."""
    script = str(Path(__file__).with_name("chat_child.py").resolve())
    folders = [folder for folder in sys.path if Path(folder).is_absolute()]
    given = json.dumps({"path": folders, "template": template, "values": values})
    try:
        done = subprocess.run(
            [sys.executable, "-I", script], input=given.encode(), capture_output=True, timeout=PATIENCE, check=False
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise ModelError(f"the model's chat template cannot be rendered: {type(error).__name__}") from error
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        why = said if done.returncode == REFUSED and said else "it needs too much time or memory"
        raise ModelError(f"the model's chat template cannot be rendered: {why}")
    return said


def _environment() -> Any:
    """As transformers has it: its options, its globals, its tag for generated text."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what a model has written, which changes no text."""

        tags = {"generation"}  # noqa: RUF012 - as jinja2 wants it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, **options: Any) -> str:
        return json.dumps(value, **{"ensure_ascii": False, **options})

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(raise_exception=refuse, strftime_now=TODAY.strftime)
    return environment


def chosen(templates: Any) -> str | None:
    """The template of a tokenizer that may have several by name: as a text, a mapping, or a list of named ones."""
    if isinstance(templates, (list, tuple)):
        templates = {one.get("name"): one.get("template") for one in templates if isinstance(one, dict)}
    if isinstance(templates, dict):
        templates = templates.get("default") or next(iter(templates.values()), None)
    return templates if isinstance(templates, str) else None
