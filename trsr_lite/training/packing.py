"""Examples to rows, and rows to packs: what one forward pass reads.

Invariant: a row's prompts are those of inference, token for token, and no answer is ever cut. A pack lays rows one
after another. Inside a row, the prefix stands once, and every candidate follows it at the prefix's next position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from trsr_lite.engine.interface import Tokenizer
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import cut
from trsr_lite.training.tree_attention import Tree


@dataclass(frozen=True)
class PackedRow:
    """One prefix and what follows it.

    Attributes
    ----------
    suffixes: tokens of each candidate's end, or of one text to be learned.
    labels: 1 for the user's own candidates, 0 for the others, all 0 where no user is shown; empty for a text.
    dropped: recent items left out to fit the budget.
    relevance: what each candidate is worth to the user, if more is known than the labels say.
    """

    prefix: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    labels: tuple[int, ...] = ()
    dropped: int = 0
    relevance: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.prefix) + sum(map(len, self.suffixes))

    @property
    def shares(self) -> tuple[float, ...]:
        """(candidates,) the part of 1 that each should get: of its relevance, else its label; equal without a user."""
        worth = self.relevance or self.labels
        if not any(worth):
            return tuple(1 / len(worth) for _ in worth)
        most = max(worth)
        whole = sum(one / most for one in worth)  # numbers near the largest float have no sum
        return tuple(one / most / whole for one in worth)


@dataclass(frozen=True)
class Pack:
    """Rows as tensors; T tokens, C candidates, N supervised text positions.

    Attributes
    ----------
    input_ids, position_ids: (1, T) int64.
    trees: where each row's prefix and suffixes lie.
    ends: (C,) position of each candidate's last token, whose logits hold the answer.
    labels: (C,) 1 or 0.
    shares: (C,) float32, 1 in sum for each row.
    candidates: number of candidates of each row.
    text_at, text_ids, text_weights: (N,) positions, the tokens that follow there, and what each counts: 1 in sum for
        each row.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    trees: tuple[Tree, ...]
    ends: torch.Tensor
    labels: torch.Tensor
    shares: torch.Tensor
    candidates: tuple[int, ...]
    text_at: torch.Tensor
    text_ids: torch.Tensor
    text_weights: torch.Tensor

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.trees)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.input_ids.shape[1]

    def to(self, device: torch.device) -> Pack:
        """The same pack on a device."""
        tensors: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if isinstance(value, torch.Tensor)
        }
        return replace(self, **tensors)


def build(
    history: Sequence[Item],
    summary: str | None,
    candidates: Sequence[Item],
    labels: Sequence[int],
    settings: Settings,
    tokenizer: Tokenizer,
    relevance: Sequence[float] = (),
) -> PackedRow:
    """The row of one user: exactly the prompts that `Recommender.recommend` would score."""
    blocks = cut(history, settings)
    prompts = templates.scoring(summary, blocks.recent, candidates, settings, tokenizer, against=blocks.against)
    return PackedRow(
        tuple(tokenizer.tokenize(prompts.prefix)), prompts.tokens, tuple(labels), prompts.dropped, tuple(relevance)
    )


def pack(rows: Sequence[PackedRow], answers: tuple[int, int] | None = None, *, whole_text: bool = False) -> Pack:
    """Rows as one pack.

    With `whole_text`, every token of every prompt and its answer is supervised, as the paper does. A prefix that stands
    for C prompts counts C times. A row without labels has its suffixes supervised.
    """
    ids: list[int] = []
    positions: list[int] = []
    trees, ends, labels = [], list[int](), list[int]()
    texts: list[tuple[int, int, float]] = []
    for row in rows:
        start, length = len(ids), len(row.prefix)
        text: list[tuple[int, int, float]] = []
        ids += row.prefix
        positions += range(length)
        if whole_text and row.labels:
            text += [(start + at - 1, row.prefix[at], float(len(row.suffixes))) for at in range(1, length)]
        for index, suffix in enumerate(row.suffixes):
            first = len(ids)
            ids += suffix
            positions += range(length, length + len(suffix))
            if whole_text or not row.labels:
                before = [start + length - 1, *range(first, len(ids) - 1)]
                text += [(at, token, 1.0) for at, token in zip(before, suffix, strict=True)]
            if row.labels:
                ends.append(len(ids) - 1)
                labels.append(row.labels[index])
                if whole_text and answers:
                    text.append((len(ids) - 1, answers[1 - row.labels[index]], 1.0))
        whole = sum(weight for _, _, weight in text)
        texts += [(at, token, weight / whole) for at, token, weight in text]
        trees.append(Tree(start, length, tuple(map(len, row.suffixes))))
    at, token_ids, weights = zip(*texts, strict=True) if texts else ((), (), ())
    return Pack(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        trees=tuple(trees),
        ends=torch.tensor(ends, dtype=torch.long),
        labels=torch.tensor(labels, dtype=torch.long),
        shares=torch.tensor([share for row in rows for share in row.shares], dtype=torch.float32),
        candidates=tuple(len(row.suffixes) for row in rows if row.labels),
        text_at=torch.tensor(at, dtype=torch.long),
        text_ids=torch.tensor(token_ids, dtype=torch.long),
        text_weights=torch.tensor(weights, dtype=torch.float32),
    )


def fill(rows: Sequence[PackedRow], budget: int) -> Iterator[list[int]]:
    """Indices of rows that go together into packs of at most `budget` tokens; a longer row goes alone.

    First fit, longest first; deterministic.
    """
    bins: list[tuple[int, list[int]]] = []
    for index in sorted(range(len(rows)), key=lambda index: (-len(rows[index]), index)):
        length = len(rows[index])
        for place, (used, members) in enumerate(bins):
            if used + length <= budget:
                bins[place] = (used + length, [*members, index])
                break
        else:
            bins.append((length, [index]))
    for _, members in bins:
        yield sorted(members)
