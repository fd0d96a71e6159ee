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
from trsr_lite.training.train_options import LAYERS, OTHER_LAYERS, TrainOptions

PLACES = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), ("qkv_proj", "query_key_value")),
    "o_proj": ("dense",),
    "gate_proj": ("gate_up_proj",),
    "up_proj": ("gate_up_proj", "dense_h_to_4h", "fc1", "c_fc"),
    "down_proj": ("dense_4h_to_h", "fc2", "c_proj"),
}
"""What a layer is called, or fused into, in other families."""
ATTENTION = {"q_proj", "qkv_proj", "query_key_value"}
NEEDLESS = "training_args.bin"  # a pickle, which nobody should load


def place(options: TrainOptions) -> str:
    """The folder's name inside a run."""
    return "model" if options.full else "adapter"


def check(model: Any, options: TrainOptions) -> None:
    """Raise `ModelError` for a layer that the model does not have."""
    if not options.full:
        targets(model, options)


def targets(model: Any, options: TrainOptions) -> list[str]:
    """The layers of a model that get an adapter, under its own names; raises `ModelError` where one is missing.

    Where nobody chose layers, what a family does not have is passed over: the gate of a plain MLP, the MLP of experts.
    """
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    found, missing = list[str](), list[str]()
    for name in options.layers:
        here = next((one for one in (name, *PLACES.get(name, ())) if one in linear), None)
        (missing if here is None else found).append(here or name)
    if missing and (options.layers != LAYERS or not linear & ATTENTION):
        known = [name for name in (*LAYERS, *OTHER_LAYERS) if name in linear]
        raise ModelError(
            f"the base has no layer called {', '.join(missing)}",
            hint=f"choose `--layers` among {', '.join(known)}"
            if known
            else f"`--layers` can name none of its own: choose a base as {base_model.GOOD}",
        )
    return list(dict.fromkeys(found))


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
        target_modules=targets(model, options),
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
