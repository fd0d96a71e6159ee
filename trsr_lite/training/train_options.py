"""How a run is trained: every hyper-parameter with its default, its bounds and its help.

Invariant: options that exist can be trained with; what contradicts itself is refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trsr_lite.errors import SettingsError
from trsr_lite.options import check, option

OBJECTIVES = ("listwise", "answer", "both")
ROLES = ("recommender", "summarizer")
DTYPES = ("auto", "bfloat16", "float32")
REPORTERS = ("tensorboard", "mlflow", "wandb")
SCHEDULES = ("cosine", "linear", "constant")
LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
OTHER_LAYERS = (
    "qkv_proj", "query_key_value", "gate_up_proj", "dense", "dense_h_to_4h", "dense_4h_to_h", "fc1", "fc2", "c_fc",
    "c_proj",
)  # fmt: skip
"""Names of other families for the same: one for several where they are fused."""
_DATA, _BASE, _ADAPTER, _LOSS = "Data", "Base model", "Adapter", "Loss"
_STEPS, _VALIDATION, _PROMPTS = "Steps and optimizer", "Validation", "Prompts and summaries"


@dataclass(frozen=True)
class TrainOptions:
    """Hyper-parameters of one run."""

    role: str = option("What is trained.", default="recommender", choices=ROLES)
    base: str = option(
        "Model to start from: smollm2, a folder, a .gguf file or user/repo on the hub.",
        default="smollm2",
        metavar="MODEL",
        heading=_BASE,
    )
    revision: str | None = option("Branch, tag or commit of a base on the hub.", default=None, metavar="REVISION")
    dtype: str = option("Precision of the base.", default="auto", choices=DTYPES)
    four_bit: bool = option(
        "Hold the base in 4 bits while training (QLoRA). Needs a GPU and bitsandbytes.", default=False
    )
    shard: bool = option("Spread the base over all processes (FSDP), for a base that outgrows one GPU.", default=False)
    full: bool = option("Train all weights instead of an adapter.", default=False, heading=_ADAPTER)
    rank: int = option("LoRA rank.", default=16, at_least=1)
    alpha: int = option("LoRA alpha.", default=32, at_least=1)
    dropout: float = option("LoRA dropout.", default=0.0, at_least=0, below=1)
    layers: tuple[str, ...] = option(
        "Layers that get an adapter, in attention and MLP; in bases that name them otherwise, those of that place.",
        default=LAYERS,
        metavar="A,B,…",
    )
    objective: str = option(
        "Loss: `listwise` compares the candidates of a list, `answer` judges each alone.",
        default="listwise",
        choices=OBJECTIVES,
        heading=_LOSS,
    )
    answer_weight: float = option("Weight of the `answer` loss in the objective `both`.", default=0.2, at_least=0)
    whole_text: bool = option(
        "Learn every token of each prompt, as the paper does, instead of the answers alone.",
        default=False,
    )
    drop_summaries: float = option(
        "Part of the training rows that show no summary. The model then ranks well without one too.",
        default=0.0,
        at_least=0,
        below=1,
    )
    content_free: float = option(
        "Part of the training rows that show no history. The model then learns no favourites.",
        default=0.0,
        at_least=0,
        below=1,
    )
    epochs: int = option("Passes over the training users.", default=3, at_least=1, heading=_STEPS)
    max_steps: int | None = option("Stop after this many steps.", default=None, at_least=1, unset="no limit")
    batch_rows: int = option("Users in one step, over all devices.", default=8, at_least=1)
    batch_tokens: int | None = option(
        "Most tokens in one forward pass of a device. A longer row is passed alone.",
        default=None,
        at_least=256,
        unset="2048 on a CPU, 8192 on a GPU",
    )
    learning_rate: float = option("Peak learning rate.", default=5e-4, above=0)
    schedule: str = option("Course of the learning rate.", default="cosine", choices=SCHEDULES)
    warmup: float = option("Part of the steps in which the learning rate rises.", default=0.05, at_least=0, below=1)
    weight_decay: float = option("AdamW weight decay.", default=0.0, at_least=0)
    beta1: float = option("AdamW beta 1.", default=0.9, at_least=0, below=1)
    beta2: float = option("AdamW beta 2.", default=0.95, at_least=0, below=1)
    clip: float = option("Largest gradient norm.", default=1.0, at_least=0)
    gradient_checkpointing: bool = option("Use less memory, and a third more time.", default=False)
    validate_every: int | None = option(
        "Steps between validations.",
        default=None,
        at_least=1,
        unset="ten validations a run",
        heading=_VALIDATION,
    )
    validation_users: int = option(
        "Most held-out lists in one validation; the seed chooses them.", default=200, at_least=1
    )
    patience: int | None = option(
        "Stop after this many validations without a better one.",
        default=None,
        at_least=1,
        unset="never",
    )
    report_to: tuple[str, ...] = option(
        "Report figures to tensorboard, mlflow or wandb, too.",
        default=(),
        choices=REPORTERS,
        metavar="A,B,…",
        unset="none",
    )
    summarizer: str = option(
        "Model that writes the summaries; name the one that you will use later.",
        default="smollm2",
        metavar="MODEL",
        heading=_PROMPTS,
    )
    seed: int = option("Seed of splits, negatives, order and weights.", default=0, at_least=0, heading=_DATA)

    def __post_init__(self) -> None:
        check(self)
        for name in self.layers:
            if name not in (*LAYERS, *OTHER_LAYERS):
                raise SettingsError(
                    f"layers has {name!r}; an adapter can be on {', '.join((*LAYERS, *OTHER_LAYERS))}",
                    hint="adapters of embeddings or of the output layer cannot be converted to GGUF",
                )
        if not self.layers:
            raise SettingsError("layers is empty; at least one layer is needed")
        if self.full and self.four_bit:
            raise SettingsError("`full` trains all weights, which `four_bit` cannot hold", hint="remove one of them")
        if self.shard and (self.full or self.four_bit):
            other = "full" if self.full else "four_bit"
            raise SettingsError(
                f"`shard` spreads an unquantized base below an adapter, and `{other}` has none",
                hint="remove one of them",
            )
        if self.objective == "both" and self.answer_weight == 0:
            raise SettingsError("objective `both` with an answer_weight of 0", hint="use `--objective listwise`")
        if self.content_free and "listwise" not in self.weights:
            raise SettingsError(
                "only the listwise objective learns from content_free rows",
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
    """Pairs to train a summarizer on."""

    pairs: str = option("Training pairs for `--role summarizer`, JSON Lines.", metavar="FILE", heading=_DATA)
    validation: float = option("Part of the pairs that is held out.", default=0.1)


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
