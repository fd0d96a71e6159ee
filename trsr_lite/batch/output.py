"""One file for each partition: a row for every user of it, in order of the users file.

    {"user_id": "u1", "summary": "…", "recommendations": [{"rank": 1, "id": "n9", …}, …], "error": null}

Invariant: the content depends on users, model and settings alone: no times, no counts of what was cached. Rows are
those of `recommend --json`; a user that the model could not be asked about has `error` and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from trsr_lite.io import parquet
from trsr_lite.io.remote import RemotePath
from trsr_lite.results import Result

Line = Mapping[str, Any]
PURPOSE = "writing Parquet"


def line(result: Result) -> dict[str, Any]:
    """A user's row."""
    found = result.to_dict()
    return {
        "user_id": found["user_id"],
        "summary": found["summary"],
        "recommendations": found.get("recommendations", []),
        "error": None,
    }


def failed(user_id: str, error: str) -> dict[str, Any]:
    """The row of a user that the model could not be asked about."""
    return {"user_id": user_id, "summary": None, "recommendations": [], "error": error}


def name(number: int, suffix: str) -> str:
    """The name of a partition's file."""
    return f"part-{number:06d}.{suffix}"


def write(lines: Sequence[Line], folder: RemotePath, number: int, suffix: str) -> None:
    """Commit a partition."""
    with (folder / name(number, suffix)).writing() as file:
        if suffix == "jsonl":
            file.writelines(orjson.dumps(row) + b"\n" for row in lines)
        else:
            table = parquet.module("pyarrow", PURPOSE).Table.from_pylist(list(map(_row, lines)), schema=_schema())
            parquet.module("pyarrow.parquet", PURPOSE).write_table(table, file)


def _row(line: Line) -> dict[str, Any]:
    """As Arrow wants maps: pairs."""
    found = [{**entry, "parts": list(entry["parts"].items())} for entry in line["recommendations"]]
    return {**line, "recommendations": found}


def _schema() -> Any:
    pa = parquet.module("pyarrow", PURPOSE)
    entry = {
        "rank": pa.int32(),
        "id": pa.string(),
        "title": pa.string(),
        "score": pa.float64(),
        "margin": pa.float32(),
        "label_mass": pa.float64(),
        "tied": pa.bool_(),
        "parts": pa.map_(pa.string(), pa.float32()),
        "because": pa.list_(pa.string()),
    }
    return pa.schema(
        {
            "user_id": pa.string(),
            "summary": pa.string(),
            "recommendations": pa.list_(pa.struct(entry)),
            "error": pa.string(),
        }
    )
