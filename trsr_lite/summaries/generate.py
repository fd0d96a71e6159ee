"""Planned summaries to texts: of the nodes of all plans, only the missing ones are generated.

Invariant: no prompt grows with the history. A node reads one block, one summary and a block, or at most `fan_in`
summaries. All missing nodes that are ready, of all users, are generated together.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine.interface import ChatTokenizer, Engine, OnProgress, Prompt, Tokenizer
from trsr_lite.engine.masks import Grammar
from trsr_lite.prompts import chat, templates
from trsr_lite.results import OnTokens, Summary, SummaryNode
from trsr_lite.settings import Settings
from trsr_lite.summaries.grounding import NOTHING, Grounding
from trsr_lite.summaries.plan import Node, Plan, heights, missing, ordered
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
    plans: Sequence[Plan],
    store: SummaryStore,
    engine: Callable[[], Engine],
    *,
    on_progress: OnTokens | None = None,
    cancel: Cancellation | None = None,
    work: Work | None = None,
    deterministic: bool = False,
) -> list[Summary]:
    """Summaries of several histories, planned with the same settings; `engine()` is called only if one is missing.

    Each summary is kept as it is made. With `deterministic`, up to ROUND are made and kept together, those that most
    others wait for first: work that was stopped goes on with the very same rounds, and with the same texts, although
    the company in a batch can move a text, and a long history shares its batches with others from beginning to end.
    """
    work = work or Work()
    cached = store.get(node.key for each in plans for node in each.nodes)
    texts = dict(cached)
    wanted = missing(plans, texts)
    before = heights(plans) if deterministic else {}
    progress = _Rounds(on_progress, len(wanted)) if on_progress else None
    grounding: Grounding | None = None
    while wanted:
        ready = [node for node in wanted.values() if all(child.key in texts for child in node.children)]
        if deterministic:
            ready.sort(key=lambda node: (-before[node.key], node.key))
        del ready[ROUND:]
        report, rows = progress.next(len(ready)) if progress else None, list[tuple[str, str, str]]()
        keep = rows.append if deterministic else lambda row: store.put(*row)
        model, settings = engine(), plans[0].settings
        grounding = grounding or (Grounding(settings, model) if settings.grounded else None)
        _generate(ready, texts, settings, keep, model, report, cancel, work, grounding)
        store.put_all(rows)
        wanted = {key: node for key, node in wanted.items() if key not in texts}
    summaries, claimed = [], set(cached)
    for each in plans:
        fresh = {node.key for node in each.nodes if node.key in texts} - claimed
        claimed |= fresh
        summaries.append(_summary(each.nodes, texts, cached, len(fresh)))
    return summaries


def newest(plan: Plan, store: SummaryStore, made: AbstractSet[str] = frozenset()) -> tuple[Summary, int]:
    """The stored summary of as much of a history's beginning as there is one of; generates nothing.

    Also how many complete blocks it does not cover. `made` are keys of what was stored just now, which is fresh.
    """
    roots = plan.beginnings()
    known = store.get(root.key for root in roots)
    for count in range(len(roots), 0, -1):
        if roots[count - 1].key in known:
            nodes = ordered(roots[count - 1])
            texts = store.get(node.key for node in nodes)
            cached = texts.keys() - made
            return _summary(nodes, texts, cached, len(texts) - len(cached)), len(roots) - count
    return Summary(), len(roots)


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
    grounding: Grounding | None,
) -> None:
    """Generate the texts of nodes whose children are known; (key, kind, text) of each is given to `keep` as it ends."""
    messages, tokens, grammars = list[tuple[str, str]](), list[list[int]](), list[Grammar]()
    for node in ready:
        if cancel:
            cancel.check()
        messages.append(message(node, texts, settings, engine))
        tokens.append(engine.tokenize(framed(*messages[-1], engine)))
        if grounding:
            grammars.append(grounding.grammar(node, texts))
    work.prompt_tokens += sum(map(len, tokens))

    def ended(index: int, continuation: str, length: int) -> None:
        cut = length >= settings.summary_tokens
        node = ready[index]
        if grounding:
            continuation = continuation or NOTHING
        text = templates.finish(messages[index][1], chat.without_thoughts(continuation), cut=cut)
        keep((node.key, node.kind, text))
        texts[node.key] = text
        work.made.add(node.key)
        work.generated_tokens += length

    engine.generate(
        tokens,
        max_tokens=settings.summary_tokens,
        no_repeat_ngram=settings.no_repeat_ngram,
        grammars=grammars if grounding else None,
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


def _summary(nodes: Sequence[Node], texts: dict[str, str], cached: Container[str], calls: int) -> Summary:
    """What is known of a plan's nodes, of which the root is the last."""
    known = tuple(
        SummaryNode(
            node.kind,
            texts[node.key],
            "cache" if node.key in cached else "fresh",
            node.items,
            tuple(texts.get(child.key, "") for child in node.children),
        )
        for node in nodes
        if node.key in texts
    )
    hits = sum(node.key in cached for node in nodes)
    return Summary(texts[nodes[-1].key] if nodes else None, known, calls, hits)
