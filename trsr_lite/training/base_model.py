"""The base model: found, identified, loaded, and made ready to be trained.

Invariant: nothing is trained on a base that cannot answer: its tokenizer gives yes and no one token each, its
attention is plain, and its weights are floating-point numbers. A base has an identity that a later step can check.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trsr_lite.engine.interface import Prompt, Tokenizer
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted
from trsr_lite.models import default
from trsr_lite.prompts import fingerprint, templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.training import base_files, memory, tree_attention
from trsr_lite.training.train_options import TrainOptions

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
REMEMBERED = 1 << 16  # texts whose tokens are kept; items come again and again


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


class HfTokenizer:
    """A transformers tokenizer as a `Tokenizer`: token for token what llama.cpp makes of the converted model."""

    def __init__(self, tokenizer: Any, *, chat_template: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.chat_template = chat_template or tokenizer.chat_template
        self.bos, self.eos = (tokenizer.bos_token or "", tokenizer.eos_token or "")
        opening = tokenizer.encode("a", add_special_tokens=True)
        self._opening = opening[:1] if opening[:1] == [tokenizer.bos_token_id] else []
        self._markup = _as_served(tokenizer)
        self._encode = functools.lru_cache(REMEMBERED)(self._tokens)

    @classmethod
    def load(cls, base: Base, *, offline: bool = False) -> HfTokenizer:
        """The tokenizer of a base."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                base.path, local_files_only=offline, trust_remote_code=False, **base.source
            )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{base.name}: its tokenizer cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}"
            ) from error
        found = cls(tokenizer)
        return found._as_in(Path(base.path) / base.gguf, base.name) if base.gguf else found

    def _as_in(self, path: Path, name: str) -> HfTokenizer:
        """The tokenizer itself, if it reads texts as llama.cpp does from the same GGUF.

        transformers leaves out that some vocabularies split numbers into digits (SmolLM2's): that is tried, too.
        """
        from tokenizers.pre_tokenizers import ByteLevel, Digits
        from tokenizers.pre_tokenizers import Sequence as Both

        engine = LlamaEngine(path, identity="", vocab_only=True)
        wanted = fingerprint.tokens(engine)
        engine.close()
        if fingerprint.first_difference(fingerprint.tokens(self), wanted):
            digits = Both([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
            self.tokenizer.backend_tokenizer.pre_tokenizer = digits
            self._encode.cache_clear()
        if text := fingerprint.first_difference(fingerprint.tokens(self), wanted):
            raise ModelError(
                f"{name}: transformers reads {text} from this GGUF differently than llama.cpp",
                hint="train on the original model: a hub id or a folder with safetensors",
            )
        return self

    def encode(self, text: str) -> list[int]:
        """Tokens of outside text; never a special token."""
        return list(self._encode(text))

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; a cut multi-byte character at the end is dropped."""
        text: str = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text.rstrip("\ufffd")

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Tokens of a prompt, with the opening token where the model wants one and the prompt has none."""
        tokens: list[int] = []
        for text, special in prompt:
            tokens += self.tokenizer.encode(text, add_special_tokens=False) if special else self._encode(text)
        if start and self._opening and tokens[:1] != self._opening:
            tokens = [*self._opening, *tokens]
        return tokens

    def _tokens(self, text: str) -> tuple[int, ...]:
        cuts = [0, *(match.start() + 1 for match in self._markup.finditer(text)), len(text)]
        parts = [text[start:end] for start, end in itertools.pairwise(cuts)]
        return tuple(
            token
            for part in parts
            for token in self.tokenizer.encode(part, add_special_tokens=False, split_special_tokens=True)
        )


def _as_served(tokenizer: Any) -> re.Pattern[str]:
    """Let added words be read as llama.cpp will: what outside text is cut before, as `LlamaEngine.encode` cuts it.

    llama.cpp's converter makes control tokens of those that look like some, whatever the tokenizer says: they are
    marked as special here, so that a text that holds one is split. Others that look like markup are cut.
    """
    added = {str(word): word for word in getattr(tokenizer, "added_tokens_decoder", {}).values() if not word.special}
    control = [word for text, word in added.items() if _looks_special(text)]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if control and backend is not None:
        for word in control:
            word.special = True
        backend.add_special_tokens(control)
    markup = [text for text in added if text not in map(str, control) and len(text) > 2 and text[0] in "<[|"]
    pattern = "|".join(map(re.escape, sorted(markup, key=len, reverse=True)))
    return re.compile(f"(?={pattern})" if pattern else "(?!)")


def _looks_special(text: str) -> bool:
    """Whether llama.cpp's converter takes an added word for a control token (`does_token_look_special`)."""
    framed = any(text.startswith(f"<{bar}") and text.endswith(f"{bar}>") for bar in "|\uff5c")
    unused = text.startswith("<unused") and text.endswith(">")
    return framed or unused or text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")


def answer_ids(settings: Settings, tokenizer: Tokenizer, name: str) -> tuple[int, int]:
    """Token ids of (yes, no) after a scoring prompt; raises `ModelError` where they are not one distinct token each."""
    probe = Item("probe", {"title": "A title"})
    plain = settings.updated(attributes=())
    asked = templates.scoring(None, (), [probe], plain, tokenizer)
    try:
        return templates.answer_ids(asked.suffixes[0], tokenizer)
    except SettingsError as error:
        raise ModelError(f"{name}: {error}", hint="choose another base") from error


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
