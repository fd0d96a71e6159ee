"""The params of every method as JSON Schema, made from their options.

Idea: `methods.py` says what a parameter is; `protocol.schema.json` repeats it for clients in other languages. After a
change there, `python -m trsr_lite.serve.schema` writes these definitions again. Invariant: whatever else the file
describes (messages, results, users) is written by hand and left alone.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from trsr_lite.options import of
from trsr_lite.serve.methods import METHODS, Summarize

FILE = Path(__file__).with_name("protocol.schema.json")
SHARED = "UserParams"
DEFINED = {"user": "User", "item": "HistoryItem", "candidates": "Candidates", "priority": "Priority", "id": "Id"}
"""Parameters that have a definition of their own in the file."""
TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string", "minLength": 1},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string", "minLength": 1}},
    "Mapping[str, Any]": {"type": "object"},
}


def params() -> dict[str, Any]:
    """Definitions by name: one for each method, and one of what those that take a user share."""
    shared: dict[str, Field[Any]] = {one.name: one for one in fields(Summarize) if one.name != "priority"}
    found = {SHARED: {"description": "What recommend, summarize and update share.", **_object(shared)}}
    for method, kind in METHODS.items():
        known = {one.name: one for one in fields(kind)}
        if issubclass(kind, Summarize):
            own = {name: one for name, one in known.items() if name not in shared}
            made = {"$ref": f"#/$defs/{SHARED}", **_object(own), "unevaluatedProperties": False}
        else:
            made = {**_object(known), "additionalProperties": False}
        found[f"{method.capitalize()}Params"] = made
    return found


def write() -> None:
    """Put the definitions into the file, each in its place."""
    whole = json.loads(FILE.read_text(encoding="utf-8"))
    whole["$defs"].update(params())
    FILE.write_text(_pretty(whole) + "\n", encoding="utf-8")


def _object(known: dict[str, Field[Any]]) -> dict[str, Any]:
    required = [name for name, one in known.items() if one.default is MISSING]
    properties = {name: _value(one) for name, one in known.items()}
    return {
        "type": "object",
        **({"required": required} if required else {}),
        **({"properties": properties} if properties else {}),
    }


def _value(known: Field[Any]) -> dict[str, Any]:
    """What one parameter may be; bounds and choices are those that `options.check` holds it to."""
    found: dict[str, Any] = {}
    kind, _, optional = str(known.type).partition(" | ")
    option = of(known) if known.metadata else None
    if option is not None:
        found["description"] = option.help + (f" By default {option.unset}." if option.unset else "")
    if known.name in DEFINED:
        found["$ref"] = f"#/$defs/{DEFINED[known.name]}"
    else:
        found |= TYPES[kind]
        if optional:
            found["type"] = [found["type"], "null"]
        if option is not None and option.choices:
            found = {"description": found["description"], "enum": [*option.choices, *([None] if optional else [])]}
        if option is not None and option.at_least is not None:
            found["minimum"] = option.at_least
    return found if known.default is MISSING else {**found, "default": known.default}


def _pretty(value: Any, indent: str = "") -> str:
    """JSON in which whatever fits into a line is one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= 100 or not isinstance(value, dict | list):
        return line
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _pretty(one, inner) for one in value) + f"\n{indent}]"
    members = (f"{inner}{json.dumps(name)}: {_pretty(one, inner)}" for name, one in value.items())
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"


if __name__ == "__main__":
    write()
