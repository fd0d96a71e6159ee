"""The base model: found, identified, loaded, and made ready to be trained.

Invariant: nothing is trained on a base whose attention is not plain or whose weights are not floating-point numbers. A
base has an identity that a later step can check.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted
from trsr_lite.models import default
from trsr_lite.training import base_files, memory, tree_attention
from trsr_lite.training.train_options import TrainOptions

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
GOOD = "HuggingFaceTB/SmolLM2-360M-Instruct or Qwen/Qwen3-0.6B"  # what refusals name: they train, convert and serve


@dataclass(frozen=True)
class Base:
    """Where a base model is: a folder, and the GGUF file in it if it is one; a hub id if it is on the hub.

    Attributes
    ----------
    name: as the user wrote it.
    path: a local folder, or the hub id.
    gguf: file name inside `path`, or None.
    revision: hub revision asked for.
    """

    name: str
    path: str
    gguf: str | None = None
    revision: str | None = None

    @property
    def source(self) -> dict[str, Any]:
        """Arguments of `from_pretrained`."""
        return {"gguf_file": self.gguf} if self.gguf else {"revision": self.revision} if self.revision else {}


def locate(name: str, *, revision: str | None = None, offline: bool = False) -> Base:
    """A base from `smollm2`, a `.gguf` file, a local folder or a hub id."""
    path = default.locate(offline=offline) if name == default.NAME else Path(name)
    with granted(path):
        if path.suffix == ".gguf":
            if not path.is_file():
                raise ModelError(f"{path}: there is no such file")
            return Base(name, str(path.parent), path.name)
        if path.is_dir():
            if not (path / "config.json").is_file():
                raise ModelError(f"{path}: not a model: it has no config.json")
            base_files.check(path)
            return Base(name, str(path))
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"{name}: there is no such model", hint="give `smollm2`, a folder, a .gguf file or a hub id")
    return Base(name, name, None, revision)


def identity(base: Base, model: Any) -> dict[str, str]:
    """What `run.json` records of a base: its name, and the digests of its files or its commit on the hub."""
    facts = {"name": base.name, "architecture": type(model).__name__.removeprefix("FSDP")}  # where it is in shards
    if base.gguf:
        return {**facts, "digest": file_digest(Path(base.path) / base.gguf)}
    if (folder := Path(base.path)).is_dir():
        rest = [path for name in ("config.json", *TOKENIZER_FILES) if (path := folder / name).is_file()]
        weights = sorted(folder.glob("*.safetensors"))
        known = {"digest": file_digest(*weights), "configuration": file_digest(*rest)}  # what older runs know
        return {**facts, **known, "files": base_files.digest(folder)}
    return {**facts, "revision": str(model.config._commit_hash)}


def of_run(record: Mapping[str, Any], options: TrainOptions, *, offline: bool) -> Base:
    """Where the base of a run is: of a hub's, the very commit that was trained on, whatever its branch has now."""
    return locate(options.base, revision=record["base"].get("revision") or options.revision, offline=offline)


def check_same(located: Base, model: Any, known: Mapping[str, str]) -> None:
    """Raise `ModelError` where the base is not the one that was trained on; older runs know less of it."""
    found = identity(located, model)
    if name := difference(known, found):
        raise ModelError(
            f"{located.name}: the base has changed since training: {name} is {found.get(name)}, and was {known[name]}",
            hint="get the base of the run, or train again on this one",
        )


def difference(known: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """The first fact of a `known` base that is not so in what was `found`, which may say more; names are no matter."""
    return next((name for name, value in known.items() if name != "name" and found.get(name) != value), None)


def parameters(base: Base, *, offline: bool = False) -> int:
    """Number of weights, by the configuration alone."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base.path, local_files_only=offline, trust_remote_code=False, **base.source)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False, attn_implementation="eager")
    return sum(parameter.numel() for parameter in model.parameters())


def load(base: Base, dtype: torch.dtype, *, offline: bool = False, four_bit: bool = False, shards: int = 1) -> Any:
    """The model, on the CPU unless 4-bit, with tree attention and a float32 head.

    In several `shards` each of so many processes, which all call this, reads its own part onto its own device, and
    none of it can be trained: that is for what is attached to it.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig
    from transformers.distributed.configuration_utils import DistributedConfig

    tree_attention.register()
    extra = dict(base.source)
    if base.gguf:
        extra["quantization_config"] = GgufConfig(dequantize=True)
    if four_bit:
        extra["quantization_config"] = _four_bit(dtype)
    if shards > 1:
        extra["distributed_config"] = DistributedConfig(fsdp_size=shards)
    where = {"local_files_only": offline, "trust_remote_code": False}
    try:
        if not base.gguf:
            _refuse_quantized(base, AutoConfig.from_pretrained(base.path, **where, **base.source))
        model = AutoModelForCausalLM.from_pretrained(
            base.path,
            dtype=dtype,
            attn_implementation=tree_attention.NAME,
            use_safetensors=None if base.gguf else True,
            **where,
            **extra,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if memory.ran_out(error):
            raise
        if tree_attention.NAME in str(error):
            raise ModelError(
                f"{base.name}: the attention layers of its architecture cannot take rows of candidates",
                hint=f"choose a base as {GOOD}",
            ) from error
        raise ModelError(
            f"{base.name}: cannot be loaded as a base: {(str(error) or repr(error)).splitlines()[0]}",
            hint="a base is a causal language model with safetensors or GGUF weights that transformers knows",
        ) from error
    head: Any = model.get_output_embeddings()
    if getattr(type(head), "forward", None) is not torch.nn.Linear.forward or head.bias is not None:
        raise ModelError(f"{base.name}: a {type(model).__name__} has an output layer that cannot be trained here")
    plain = type(head) is torch.nn.Linear  # or FSDP has made it a class of its own
    head.__class__ = Float32Head if plain else type(Float32Head.__name__, (Float32Head, type(head)), {})
    model.config.use_cache = False
    if shards > 1:
        model.requires_grad_(False)  # before a pass, which would gather parts that want gradients
    return model


class Float32Head(torch.nn.Linear):
    """The output layer, computed in float32: a bfloat16 margin would have steps of up to 0.1."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """(…, width) -> (…, vocabulary), float32."""
        with torch.autocast(states.device.type, enabled=False):
            return torch.nn.functional.linear(states.float(), self.weight.float())


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it at speed, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float32  # not emulated
    if device.type == "cpu":
        fast = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return torch.bfloat16 if fast.get("avx512_bf16") or fast.get("amx_bf16") else torch.float32
    return torch.float32


def _refuse_quantized(base: Base, config: Any) -> None:
    """Before loading, because transformers would ask for another package, or silently undo it."""
    if getattr(config, "quantization_config", None) is not None:
        raise ModelError(
            f"{base.name}: its weights are quantized, which cannot be merged later",
            hint="give the unquantized model; `--four-bit` quantizes it while training",
        )


def _four_bit(dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise SettingsError("a 4-bit base needs bitsandbytes", hint="pip install bitsandbytes")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
