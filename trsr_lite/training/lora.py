"""The part of a model that is trained: LoRA matrices, or all of it.

Invariant: what `read_back` returns was read from disk, on a base loaded anew. LoRA matrices are float32, and computed
with in the base's type (`trainer.forward`): copies of all activations in float32 would take a fifth of a CPU's time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import torch

from trsr_lite.errors import ModelError
from trsr_lite.training import base_model
from trsr_lite.training.base_model import Base
from trsr_lite.training.train_options import LAYERS, TrainOptions

NEEDLESS = "training_args.bin"  # a pickle, which nobody should load


def place(options: TrainOptions) -> str:
    """The folder's name inside a run."""
    return "model" if options.full else "adapter"


def check(model: Any, options: TrainOptions) -> None:
    """Raise `ModelError` for a layer that the model does not have."""
    here = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    missing = [name for name in options.layers if name not in here]
    if missing and not options.full:
        raise ModelError(
            f"the base has no layer called {', '.join(missing)}",
            hint=f"choose `--layers` among {', '.join(name for name in LAYERS if name in here) or 'others'}",
        )


def attach(model: Any, options: TrainOptions) -> Any:
    """The model with what is to be trained made trainable, and nothing else."""
    if options.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if options.full:
        return model
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.layers),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    adapted.peft_config["default"].base_model_name_or_path = ""  # peft would look on the hub for it at every save
    return _uncast(adapted)


def finish(folder: Path, options: TrainOptions) -> None:
    """Make what was saved fit for others: no pickle beside it, and the base by the name that was asked for."""
    (folder / NEEDLESS).unlink(missing_ok=True)
    if not options.full:
        config = folder / "adapter_config.json"
        content = {**orjson.loads(config.read_bytes()), "base_model_name_or_path": options.base}
        config.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def read_back(
    folder: Path, located: Base, options: TrainOptions, dtype: torch.dtype, device: torch.device, *, offline: bool
) -> Any:
    """The trained model as a stranger would load it."""
    if options.full:
        return base_model.load(Base(str(folder), str(folder)), dtype, offline=True).to(device)
    from peft import PeftModel

    model = base_model.load(located, dtype, offline=offline, four_bit=options.four_bit)
    adapted = _uncast(PeftModel.from_pretrained(model, str(folder)))
    return adapted if options.four_bit else adapted.to(device)


def read_beside(folder: Path, adapted: Any) -> Any:
    """A trained model with the adapter on disk instead of its own. So no second base takes memory."""
    adapted.load_adapter(str(folder), "read")
    adapted.set_adapter("read")
    return _uncast(adapted)


def _uncast(adapted: Any) -> Any:
    """Where autocast gives the LoRA products their type, peft need not cast their input to float32 before."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if autocast(adapted):
        for module in adapted.modules():
            if isinstance(module, BaseTunerLayer):
                module.cast_input_dtype_enabled = False
    return adapted


def autocast(model: Any) -> bool:
    """Whether a model computes in bfloat16 whatever the type of its trained weights."""
    return bool(next(model.parameters()).dtype == torch.bfloat16)
