"""`/v1/rerank` as the rerankers of Jina, Cohere and llama.cpp speak it: a query and documents in, scores out.

Invariant: the query is a history, one line an item, oldest first. Each document has one result with its own index, also
one without any text, which comes last with a score of 0; two equal documents are two results. Fields that other servers
know and this one does not, such as `max_tokens_per_doc`, are ignored, because clients send them unasked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trsr_lite.errors import DataError, SettingsError
from trsr_lite.io.values import is_visible
from trsr_lite.options import check, option
from trsr_lite.serve.methods import Recommend

MOST = 10_000
"""Most documents of one request, and most lines of its query."""

PATHS = ("/v1/rerank", "/v2/rerank", "/rerank", "/v1/reranking", "/reranking")
"""Every path by which clients ask: Jina's and Cohere's, Cohere's second, and llama.cpp's own."""

_BULLET = re.compile(r"^\s*[-*•]\s+")


@dataclass(frozen=True)
class Rerank:
    """A request, checked.

    Attributes
    ----------
    query: what the user read, one line an item, oldest first; a bullet before an item is not part of it.
    documents: texts, or objects whose fields are an item's attributes; a lone `text` is the title.
    """

    query: str = option("The history: one line an item, oldest first.")
    documents: list[Any] = option("Texts, or objects with texts.")
    top_n: int | None = option("How many of the best to answer.", default=None, at_least=1, unset="all")
    return_documents: bool = option("Whether each result brings its document.", default=False)
    rank_fields: tuple[str, ...] | None = option("The fields of objects that count.", default=None, unset="all")

    def __post_init__(self) -> None:
        check(self)
        if not self.documents:
            raise DataError("documents: is empty", hint="at least one document is needed")
        for name, count in (("documents", len(self.documents)), ("lines of query", self.query.count("\n"))):
            if count > MOST:
                raise DataError(f"{count} {name} are too many", hint=f"send at most {MOST}")

    @classmethod
    def read(cls, body: Any) -> Rerank:
        """The request of a JSON body; raises `SettingsError` or `DataError`."""
        if not isinstance(body, Mapping):
            raise SettingsError("the body must be a JSON object")
        for name in ("query", "documents"):
            if name not in body:
                raise SettingsError(f"{name!r} is missing")
        known = {name: body[name] for name in cls.__dataclass_fields__ if body.get(name) is not None}
        return cls(**{"query": None, "documents": None, **known})

    def params(self) -> Recommend:
        """What the models are asked; raises `DataError` where the query or all documents are blank."""
        lines = [_BULLET.sub("", line).strip() for line in self.query.splitlines()]
        history = [{"id": f"line {place}", "title": line} for place, line in enumerate(lines) if is_visible(line)]
        if not history:
            raise DataError("query: has no text", hint="put what was read before there, one item a line")
        items = [self._item(place, document) for place, document in enumerate(self.documents)]
        usable = [item for item in items if any(is_visible(value) for name, value in item.items() if name != "id")]
        if not usable:
            raise DataError("documents: none has any text")
        return Recommend(user={"history": history}, candidates=usable, k=len(usable))

    def answer(self, result: Mapping[str, Any], version: int) -> dict[str, Any]:
        """The response of a result of `recommend`; `version` is that of Cohere's API."""
        found = {int(entry["id"]): float(entry["score"]) for entry in result.get("recommendations", ())}
        unranked = [place for place in range(len(self.documents)) if place not in found]
        ranked = [*found.items(), *((place, 0.0) for place in unranked)][: self.top_n]
        stats, name = result["stats"], result["model"]["name"]
        tokens = stats["prefix_tokens"] + stats["candidate_tokens"]
        return {
            "object": "list",
            "model": name,
            "results": [self._result(place, score) for place, score in ranked],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "meta": {"api_version": {"version": str(version)}},
        }

    def _result(self, place: int, score: float) -> dict[str, Any]:
        result: dict[str, Any] = {"index": place, "relevance_score": score}
        if self.return_documents:
            document = self.documents[place]
            result["document"] = {"text": document} if isinstance(document, str) else document
        return result

    def _item(self, place: int, document: Any) -> dict[str, str]:
        """A document as a candidate, whose id is its place: an id of its own may come twice."""
        if isinstance(document, str):
            return {"id": str(place), "title": document}
        if not isinstance(document, Mapping):
            raise DataError(f"documents[{place}]: must be text or an object")
        texts = {name: value for name, value in document.items() if isinstance(value, str) and name != "id"}
        if self.rank_fields:
            texts = {name: texts[name] for name in self.rank_fields if name in texts}
        if "text" in texts and "title" not in texts:
            texts = {"title": texts.pop("text"), **texts}
        return {**texts, "id": str(place)}
