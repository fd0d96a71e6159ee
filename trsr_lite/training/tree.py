"""Attention over packed rows: every candidate sees its row's prefix and itself, and nothing else.

Invariant: for each token the result is that of its own whole prompt. A row needs two calls of torch's fused
attention: the prefix, causal; and all its candidates as a batch, whose keys are the prefix and the candidate. No mask
over the whole pack is ever built, so the cost is that of the pairs that see each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

NAME = "trsr_tree"  # what `attn_implementation` is called with


class Tree(NamedTuple):
    """Where a row lies in a pack: its first position, the length of its prefix and of each suffix."""

    start: int
    prefix: int
    suffixes: tuple[int, ...]


def register() -> None:
    """Make `attn_implementation=NAME` known to transformers; may be called twice."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, forward)


def forward(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    trees: Sequence[Tree] = (),
    **unknown: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in transformers' calling convention.

    `query`: (1, heads, T, width), `key` and `value`: (1, kv_heads, T, width), `trees`: the rows, which cover all T.
    Returns (1, T, heads, width). Raises `NotImplementedError` where the model wants more than plain attention.
    """
    for name in ("sliding_window", "softcap", "s_aux"):
        if unknown.get(name) is not None:
            raise NotImplementedError(f"attention with {name}")
    if not trees or query.shape[0] != 1:
        raise NotImplementedError("attention that does not hand `trees` down to its layers")
    parts = []
    for tree in trees:
        parts += _row(query[0], key[0], value[0], tree, scaling, dropout)
    return torch.cat(parts, dim=1).transpose(0, 1).unsqueeze(0), None


def _row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: Tree, scale: float | None, dropout: float
) -> list[torch.Tensor]:
    """One row's outputs, prefix and suffixes, each (heads, tokens, width).

    `query`: (heads, T, width); `key`, `value`: (kv_heads, T, width), of which each serves a group of heads.
    """
    shared: dict[str, Any] = {"scale": scale, "dropout_p": dropout, "enable_gqa": query.shape[0] != key.shape[0]}
    middle = tree.start + tree.prefix
    end = middle + sum(tree.suffixes)
    prefix = slice(tree.start, middle)
    done = scaled_dot_product_attention(
        query[None, :, prefix],
        key[None, :, prefix],
        value[None, :, prefix],
        is_causal=True,
        **shared,
    )[0]
    if not tree.suffixes:
        return [done]
    count, longest = len(tree.suffixes), max(tree.suffixes)

    def padded(states: torch.Tensor) -> torch.Tensor:  # (heads, tokens, width) -> (count, heads, longest, width)
        parts = states[:, middle:end].transpose(0, 1).split(tree.suffixes)
        return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True).transpose(1, 2)

    def behind(states: torch.Tensor) -> torch.Tensor:
        before = states[None, :, prefix].expand(count, -1, -1, -1)
        return torch.cat((before, padded(states)), dim=2)

    # Padding stands after a suffix, where no token of it looks, so one mask serves all candidates.
    sees = torch.ones(longest, tree.prefix + longest, dtype=torch.bool, device=query.device).tril(tree.prefix)
    ends = scaled_dot_product_attention(padded(query), behind(key), behind(value), attn_mask=sees, **shared)
    return [done, *(ends[index, :, :length] for index, length in enumerate(tree.suffixes))]
