"""Models of llama.cpp: their weights, vocabularies and adapters, and what they need of memory.

Invariant: every failure leaves here as a `ModelError` that names the file, but for what the system refuses to write.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trsr_lite.engine import headers
from trsr_lite.engine.context import AbortFlag as AbortFlag
from trsr_lite.engine.context import Context
from trsr_lite.engine.interface import FILE_TYPES, OnProgress
from trsr_lite.engine.library import check_process, give_back, heard, interrupts_wait, raise_heard, reason
from trsr_lite.engine.library import library as library
from trsr_lite.engine.library import offloads as offloads
from trsr_lite.engine.library import system_info as system_info
from trsr_lite.engine.library import version as version
from trsr_lite.errors import Closed, ModelError

AMX = "AMX_INT8 = 1"  # in llama.cpp's line on its CPU features
GGUF_MAGIC = b"GGUF"
UNTRUSTED_ATTRIBUTES = 8 | 16  # LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED


def _load_callback(lib: Any, on_load: OnProgress | None, interrupted: Callable[[], bool]) -> Any:
    """Told by llama.cpp of each tensor; what `on_load` raises ends the loading, and is raised when the call returns."""

    def report(fraction: float, _user_data: Any) -> bool:
        try:
            if on_load:
                on_load(round(fraction * 1000), 1000)
        except BaseException as error:  # noqa: BLE001 - cannot pass through C
            heard.raised.append(error)
        return not heard.raised and not interrupted()

    return lib.llama_progress_callback(report)


def check_gguf(path: Path) -> None:
    """Raise `ModelError` unless `path` is a readable file that begins as a GGUF does; `headers.check` looks further."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such model", hint="`smollm2` is the embedded default") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if magic != GGUF_MAGIC:
        raise ModelError(f"{path}: not a GGUF file", hint="make one with llama.cpp's convert_hf_to_gguf.py")


def quantize(source: Path, target: Path, file_type: str, threads: int) -> None:
    """Write `source` again with another tensor type; requantizing is allowed, the caller knows what is lost.

    Raises `OSError` where `target` cannot be written, and `ModelError` where `source` cannot be read.
    """
    lib = library()
    _append(target, b"")  # llama.cpp says only that something failed
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = FILE_TYPES[file_type], True, threads
    heard.errors.clear()
    with interrupts_wait():
        failed = lib.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    raise_heard()
    if failed:
        _append(target, bytes(1 << 20))  # on a full disk the system names the target
        raise ModelError(f"{source}: cannot be written as {file_type}: {reason()}")


def _append(target: Path, content: bytes) -> None:
    """Add to a file; raises what the system says where it cannot be."""
    try:
        with target.open("ab") as file:
            file.write(content)
    except OSError as error:
        error.filename = str(target)  # one while writing names no file
        raise


def _encoder(path: Path) -> ModelError:
    return ModelError(f"{path}: an encoder model; a decoder-only language model is needed")


