"""The plan of a history's summary: nodes that read one block, one summary and a block, or some summaries.

Invariant: a node's key depends on its items and its children's keys, never on generated text. So a whole plan is known
before any model runs. An appended item never changes what was planned over complete blocks before it, but for the nodes
above the newest: O(log n) of them.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass

import orjson

from trsr_lite.prompts.templates import PROMPT_VERSION, shown
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import Blocks, cut

GROUNDING = 1
"""Of how a true summary is made of items: raise it when the same items may give another, so that it is made again."""


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
        "domain": settings.words.plain(),
        "item_tokens": settings.item_tokens,
        "prompt_tokens": settings.prompt_tokens,
        "summary_tokens": settings.summary_tokens,
        "no_repeat_ngram": settings.no_repeat_ngram,
        "items": [shown(item, settings) for item in items],
        "children": list(children),
        **({"grounded": GROUNDING} if settings.grounded else {}),
    }
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=20).hexdigest()


@dataclass(frozen=True)
class Node:
    """One summary to be: of a `block`, an `update` of one child by a block, or a `merge` of children."""

    kind: str
    key: str
    items: tuple[Item, ...] = ()
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How one history is cut and summarized, and for which settings and summarizer that was planned.

    `levels` are the nodes that later blocks never change: the blocks' own, and above them what their complete groups
    become; for `recurrent` the one chain.
    """

    blocks: Blocks[Item]
    settings: Settings
    summarizer: str
    levels: tuple[tuple[Node, ...], ...] = ()

    @functools.cached_property
    def root(self) -> Node | None:
        """The node whose text is the summary; None where nothing is to be summarized."""
        return self._over(len(self.blocks.complete)) if self.levels else None

    @functools.cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node once, children before parents."""
        return tuple(ordered(self.root))

    def beginnings(self) -> list[Node]:
        """The root over the first complete block, over the first two, and so on."""
        return [self._over(count) for count in range(1, len(self.blocks.complete) + 1)] if self.levels else []

    def _over(self, count: int) -> Node:
        """The node over the first `count` blocks, at least one: what stands open is merged from the newest end."""
        if self.settings.strategy == "recurrent":
            return self.levels[0][count - 1]
        fan_in, standing = self.settings.fan_in, list[Node]()
        for level in self.levels:
            standing = [*level[count // fan_in * fan_in : count], *standing]
            count //= fan_in
        while len(standing) > 1:
            merged = _node("merge", self.settings, self.summarizer, children=tuple(standing[-fan_in:]))
            standing[-fan_in:] = [merged]
        return standing[0]


def plan(history: Sequence[Item], settings: Settings, summarizer: str) -> Plan:
    """The plan of a history (oldest first) for the summarizer of this identity."""
    blocks = cut(history, settings)
    if settings.strategy == "none" or not blocks.complete:
        return Plan(blocks, settings, summarizer)
    levels = _chain if settings.strategy == "recurrent" else _levels
    return Plan(blocks, settings, summarizer, levels(blocks.complete, settings, summarizer))


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


def heights(plans: Sequence[Plan]) -> dict[str, int]:
    """How many summaries must follow one another after each node: the longest way from it to a root."""
    found: dict[str, int] = {}
    for plan in plans:
        for node in reversed(plan.nodes):  # parents first
            height = found.setdefault(node.key, 0)
            for child in node.children:
                found[child.key] = max(found.get(child.key, 0), height + 1)
    return found


def missing(plans: Sequence[Plan], known: Container[str]) -> dict[str, Node]:
    """Nodes that must be generated for the plans, by key: unknown, and below no known node only."""
    found: dict[str, Node] = {}
    stack = [plan.root for plan in plans if plan.root]
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


def _levels(complete: Sequence[tuple[Item, ...]], settings: Settings, summarizer: str) -> tuple[tuple[Node, ...], ...]:
    """The blocks' nodes, and above each level the nodes that its complete groups of `fan_in` become."""
    levels = [tuple(_node("block", settings, summarizer, items=items) for items in complete)]
    while groups := len(levels[-1]) // settings.fan_in:
        parts = [levels[-1][group * settings.fan_in : (group + 1) * settings.fan_in] for group in range(groups)]
        levels.append(tuple(_node("merge", settings, summarizer, children=part) for part in parts))
    return tuple(levels)


def _chain(complete: Sequence[tuple[Item, ...]], settings: Settings, summarizer: str) -> tuple[tuple[Node, ...], ...]:
    """The first block's node, and an update of the one before for each further block, as one level."""
    chain = [_node("block", settings, summarizer, items=complete[0])]
    for items in complete[1:]:
        chain.append(_node("update", settings, summarizer, items=items, children=(chain[-1],)))
    return (tuple(chain),)
