"""`/openapi.json`: what can be asked, as OpenAPI 3.1.

Invariant: params and results of methods are those of `protocol.schema.json`, so they are described once.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from trsr_lite import __version__
from trsr_lite.serve.http.rerank import PATHS

ABOUT = {
    "recommend": "The candidates of a user, best first.",
    "summarize": "The preference summary of a user.",
    "update": "The summary of the history with a new item at its end.",
    "forget": "Delete the stored summaries that only this user's history rests on.",
}
_SCHEMAS = "#/components/schemas/"

RERANK: dict[str, Any] = {
    "type": "object",
    "required": ["query", "documents"],
    "properties": {
        "query": {"type": "string", "description": "The history: one line an item, oldest first."},
        "documents": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]},
        },
        "top_n": {"type": ["integer", "null"], "minimum": 1, "description": "All by default."},
        "return_documents": {"type": "boolean", "default": False},
        "rank_fields": {"type": ["array", "null"], "items": {"type": "string"}},
        "model": {"type": "string", "description": "Ignored: the server has one model."},
    },
}
RERANKED: dict[str, Any] = {
    "type": "object",
    "required": ["model", "results", "usage"],
    "properties": {
        "object": {"const": "list"},
        "model": {"type": "string"},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "relevance_score"],
                "properties": {
                    "index": {"type": "integer"},
                    "relevance_score": {"type": "number", "minimum": 0, "maximum": 1},
                    "document": {"type": "object"},
                },
            },
        },
        "usage": {
            "type": "object",
            "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}},
        },
        "meta": {"type": "object"},
    },
}
FAULT: dict[str, Any] = {
    "type": "object",
    "required": ["message", "error"],
    "properties": {
        "message": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["code", "type", "message"],
            "properties": {
                "code": {"type": "integer"},
                "type": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
            },
        },
    },
}


@cache
def document() -> dict[str, Any]:
    """The whole description."""
    schema = (resources.files("trsr_lite.serve") / "protocol.schema.json").read_text("utf-8")
    known = json.loads(schema.replace("#/$defs/", _SCHEMAS))["$defs"]
    paths: dict[str, Any] = {
        f"/v1/{method}": _post(about, f"{method.capitalize()}Params", f"{method.capitalize()}Result")
        for method, about in ABOUT.items()
    }
    paths |= {path: _post("Scores of documents, as rerankers answer.", "Rerank", "Reranked") for path in PATHS}
    paths["/v1/status"] = _get("What runs, what waits, and which models are open.", "StatusResult")
    paths["/health"] = _get("Whether the server is there.", None)
    return {
        "openapi": "3.1.0",
        "info": {"title": "trsr-lite", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**known, "Rerank": RERANK, "Reranked": RERANKED, "Fault": FAULT},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _post(about: str, asked: str, answered: str) -> dict[str, Any]:
    return {"post": {"summary": about, "requestBody": {"required": True, **_json(asked)}, **_responses(answered)}}


def _get(about: str, answered: str | None) -> dict[str, Any]:
    return {"get": {"summary": about, **_responses(answered)}}


def _responses(answered: str | None) -> dict[str, Any]:
    good = {"description": "The answer.", **(_json(answered) if answered else {})}
    return {"responses": {"200": good, "default": {"description": "What went wrong.", **_json("Fault")}}}


def _json(name: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"{_SCHEMAS}{name}"}}}}
