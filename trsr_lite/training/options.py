"""How a run is trained: every hyper-parameter, its default and its help, written once.

Invariant: options that exist can be trained with; what contradicts itself is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.options import check

OBJECTIVES = ("listwise", "answer", "both")
ROLES = ("recommender", "summarizer")
DTYPES = ("auto", "bfloat16", "float32")
SCHEDULES = ("cosine", "linear", "constant")
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
CHOICES = {"role": ROLES, "objective": OBJECTIVES, "dtype": DTYPES, "schedule": SCHEDULES}
_LEAST = {
    "answer_weight": 0.0,
    "drop_summaries": 0.0,
    "content_free": 0.0,
    "rank": 1,
    "alpha": 1,
    "dropout": 0.0,
    "epochs": 1,
    "max_steps": 1,
    "batch_rows": 1,
    "batch_tokens": 256,
    "learning_rate": 0.0,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "beta1": 0.0,
    "beta2": 0.0,
    "clip": 0.0,
    "validate_every": 1,
    "validation_users": 1,
    "patience": 1,
    "seed": 0,
}


@dataclass(frozen=True)
class TrainOptions:
    """Hyper-parameters of one run.

    Attributes
    ----------
    role: what is trained.
    base: base model: `smollm2`, a folder, a .gguf file or a hub id.
    revision: revision of a base on the hub.
    summarizer: model that writes the summaries: the one that will serve.
    objective: softmax over a row's margins, cross-entropy of yes/no, or both.
    answer_weight: weight of the answer loss in objective `both`.
    whole_text: learn every token of every prompt instead of the answers alone, as the paper does.
    drop_summaries: part of the training rows that are shown without their summary, so that the model also ranks well
        with strategy `none`; who is never shown with one is not summarized.
    content_free: part of the training rows that show no user, whose candidates should all be equal: for a model that
        has no favourites among items it never saw.
    full: train all weights instead of an adapter.
    rank: LoRA rank.
    alpha: LoRA alpha.
    dropout: LoRA dropout.
    layers: layers with an adapter, of attention and MLP.
    four_bit: hold the base in 4 bits while training (QLoRA; needs bitsandbytes).
    shard: spread the base over all processes, for one that outgrows a GPU (FSDP); each has the whole adapter.
    dtype: precision of the base.
    epochs: passes over the training users.
    max_steps: stop after this many steps.
    batch_rows: users in one step, over all devices.
    batch_tokens: most tokens in one forward pass of one device; 2048 on a CPU and 8192 on a GPU without it. A longer
        row goes alone.
    learning_rate: peak learning rate.
    schedule: course of the learning rate.
    warmup: part of the steps in which the learning rate rises.
    weight_decay: AdamW weight decay.
    beta1: AdamW beta 1.
    beta2: AdamW beta 2.
    clip: largest gradient norm.
    gradient_checkpointing: less memory for a third more time.
    validate_every: steps between validations; ten a run without it.
    validation_users: most held-out lists in a validation, chosen by the seed.
    patience: stop after this many validations without a better one.
    seed: seed of splits, negatives, order and weights.
    """

    role: str = "recommender"
    base: str = "smollm2"
    revision: str | None = None
    summarizer: str = "smollm2"
    objective: str = "listwise"
    answer_weight: float = 0.2
    whole_text: bool = False
    drop_summaries: float = 0.0
    content_free: float = 0.0
    full: bool = False
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    layers: tuple[str, ...] = LAYERS
    four_bit: bool = False
    shard: bool = False
    dtype: str = "auto"
    epochs: int = 3
    max_steps: int | None = None
    batch_rows: int = 8
    batch_tokens: int | None = None
    learning_rate: float = 5e-4
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    gradient_checkpointing: bool = False
    validate_every: int | None = None
    validation_users: int = 200
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, least=_LEAST, choices=CHOICES)
        for name in self.layers:
            if name not in LAYERS:
                raise SettingsError(
                    f"layers has {name!r}; an adapter can be on {', '.join(LAYERS)}",
                    hint="adapters of embeddings or of the output layer cannot be converted to GGUF",
                )
        if not self.layers:
            raise SettingsError("layers is empty; at least one layer is needed")
        if self.full and self.four_bit:
            raise SettingsError("`full` trains all weights, which `four_bit` cannot hold", hint="leave one away")
        if self.shard and (self.full or self.four_bit):
            other = "full" if self.full else "four_bit"
            raise SettingsError(
                f"`shard` spreads an unquantized base below an adapter, which `{other}` is not", hint="leave one away"
            )
        if not self.learning_rate > 0:
            raise SettingsError("learning_rate is 0; nothing would be learned")
        for name in ("dropout", "drop_summaries", "content_free", "warmup", "beta1", "beta2"):
            if getattr(self, name) >= 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be below 1")
        if self.objective == "both" and self.answer_weight == 0:
            raise SettingsError("objective `both` with an answer_weight of 0", hint="use `--objective listwise`")
        if self.content_free and "listwise" not in self.weights:
            raise SettingsError(
                "content_free rows are learned by the listwise objective alone",
                hint="use `--objective listwise` or `both`, without `--whole-text`",
            )

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the losses `listwise`, `answer` and `text`."""
        if self.whole_text:
            return {"text": 1.0}
        return {
            "listwise": {"listwise": 1.0},
            "answer": {"answer": 1.0},
            "both": {"listwise": 1.0, "answer": self.answer_weight},
        }[self.objective]


@dataclass(frozen=True)
class PairOptions:
    """Pairs to train a summarizer on: a JSON Lines file, and the fraction of it that is held out."""

    pairs: str
    validation: float = 0.1


def paper() -> dict[str, Any]:
    """The authors' hyper-parameters (code of LLM-TRSR): 64 prompts a step are 32 users at 1:1."""
    return {
        "objective": "answer",
        "whole_text": True,
        "rank": 8,
        "alpha": 16,
        "dropout": 0.05,
        "layers": LAYERS[:4],
        "epochs": 5,
        "batch_rows": 32,
        "learning_rate": 1e-4,
        "schedule": "linear",
        "warmup": 0.0,
        "weight_decay": 5e-4,
        "beta2": 0.95,
    }


def difference(now: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """The first entry in which two configurations differ, in words."""
    for name in sorted({*now, *before}):
        if now.get(name) != before.get(name):
            return f"{name} is {now.get(name)!r}, and was {before.get(name)!r} in this run"
    return None
