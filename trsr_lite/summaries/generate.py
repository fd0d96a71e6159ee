"""Histories to preference summaries: of the nodes that are planned, only the missing ones are generated.

Invariant: no prompt grows with the history, because a node reads one block, one summary and a block, or at most
`fan_in` summaries. All missing nodes that are ready, of all users, are generated together.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.interface import ChatTokenizer, Engine, OnProgress, Prompt, Tokenizer
from trsr_lite.prompts import chat, templates
from trsr_lite.records import Item
from trsr_lite.results import OnTokens, Summary, SummaryNode
from trsr_lite.settings import Settings
from trsr_lite.summaries import plan
from trsr_lite.summaries.blocks import split
from trsr_lite.summaries.plan import Node
from trsr_lite.summaries.store import SummaryStore

ROUND = 128
"""Summaries in one round: batches are full but for its end, and no more than this is lost where work is stopped."""


@dataclass
class Work:
    """What one `summarize` call has generated, for statistics; `made` are the keys of its summaries."""

    made: set[str] = field(default_factory=set)
    generated_tokens: int = 0
    prompt_tokens: int = 0

    @property
    def calls(self) -> int:
        """How many summaries that are."""
        return len(self.made)


def summarize(
    histories: Sequence[Sequence[Item]],
    settings: Settings,
    store: SummaryStore,
    summarizer: str,
    engine: Callable[[], Engine],
    *,
    on_progress: OnTokens | None = None,
    cancel: Cancellation | None = None,
    work: Work | None = None,
    deterministic: bool = False,
) -> list[Summary]:
    """Summaries of several users' histories; `engine()` is asked for only if something is missing.

    Each summary is kept as it is made. With `deterministic`, up to ROUND are made and kept together, those that most
    others wait for first: work that was stopped goes on with the very same rounds, and with the same texts, although
    the company in a batch can move a text, and a long history shares its batches with others from beginning to end.
    """
    work = work or Work()
    roots = [plan.plan(history, settings, summarizer) for history in histories]
    orders = [plan.ordered(root) for root in roots]
    cached = store.get(node.key for order in orders for node in order)
    texts = dict(cached)
    missing = plan.missing(roots, texts)
    heights = plan.heights(orders) if deterministic else {}
    progress = _Rounds(on_progress, len(missing)) if on_progress else None
    while missing:
        ready = [node for node in missing.values() if all(child.key in texts for child in node.children)]
        if deterministic:
            ready.sort(key=lambda node: (-heights[node.key], node.key))
        del ready[ROUND:]
        report, rows = progress.next(len(ready)) if progress else None, list[tuple[str, str, str]]()
        keep = rows.append if deterministic else lambda row: store.put(*row)
        _generate(ready, texts, settings, keep, engine(), report, cancel, work)
        store.put_all(rows)
        missing = {key: node for key, node in missing.items() if key not in texts}
    summaries, claimed = [], set(cached)
    for order in orders:
        fresh = {node.key for node in order if node.key in texts} - claimed
        claimed |= fresh
        summaries.append(_summary(order, texts, cached, len(fresh)))
    return summaries


def newest(
    history: Sequence[Item],
    settings: Settings,
    store: SummaryStore,
    summarizer: str,
    made: AbstractSet[str] = frozenset(),
) -> tuple[Summary, int]:
    """The stored summary of as much of a history's beginning as there is one of; generates nothing.

    Also how many complete blocks it does not cover. `made` are keys of what was stored just now, which is fresh.
    """
    complete = split(history, **settings.cut).complete
    if settings.strategy == "none" or not complete:
        return Summary(), 0
    roots = plan.beginnings(complete, settings, summarizer)
    known = store.get(root.key for root in roots)
    for count in range(len(roots), 0, -1):
        if roots[count - 1].key in known:
            order = plan.ordered(roots[count - 1])
            texts = store.get(node.key for node in order)
            cached = texts.keys() - made
            return _summary(order, texts, cached, len(texts) - len(cached)), len(complete) - count
    return Summary(), len(complete)


def message(node: Node, texts: dict[str, str], settings: Settings, tokenizer: Tokenizer) -> tuple[str, str]:
    """The (message, opening) that asks for a node, given its children's texts."""
    children = [texts[child.key] for child in node.children]
    if node.kind == "merge":
        return templates.merge(children, settings, tokenizer)
    if node.kind == "update":
        return templates.update(children[0], node.items, settings, tokenizer)
    return templates.block(node.items, settings, tokenizer)


def framed(message: str, opening: str, tokenizer: ChatTokenizer) -> Prompt:
    """A message in the model's own chat template."""
    return chat.frame(tokenizer.chat_template, tokenizer.bos, tokenizer.eos).around(message, opening)


def _generate(
    ready: Sequence[Node],
    texts: dict[str, str],
    settings: Settings,
    keep: Callable[[tuple[str, str, str]], None],
    engine: Engine,
    on_progress: OnProgress | None,
    cancel: Cancellation | None,
    work: Work,
) -> None:
    """Generate the texts of nodes whose children are known; (key, kind, text) of each is given to `keep` as it ends."""
    asked, tokens = list[tuple[str, str]](), list[list[int]]()
    for node in ready:
        if cancel:
            cancel.check()
        asked.append(message(node, texts, settings, engine))
        tokens.append(engine.tokenize(framed(*asked[-1], engine)))
    work.prompt_tokens += sum(map(len, tokens))

    def ended(index: int, continuation: str, length: int) -> None:
        cut = length >= settings.summary_tokens
        text = templates.finish(asked[index][1], chat.without_thoughts(continuation), cut=cut)
        node = ready[index]
        keep((node.key, node.kind, text))
        texts[node.key] = text
        work.made.add(node.key)
        work.generated_tokens += length

    engine.generate(
        tokens,
        max_tokens=settings.summary_tokens,
        no_repeat_ngram=settings.no_repeat_ngram,
        on_result=ended,
        on_progress=on_progress,
        cancel=cancel,
    )


class _Rounds:
    """Progress of all that is missing, from that of the rounds in which it is made.

    What later rounds will read is not known yet: every text counts alike, so that the share made never goes back.
    """

    def __init__(self, on_progress: OnTokens, texts: int) -> None:
        self._on_progress, self._texts = on_progress, texts
        self._made = self._tokens = 0

    def next(self, texts: int) -> OnProgress:
        """The callback of the next round, in which so many texts are made."""
        made, tokens = self._made, self._tokens
        self._made += texts

        def report(done: int, total: int) -> None:
            self._tokens = tokens + done
            share = (made + texts * done / max(total, 1)) / self._texts
            self._on_progress(self._tokens, self._tokens / share if share else total)

        return report


def _summary(order: Sequence[Node], texts: dict[str, str], cached: Container[str], calls: int) -> Summary:
    """What is known of a plan, whose nodes are in `order`, the root last."""
    known = tuple(
        SummaryNode(
            node.kind,
            texts[node.key],
            "cache" if node.key in cached else "fresh",
            node.items,
            tuple(texts.get(child.key, "") for child in node.children),
        )
        for node in order
        if node.key in texts
    )
    hits = sum(node.key in cached for node in order)
    return Summary(texts[order[-1].key] if order else None, known, calls, hits)