class NativeModel:
    """A GGUF file in memory and its vocabulary; `vocab_only` loads no weights, `sound` says that the file was tried.

    Several engines may `share` one; it is freed when the last of them has closed it.
    """

    def __init__(
        self,
        path: Path,
        *,
        gpu_layers: int | None = None,
        vocab_only: bool = False,
        sound: bool = False,
        on_load: OnProgress | None = None,
    ) -> None:
        check_gguf(path)
        if not sound:
            headers.check(path)
        if not vocab_only:
            check_process()
        self._users, self._path, self._counting = 1, path, threading.Lock()
        self._lib = lib = library()
        params = lib.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = (-1 if offloads() else 0) if gpu_layers is None else gpu_layers
        # AMX comes with these buffers. GCC 12 drops most of its tile configuration, and torch's oneDNN sets
        # another one for the same thread: either way the process dies of an illegal instruction.
        params.use_extra_bufts = AMX not in system_info()
        params.check_tensors = not sound
        heard.errors.clear()
        self._handle = None
        try:
            with interrupts_wait() as interrupted:
                watch = _load_callback(lib, on_load, interrupted)  # in a name: C holds no reference
                params.progress_callback = watch
                self._handle = lib.llama_model_load_from_file(str(path).encode(), params)
            raise_heard()
        except BaseException:
            if self._handle:  # the last report came when all was loaded
                lib.llama_model_free(self._handle)
            raise
        if not self._handle:
            raise ModelError(
                f"{path}: llama.cpp cannot load it: {reason()}",
                hint="check that the file is complete, or lower `--gpu-layers` if the GPU is full",
            )
        if not vocab_only and lib.llama_model_has_encoder(self._handle):
            self.close()
            raise _encoder(path)
        self._vocab = lib.llama_model_get_vocab(self._handle)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.context_length: int = lib.llama_model_n_ctx_train(self._handle) or 4096
        self.adds_bos = bool(lib.llama_vocab_get_add_bos(self._vocab))
        self.bos_token: int = lib.llama_vocab_bos(self._vocab)
        self.eos_token: int = lib.llama_vocab_eos(self._vocab)
        template = lib.llama_model_chat_template(self._handle, None)
        self.chat_template: str | None = template.decode() if template else None

    @property
    def in_memory(self) -> bool:
        """Whether it was not freed yet."""
        return bool(self._handle)

    def share(self) -> NativeModel:
        """The same model for one more user, who must close it too."""
        with self._counting:
            if not self._handle:
                raise Closed("the model was closed")
            self._users += 1
        return self

    def adapter(self, path: Path) -> Any:
        """A LoRA adapter for contexts of this model, freed with it; raises `ModelError` where it does not fit."""
        check_gguf(path)
        headers.check(path, adapter=True)
        heard.errors.clear()
        handle = self._lib.llama_adapter_lora_init(self._handle, str(path).encode())
        raise_heard()
        if not handle:
            raise ModelError(
                f"{path}: llama.cpp cannot load this adapter: {reason()}", hint="it must belong to the base beside it"
            )
        return handle

    @property
    def can_rewind(self) -> bool:
        """Whether tokens can be taken back from its memory: not for recurrent or hybrid models."""
        lib, handle = self._lib, self._handle
        return not (lib.llama_model_is_recurrent(handle) or lib.llama_model_is_hybrid(handle))

    @property
    def slides(self) -> bool:
        """Whether some layers see only the last tokens: what a kept state has of them is no more than these."""
        return bool(self._lib.llama_model_n_swa(self._handle))

    def describe(self) -> dict[str, Any]:
        """Architecture line, parameters, and bytes of the tensors."""
        lib, buffer = self._lib, ctypes.create_string_buffer(256)
        lib.llama_model_desc(self._handle, buffer, len(buffer))
        return {
            "description": buffer.value.decode(errors="replace"),
            "parameters": int(lib.llama_model_n_params(self._handle)),
            "bytes": int(lib.llama_model_size(self._handle)),
            "context_length": self.context_length,
            "chat_template": self.chat_template is not None,
        }

    def context_bytes(self, *, sequences: int, batch: int, flash: bool) -> tuple[int, int]:
        """About what a context takes: fixed bytes for logits and intermediate results, and bytes for each cell.

        A cell holds keys and values in 16 bits, and a column of the attention mask; without flash attention also of
        every head's scores. The memory of recurrent layers, which does not grow, is left out.
        """
        lib, handle = self._lib, self._handle
        width, heads = lib.llama_model_n_embd(handle), max(lib.llama_model_n_head(handle), 1)
        head = self._number("attention.key_length") or width // heads
        keys = 2 * 2 * lib.llama_model_n_layer(handle) * lib.llama_model_n_head_kv(handle) * head
        inner = self._number("feed_forward_length") or 4 * width
        fixed = 2 * 4 * sequences * self.vocab_size + 4 * batch * (2 * inner + 4 * width)
        return fixed, keys + (2 * batch if flash else 4 * batch * (heads + 1))

    def _number(self, name: str) -> int | None:
        """A number of the GGUF's metadata, under the name of its architecture."""
        values: list[str] = []
        for key in ("general.architecture", name):
            buffer = ctypes.create_string_buffer(128)
            full = key if not values else f"{values[0]}.{key}"
            if self._lib.llama_model_meta_val_str(self._handle, full.encode(), buffer, len(buffer)) < 0:
                return None
            values.append(buffer.value.decode())
        return int(values[1]) if values[1].isdigit() else None

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text, without an opening token; control tokens only where `special`."""
        raw = text.encode()
        buffer = (ctypes.c_int32 * (len(raw) + 8))()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), buffer, len(buffer), False, special)
        if count < 0:
            raise ModelError(f"llama.cpp cannot tokenize a text of {len(raw)} bytes")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes a token stands for; control tokens are empty unless `special`."""
        buffer = ctypes.create_string_buffer(64)
        length = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        return bytes(buffer.raw[:length])

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """The bytes that text tokens stand for, as the tokenizer would have read them."""
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        buffer = ctypes.create_string_buffer(16 * len(tokens) + 16)
        args = (self._vocab, array, len(tokens))
        length = self._lib.llama_detokenize(*args, buffer, len(buffer), False, False)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = self._lib.llama_detokenize(*args, buffer, len(buffer), False, False)
        return bytes(buffer.raw[: max(length, 0)])

    def ends_generation(self, token: int) -> bool:
        """Whether the model means to stop with this token."""
        return bool(self._lib.llama_vocab_is_eog(self._vocab, token))

    @functools.cached_property
    def user_defined(self) -> tuple[str, ...]:
        """Texts of user-defined tokens that look like markup.

        llama.cpp matches these in any text, even where special tokens are off (`tokenizer_st_partition`).
        """
        lib = self._lib
        texts = (
            self.piece(token, special=True).decode(errors="replace")
            for token in range(self.vocab_size)
            if lib.llama_vocab_get_attr(self._vocab, token) & UNTRUSTED_ATTRIBUTES
            and not lib.llama_vocab_is_control(self._vocab, token)
        )
        return tuple(sorted((text for text in texts if len(text) > 2 and text[0] in "<[|"), key=len, reverse=True))

    def context(self, **shape: Any) -> Context:
        """A context on this model; see `Context`."""
        context = Context(self._lib, self._handle, self.vocab_size, **shape)
        if not context.can_decode:
            context.close()
            raise _encoder(self._path)
        return context

    def close(self) -> None:
        """Give the model back; the last user frees it. Contexts must be closed before."""
        with self._counting:
            self._users -= 1
            if not self._handle or self._users > 0:
                return
            self._lib.llama_model_free(self._handle)
            self._handle = None
        give_back()
