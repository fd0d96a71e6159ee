"""The pages of the command reference, one for each command, written from `--help` while the site is built.

Invariant: what a page says is what the command prints; no option is documented twice. A new command appears by itself.
No page of the site fetches anything from another place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from trsr_lite import cli

FOLDER = "reference/commands"
WIDTH = 78
LOADED = r'script|img|iframe|source|link\b[^>]*rel="?stylesheet'
FETCHED = re.compile(rf'<(?:{LOADED})[^>]*(?:src|href)="?(?:https?:)?//[^>]*>')
HEAD = """# {title}

{short}
"""


def context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """The context in which a command prints its help, whatever the terminal of whoever builds is like."""
    inherited = {} if parent else {"terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, parent=parent, info_name=name, **command.context_settings, **inherited)


ROOT = context(cli.group, "trsr-lite")


def commands() -> dict[str, click.Command]:
    """Every command by its name, in order."""
    names = cli.group.list_commands(ROOT)
    return {name: command for name in names if (command := cli.group.get_command(ROOT, name))}


def page(command: click.Command, name: str) -> str:
    """A command, and below it the commands of its group."""
    parts = [HEAD.format(title=f"`trsr-lite {name}`", short=command.get_short_help_str(500))]
    for level, each in enumerate(_with_parts(context(command, name, ROOT))):
        if level:
            parts.append(f"## `{each.command_path}`\n")
        parts.append(f"```text\n{each.get_help()}\n```\n")
    return "\n".join(parts)


def index(found: dict[str, click.Command]) -> str:
    """The table of all commands, and what holds for each of them."""
    rows = [
        f"| [`{name}`]({name}.md) | {command.get_short_help_str(500)} |".replace("\n", " ")
        for name, command in found.items()
    ]
    table = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return f"# Commands\n\n{table}\n\n## `trsr-lite`\n\n```text\n{ROOT.get_help()}\n```\n"


def on_config(config: Any) -> Any:
    """Put the pages under *Reference, Commands*."""
    (reference,) = (part["Reference"] for part in config.nav if "Reference" in part)
    (entry,) = (part for part in reference if isinstance(part, dict) and "Commands" in part)
    pages = [{name: f"{FOLDER}/{name}.md"} for name in commands()]
    entry["Commands"] = [f"{FOLDER}/index.md", *pages]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, which are in no folder."""
    found = commands()
    texts = {"index": index(found), **{name: page(command, name) for name, command in found.items()}}
    for name, text in texts.items():
        files.append(File.generated(config, f"{FOLDER}/{name}.md", content=text))
    return files


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load a script, a style or a picture from the network."""
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri}: fetches {found[0]}")
    return output


def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a site without one of its own styles: no page would say so."""
    for style in map(str, config.extra_css):
        if not (Path(config.site_dir) / style).is_file():
            raise PluginError(f"{style}: is not in the site")


def _with_parts(group: click.Context) -> Iterator[click.Context]:
    yield group
    if isinstance(group.command, click.Group):
        for name in group.command.list_commands(group):
            if part := group.command.get_command(group, name):
                yield from _with_parts(context(part, name, group))
