"""A base that can be trained: it answers, it takes packed rows, and it is known what is learned with it.

Invariant: everything that can be wrong with a base is found here, before anything that takes long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import PartialState

from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.settings import Settings
from trsr_lite.training import base_model, distributed, lora, tree_attention, validation
from trsr_lite.training.losses import Objective
from trsr_lite.training.packing import PackedRow
from trsr_lite.training.tokenizer import HfTokenizer, answer_ids
from trsr_lite.training.train_options import TrainOptions

PROBES = [((1, 2, 3, 4), (first, (5, 6))) for first in ((7, 8, 9), (9, 8, 7))]  # tokens; alike in shape
WINDOWED = ("gemma2", "gemma3_text", "olmo3")  # which llama.cpp computes as transformers does
UNCONVERTED = ("gpt_neox",)
ROUNDED = 1.0  # logits, in 16 bits, where two ways to compute round differently
APART = 0.1  # logits; equal to the last bit but for experts, whose products change their shapes with the tokens


@dataclass(frozen=True)
class Learner:
    """A base model before anything is attached to it.

    Attributes
    ----------
    located: where it is.
    tokenizer, model: both as transformers has them.
    objective: what is learned.
    dtype: what it computes in.
    held: what its weights are held in: float32 where all of them are trained.
    shards: number of parts that it is in, each in a process of its own.
    """

    located: base_model.Base
    tokenizer: HfTokenizer
    model: Any
    objective: Objective
    dtype: torch.dtype
    held: torch.dtype
    shards: int


def load(
    options: TrainOptions, settings: Settings, weights: dict[str, float], state: PartialState, *, offline: bool
) -> Learner:
    """The base of the options, on the CPU unless 4-bit or in shards, with the losses of `weights`.

    Raises `ModelError`, and `SettingsError` for 4 bits without a GPU, or shards without other processes.
    """
    cpu = state.device.type == "cpu"
    if options.four_bit and cpu:  # where bitsandbytes packs weights anew in each validation, with loss
        raise SettingsError("a 4-bit base is trained on a GPU, and there is none", hint="remove `--four-bit`")
    shards = distributed.shards(options, state)
    located = base_model.locate(options.base, revision=options.revision, offline=offline)
    tokenizer = HfTokenizer.load(located, offline=offline)
    answers = answer_ids(settings, tokenizer, options.base)
    dtype = base_model.best_dtype(state.device) if options.dtype == "auto" else getattr(torch, options.dtype)
    held = torch.float32 if options.full else dtype
    model = base_model.load(located, held, offline=offline, four_bit=options.four_bit, shards=shards)
    lora.check(model, options)
    _check_rows(model, tokenizer, options.base)
    _check_served(model, settings.prompt_tokens, options.base)
    objective = Objective(answers, **weights)
    _check_apart(model, objective, options.base)
    if shards == 1:
        _check_plain(model, objective, options.base)
    return Learner(located, tokenizer, model, objective, dtype, held, shards)


def _probes(model: Any) -> list[PackedRow]:
    """Rows of ordinary tokens: the first of a vocabulary are often special, with large logits, rough in 16 bits."""
    middle = model.get_input_embeddings().num_embeddings // 2
    moved = [[tuple(middle + token for token in part) for part in (prefix, *ends)] for prefix, ends in PROBES]
    return [PackedRow(prefix, tuple(ends), (1, 0)) for prefix, *ends in moved]


def _check_apart(model: Any, objective: Objective, name: str) -> None:
    """Candidates in a row are kept apart by attention alone; linear attention and convolutions would mix them."""
    (_, one), (_, other) = validation.score(model, _probes(model), objective, alone=True)
    if not abs(one - other) <= APART:
        raise ModelError(
            f"{name}: a candidate sees the one before it in its row (its margin moves by {abs(one - other):.2g})",
            hint=f"layers besides attention and MLP mix what stands in a row: choose a base as {base_model.GOOD}",
        )


def _check_rows(model: Any, tokenizer: HfTokenizer, name: str) -> None:
    """Every token has a row in the embedding: one without would end the training in the middle."""
    rows, tokens = model.get_input_embeddings().num_embeddings, len(tokenizer.tokenizer)
    if rows < tokens:
        raise ModelError(
            f"{name}: its embeddings have {rows} rows, and its tokenizer {tokens} tokens",
            hint=f"get the tokenizer that belongs to it, or choose a base as {base_model.GOOD}",
        )


def _check_served(model: Any, prompt: int, name: str) -> None:
    """llama.cpp has the sliding window of some architectures, and ignores that of others; some it cannot convert."""
    config = model.config.get_text_config()
    if config.model_type in UNCONVERTED:
        raise ModelError(
            f"{name}: llama.cpp's converter does not read what transformers 5 says of the rotation of a "
            f"{type(model).__name__}",
            hint=f"choose a base as {base_model.GOOD}",
        )
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    if not window or window >= prompt or config.model_type in WINDOWED:
        return
    if kinds is None or "sliding_attention" in kinds:
        raise ModelError(
            f"{name}: its layers see {window} tokens, in llama.cpp all, and a prompt may have {prompt}",
            hint=f"train with `--prompt-tokens {window}`",
        )


@torch.no_grad()
def _check_plain(model: Any, objective: Objective, name: str) -> None:
    """Packed rows give what transformers' own attention gives for a whole prompt."""
    row = _probes(model)[0]
    packed = validation.score(model, [row], objective, alone=True)[0]
    device = next(model.parameters()).device
    try:
        model.set_attn_implementation("eager")
        whole = []
        for suffix in row.suffixes:
            logits = model(torch.tensor([[*row.prefix, *suffix]], device=device), use_cache=False).logits[0, -1]
            whole.append(float(logits[objective.answers[0]] - logits[objective.answers[1]]))
    finally:
        model.set_attn_implementation(tree_attention.NAME)
    apart = max(abs(one - other) for one, other in zip(packed.tolist(), whole, strict=True))
    if not apart <= (APART if next(model.parameters()).dtype == torch.float32 else ROUNDED):
        raise ModelError(
            f"{name}: {type(model).__name__} computes its attention otherwise than rows of candidates do "
            f"(a margin moves by {apart:.2g})",
            hint=f"choose a base as {base_model.GOOD}",
        )
