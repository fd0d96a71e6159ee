"""The checks that all option dataclasses share: kinds, allowed words and least values.

Invariant: a field's kind is its annotation and nothing else; a message names the field and its value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from trsr_lite.errors import SettingsError

SHOWN = 500  # characters of a value in a message
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "tuple[str, ...]": ((tuple, list), "a list of names"),
    "list[Any]": ((list,), "a list"),
    "Mapping[str, Any]": ((dict,), "an object"),
}


def check(
    options: Any, *, least: Mapping[str, float] | None = None, choices: Mapping[str, Sequence[str]] | None = None
) -> None:
    """Raise `SettingsError` for the first field of a dataclass that cannot be; None is allowed where annotated."""
    for field in fields(options):
        value: Any = getattr(options, field.name)
        kind, _, optional = str(field.type).partition(" | ")
        if value is None and optional:
            continue
        types, described = KINDS[kind]
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not fits:
            raise SettingsError(f"{field.name} is {_shown(value)}, which is not {described}")
        if kind.startswith("tuple") and not all(isinstance(name, str) and name for name in value):
            raise SettingsError(f"{field.name} are {_shown(value)}; each must be a name")
    for name, allowed in (choices or {}).items():
        one_of(name, getattr(options, name), allowed)
    for name, smallest in (least or {}).items():
        value = getattr(options, name)
        if value is not None and not value >= smallest:
            raise SettingsError(f"{name} is {value}; it must be at least {smallest:g}")


def _shown(value: Any) -> str:
    """A value for a message, whatever a program has sent."""
    try:
        return repr(value)[:SHOWN]
    except RecursionError:
        return "nested too deeply"


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise `SettingsError` unless `value` is one of the allowed words."""
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")
