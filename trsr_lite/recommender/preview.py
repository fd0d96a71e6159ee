"""What the models would be shown for one user: the very prompts, as text.

Invariant: the texts come from the same plan and the same functions as those of a call. No model runs: what waits for a
summary that was not made is left out, or says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from trsr_lite.engine.interface import ChatTokenizer, Segment, Tokenizer
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.summaries import generate
from trsr_lite.summaries.plan import Plan
from trsr_lite.summaries.store import SummaryStore

NOT_MADE = "(not summarized yet: run `trsr-lite summarize`)"


def preview(
    plan: Plan,
    candidates: Sequence[Item],
    store: SummaryStore,
    summarizer: ChatTokenizer,
    recommender: Tokenizer,
) -> list[tuple[str, str]]:
    """(name, text) pairs in the order of a call: prompts of summaries, what all candidates share, each candidate.

    `summarizer` and `recommender` are the vocabularies of the bundle's models.
    """
    texts = store.get(node.key for node in plan.nodes)
    shown = []
    for number, node in enumerate(plan.nodes, 1):
        if all(child.key in texts for child in node.children):
            message = generate.message(node, texts, plan.settings, summarizer)
            name = f"{node.kind} {number} of {len(plan.nodes)}"
            shown.append((name, _plain(generate.framed(*message, summarizer))))
    text = (texts.get(plan.root.key) or NOT_MADE) if plan.root else None
    blocks = plan.blocks
    prompts = templates.scoring(text, blocks.recent, candidates, plan.settings, recommender, against=blocks.against)
    shown.append(("scoring: shared by all candidates", _plain(prompts.prefix)))
    for item, suffix in zip(candidates, prompts.suffixes, strict=True):
        shown.append((f"scoring: candidate {item.id}", _plain(suffix)))
    return shown


def _plain(prompt: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in prompt)
