"""Command-line options from the fields of a dataclass, whose docstring holds their helps.

Invariant: an option's name, kind, default and help are those of its field; only what was given is passed on, so that
defaults are applied in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _NamesType = click.ParamType[tuple[str, ...]]
else:
    _NamesType = click.ParamType  # generic from click 8.4 on only


class Names(_NamesType):
    """Words separated by commas, as a tuple."""

    name = "a,b,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """What stands between commas."""
        return tuple(part.strip() for part in value.split(",") if part.strip())


KINDS: Mapping[str, click.ParamType[Any]] = {
    "int": click.INT,
    "float": click.FLOAT,
    "str": click.STRING,
    "tuple": Names(),
}


def options(kind: type, *, choices: Mapping[str, Sequence[str]], skip: Sequence[str] = ()) -> Callable[[Any], Any]:
    """A decorator that gives a command one option for each field."""
    helps = described(kind)

    def decorate(function: Any) -> Any:
        for field in reversed(fields(kind)):
            if field.name not in skip:
                function = _option(field, helps[field.name], choices.get(field.name))(function)
        return function

    return decorate


def described(kind: type) -> dict[str, str]:
    """The help of each field, from the section `Attributes` of the docstring."""
    _, _, section = (kind.__doc__ or "").partition("----------\n")
    helps: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        head, colon, text = line.strip().partition(": ")
        if colon and head.isidentifier() and line.startswith("    ") and not line.startswith("     "):
            name, helps[head] = head, text
        elif name and line.strip():
            helps[name] += f" {line.strip()}"
    return {name: f"{text[:1].upper()}{text[1:]}".replace("`", "") for name, text in helps.items()}


def read_toml(path: str, command: click.Command) -> dict[str, str]:
    """Options of a command from a flat TOML file, as they would be typed; a name may have `_` for `-`."""
    from trsr_lite.cli.config import read_options

    names = [str(parameter.name) for parameter in command.params]
    return read_options(Path(path), {spelled: name for name in names for spelled in (name, name.replace("_", "-"))})


def _option(field: Field[Any], text: str, choices: Sequence[str] | None) -> Callable[[Any], Any]:
    name, kind = f"--{field.name.replace('_', '-')}", str(field.type)
    if kind == "bool":
        return click.option(name, is_flag=True, default=None, help=text)
    if choices:
        param: click.ParamType[Any] = click.Choice(choices)
    else:
        param = next(param for start, param in KINDS.items() if kind.startswith(start))
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    shown = "" if field.default in (None, (), MISSING) else f" [default: {default}]"
    return click.option(name, type=param, help=f"{text.rstrip('.')}.{shown}")
