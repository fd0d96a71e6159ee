"""XML of strangers: parsed without entities of its own and without anything from outside.

Invariant: a file that declares an entity is refused before it is parsed, so that no text can expand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError

from trsr_lite.errors import DataError
from trsr_lite.imports import extra

if TYPE_CHECKING:
    from trsr_lite.imports.source import Source

_ROOT = re.compile(r"<(?![?!])(?:[\w.-]+:)?([\w.-]+)")
_ENTITY = re.compile(r"<!ENTITY", re.IGNORECASE)


def root(source: Source) -> str:
    """The name of the outermost element, in small letters and without a prefix; empty where there is none."""
    head = source.head.lstrip()
    if not head.startswith("<"):
        return ""
    found = _ROOT.search(re.sub(r"<!--.*?-->", "", head, flags=re.DOTALL))
    return found.group(1).lower() if found else ""


def refuse_entities(source: Source) -> None:
    """Raise `DataError` where the file declares an entity."""
    if _ENTITY.search(source.head):
        raise DataError(
            f"{source.name}: it declares entities, which could expand without end",
            hint="remove its `<!DOCTYPE …>`, if you trust where it comes from",
        )


def elements(source: Source) -> Iterator[tuple[str, Element]]:
    """(`start` or `end`, element) as the file goes on; raises `DataError` where it is no XML."""
    parser = extra.module("defusedxml.ElementTree", f"{source.name}: XML")
    refused: Any = extra.module("defusedxml", "XML").DefusedXmlException
    refuse_entities(source)
    try:
        yield from parser.iterparse(source.binary(), events=("start", "end"), forbid_dtd=False)
    except ParseError as error:
        raise DataError(
            f"{source.name}:{error.position[0]}: not valid XML: {str(error.msg).partition(':')[0]}"
        ) from error
    except refused as error:
        raise DataError(f"{source.name}: it declares entities, which could expand without end") from error


def local(tag: str) -> str:
    """The name of an element without its namespace."""
    return tag.rpartition("}")[2]
