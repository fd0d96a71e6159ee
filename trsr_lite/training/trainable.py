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
from trsr_lite.training import base_model, distributed, lora, validation
from trsr_lite.training.losses import Objective
from trsr_lite.training.packing import PackedRow
from trsr_lite.training.tokenizer import HfTokenizer, answer_ids
from trsr_lite.training.train_options import TrainOptions

PROBES = [PackedRow((1, 2, 3, 4), (first, (5, 6)), (1, 0)) for first in ((7, 8, 9), (9, 8, 7))]  # alike in shape
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
    objective = Objective(answers, **weights)
    _check_apart(model, objective, options.base)
    return Learner(located, tokenizer, model, objective, dtype, held, shards)


def _check_apart(model: Any, objective: Objective, name: str) -> None:
    """Candidates in a row are kept apart by attention alone; linear attention and convolutions would mix them."""
    (_, one), (_, other) = validation.score(model, PROBES, objective, alone=True)
    if not abs(one - other) <= APART:
        raise ModelError(
            f"{name}: a candidate sees the one before it in its row (its margin moves by {abs(one - other):.2g})",
            hint="choose a base whose layers are attention and MLP: other layers mix what stands in a row",
        )
