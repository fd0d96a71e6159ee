"""The plan of a history's summary: nodes that read one block, one summary and a block, or some summaries.

Invariant: a node's key depends on its items and its children's keys, never on generated text, so a whole plan is known
before any model runs. An appended item never changes what was planned over complete blocks before it, but for the
nodes above the newest: O(log n) of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass

import orjson

from trsr_lite.prompts.templates import PROMPT_VERSION, shown
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import split


def key(
    kind: str, summarizer: str, settings: Settings, items: Sequence[Item] = (), children: Sequence[str] = ()
) -> str:
    """The address of a summary: blake2b over canonical JSON of all that its text depends on.

    `children` are the keys of the summaries it is made from. Items count as the model sees them; their ids do not.
    """
    content = {
        "kind": kind,
        "summarizer": summarizer,
        "prompt_version": PROMPT_VERSION,
        "domain": settings.domain,
        "item_tokens": settings.item_tokens,
        "prompt_tokens": settings.prompt_tokens,
        "summary_tokens": settings.summary_tokens,
        "no_repeat_ngram": settings.no_repeat_ngram,
        "items": [shown(item, settings) for item in items],
        "children": list(children),
    }
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Node:
    """One summary to be: of a `block`, an `update` of one child by a block, or a `merge` of children."""

    kind: str
    key: str
    items: tuple[Item, ...] = ()
    children: tuple[Node, ...] = ()


def plan(history: Sequence[Item], settings: Settings, summarizer: str) -> Node | None:
    """The root of a history's summary, or None where nothing is to be summarized."""
    if settings.strategy == "none":
        return None
    complete = split(history, **settings.cut).complete
    if not complete:
        return None
    if settings.strategy == "recurrent":
        return _chain(complete, settings, summarizer)[-1]
    levels = _levels(complete, settings, summarizer)
    return _root(levels, len(complete), settings, summarizer)


def beginnings(complete: Sequence[tuple[Item, ...]], settings: Settings, summarizer: str) -> list[Node]:
    """The root over the first complete block, over the first two, and so on."""
    if settings.strategy == "recurrent":
        return _chain(complete, settings, summarizer)
    levels = _levels(complete, settings, summarizer)
    return [_root(levels, count, settings, summarizer) for count in range(1, len(complete) + 1)]


def ordered(root: Node | None) -> list[Node]:
    """Every node once, children before parents; no recursion, because a chain is as deep as a history is long."""
    found: dict[str, Node] = {}
    stack = [(root, False)] if root else []
    while stack:
        node, visited = stack.pop()
        if visited:
            found.setdefault(node.key, node)
        elif node.key not in found:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children))
    return list(found.values())


def heights(orders: Sequence[Sequence[Node]]) -> dict[str, int]:
    """How many summaries must follow one another after each node: the longest way from it to a root."""
    found: dict[str, int] = {}
    for order in orders:
        for node in reversed(order):  # parents first
            height = found.setdefault(node.key, 0)
            for child in node.children:
                found[child.key] = max(found.get(child.key, 0), height + 1)
    return found


def missing(roots: Sequence[Node | None], known: Container[str]) -> dict[str, Node]:
    """Nodes that must be generated for the roots, by key: unknown, and below no known node only."""
    found: dict[str, Node] = {}
    stack = [root for root in roots if root]
    while stack:
        node = stack.pop()
        if node.key not in known and node.key not in found:
            found[node.key] = node
            stack.extend(node.children)
    return found


def _node(
    kind: str, settings: Settings, summarizer: str, *, items: tuple[Item, ...] = (), children: tuple[Node, ...] = ()
) -> Node:
    address = key(kind, summarizer, settings, items, [child.key for child in children])
    return Node(kind, address, items, children)


def _levels(complete: Sequence[tuple[Item, ...]], settings: Settings, summarizer: str) -> list[list[Node]]:
    """The blocks' nodes, and above each level the nodes that its complete groups of `fan_in` become."""
    levels = [[_node("block", settings, summarizer, items=items) for items in complete]]
    while groups := len(levels[-1]) // settings.fan_in:
        parts = [levels[-1][group * settings.fan_in : (group + 1) * settings.fan_in] for group in range(groups)]
        levels.append([_node("merge", settings, summarizer, children=tuple(part)) for part in parts])
    return levels


def _root(levels: Sequence[Sequence[Node]], count: int, settings: Settings, summarizer: str) -> Node:
    """The node over the first `count` blocks, at least one: what stands open is merged from the newest end."""
    fan_in, standing = settings.fan_in, list[Node]()
    for level in levels:
        standing = [*level[count // fan_in * fan_in : count], *standing]
        count //= fan_in
    while len(standing) > 1:
        standing[-fan_in:] = [_node("merge", settings, summarizer, children=tuple(standing[-fan_in:]))]
    return standing[0]


def _chain(complete: Sequence[tuple[Item, ...]], settings: Settings, summarizer: str) -> list[Node]:
    """The first block's node, and an update of the one before for each further block."""
    chain = [_node("block", settings, summarizer, items=complete[0])]
    for items in complete[1:]:
        chain.append(_node("update", settings, summarizer, items=items, children=(chain[-1],)))
    return chain
