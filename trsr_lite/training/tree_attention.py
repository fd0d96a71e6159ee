"""Attention over packed rows: every candidate sees its row's prefix and itself, and nothing else.

Invariant: for each token the result is that of its own whole prompt. No mask over the whole pack is ever built, so only
pairs that see each other cost time. A row needs two calls of torch's fused attention: the prefix, causal; and all its
candidates as a batch, whose keys are the prefix and the candidate. On a CPU in bfloat16 plain products are up to 2.7
times as fast: the prefix need not be copied for each candidate. Their scores take memory, so longer prefixes are left
to the fused one (`benchmarks/training.py`). Sliding windows that a row exceeds, and capped scores,
are computed by `shaped_attention`, which is exact and slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

NAME = "trsr_tree"  # what `attn_implementation` is called with
LONGEST_PLAIN = 1024  # tokens of a prefix; beyond, plain products gain nothing


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
    Returns (1, T, heads, width). Raises `NotImplementedError` where the model wants more than such attention.
    """
    if unknown.get("s_aux") is not None:
        raise NotImplementedError("attention with sinks (`s_aux`)")
    if not trees or query.shape[0] != 1:
        raise NotImplementedError("attention that does not hand `trees` down to its layers")
    window, cap = unknown.get("sliding_window"), unknown.get("softcap")
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast, positions leave them in float32
    parts = []
    plain = query.device.type == "cpu" and query.dtype == torch.bfloat16 and not dropout
    plain = plain and query.shape[-1] == value.shape[-1]
    with torch.autocast(query.device.type, enabled=False):
        for tree in trees:
            narrow = window if window and tree.prefix + max(tree.suffixes, default=0) > window else None
            if narrow or cap:
                parts += shaped_attention(query[0], key[0], value[0], tree, scaling, window=narrow, cap=cap)
            elif plain and tree.prefix <= LONGEST_PLAIN:
                parts += plain_attention(query[0], key[0], value[0], tree, scaling)
            else:
                parts += fused_attention(query[0], key[0], value[0], tree, scaling, dropout)
    return torch.cat(parts, dim=1).transpose(0, 1).unsqueeze(0), None


def fused_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: Tree, scale: float | None, dropout: float
) -> list[torch.Tensor]:
    """One row's outputs, prefix and suffixes, each (heads, tokens, width).

    `query`: (heads, T, width); `key`, `value`: (kv_heads, T, width), of which each serves a group of heads.
    """
    shared: dict[str, Any] = {"scale": scale, "dropout_p": dropout, "enable_gqa": query.shape[0] != key.shape[0]}
    prefix = slice(tree.start, tree.start + tree.prefix)
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

    def behind(states: torch.Tensor) -> torch.Tensor:
        before = states[None, :, prefix].expand(count, -1, -1, -1)
        return torch.cat((before, _padded(states, tree).transpose(0, 1)), dim=2)

    # Padding stands after a suffix, where no token of it looks, so one mask serves all candidates.
    sees = torch.ones(longest, tree.prefix + longest, dtype=torch.bool, device=query.device).tril(tree.prefix)
    asked = _padded(query, tree).transpose(0, 1)
    ends = scaled_dot_product_attention(asked, behind(key), behind(value), attn_mask=sees, **shared)
    return [done, *(ends[index, :, :length] for index, length in enumerate(tree.suffixes))]


def plain_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tree: Tree, scale: float | None
) -> list[torch.Tensor]:
    """The same by matrix products: the scores of all candidates with the prefix are one.

    Scores are in the type of `query`. What all keys share moves all scores of a token alike. No softmax sees it, but
    bfloat16 would round what is left: Qwen2's keys have biases above 100. So it is taken away first.
    """
    (heads, _, width), sharing = query.shape, len(key)
    group, scale = heads // sharing, scale or width**-0.5
    prefix = slice(tree.start, tree.start + tree.prefix)
    key = key - key[:, prefix].mean(1, keepdim=True).detach()
    before, worth = key[:, prefix], value[:, prefix]
    asked = query[:, prefix].reshape(sharing, group * tree.prefix, width)
    scores = torch.baddbmm(_causal(tree.prefix, group, query), asked, before.mT, alpha=scale)
    done = (scores.softmax(-1) @ worth).view(heads, tree.prefix, width)
    if not tree.suffixes:
        return [done]
    count, longest = len(tree.suffixes), max(tree.suffixes)
    shape = (sharing, group, count, longest)
    asked = _padded(query, tree).reshape(*shape, width)
    own_asked = asked.transpose(1, 2).reshape(sharing * count, group * longest, width)
    own, own_worth = (_padded(states, tree).reshape(sharing * count, longest, width) for states in (key, value))

    by_prefix = (asked.reshape(sharing, -1, width) @ before.mT).view(*shape, tree.prefix) * scale
    by_own = torch.baddbmm(_causal(longest, group, query), own_asked, own.mT, alpha=scale)
    by_own = by_own.view(sharing, count, group, longest, longest).transpose(1, 2)
    to_prefix, to_own = torch.cat((by_prefix, by_own), -1).softmax(-1).split((tree.prefix, longest), -1)

    of_prefix = (to_prefix.reshape(sharing, -1, tree.prefix) @ worth).view(*shape, width)
    of_own = to_own.transpose(1, 2).reshape(sharing * count, group * longest, longest) @ own_worth
    ends = (of_prefix + of_own.view(sharing, count, group, longest, width).transpose(1, 2)).reshape(
        heads, count, longest, width
    )
    return [done, *(ends[:, index, :length] for index, length in enumerate(tree.suffixes))]


def shaped_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tree: Tree,
    scale: float | None,
    *,
    window: int | None = None,
    cap: float | None = None,
) -> list[torch.Tensor]:
    """The same for tokens that see only the last `window` ones, or whose scores are bent to stay below a `cap`.

    Scores are float32. Each suffix is computed alone, with the prefix before it.
    """
    group, scale = query.shape[0] // key.shape[0], scale or query.shape[-1] ** -0.5
    prefix = slice(tree.start, tree.start + tree.prefix)
    done, first = [], tree.start
    for length in (tree.prefix, *tree.suffixes):
        own = slice(first, first + length)
        before = [] if first == tree.start else [prefix]  # the prefix itself is the first part
        seen, worth = (
            torch.cat([states[:, part] for part in (*before, own)], 1).repeat_interleave(group, 0)
            for states in (key, value)
        )
        scores = (query[:, own].float() @ seen.mT.float()) * scale
        if cap:
            scores = torch.tanh(scores / cap) * cap
        behind = seen.shape[1] - length  # tokens before this part
        far = (
            torch.arange(length, device=query.device)[:, None]
            + behind
            - torch.arange(seen.shape[1], device=query.device)
        )
        hidden = ((far < 0) | (far >= window) if window else far < 0).to(query.device)
        done.append(scores.masked_fill(hidden, float("-inf")).softmax(-1).to(value.dtype) @ worth)
        first += length
    return done


def _padded(states: torch.Tensor, tree: Tree) -> torch.Tensor:
    """A row's suffixes, each as long as the longest: (heads, T, width) -> (heads, suffixes, longest, width)."""
    first = tree.start + tree.prefix
    parts = states[:, first : first + sum(tree.suffixes)].transpose(0, 1).split(tree.suffixes)
    return pad_sequence(list(parts), batch_first=True).permute(2, 0, 1, 3)


def _causal(length: int, group: int, like: torch.Tensor) -> torch.Tensor:
    """What is added to scores so that no token looks ahead: (1, group * length, length)."""
    return torch.full((length, length), float("-inf"), dtype=like.dtype).triu(1).repeat(group, 1)[None]
