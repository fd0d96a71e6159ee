"""The binding to llama.cpp: models, contexts and batches, and the only module that imports `llama_cpp`.

Invariant: every C call is here, every failure leaves here as a `ModelError`, and llama.cpp's log goes to
`logging.getLogger("trsr_lite.llama")`. llama.cpp renames its API often, so the names in use are checked when loading.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.base import OnProgress
from trsr_lite.engine.file_types import FILE_TYPES
from trsr_lite.engine.threads import short_spin
from trsr_lite.errors import Closed, ModelError

logger = logging.getLogger("trsr_lite.llama")

GGUF_MAGIC = b"GGUF"
SYMBOLS = (
    "llama_decode", "llama_get_logits_ith", "llama_get_memory", "llama_memory_clear", "llama_memory_seq_cp",
    "llama_memory_seq_rm", "llama_model_load_from_file", "llama_init_from_model", "llama_model_quantize",
    "llama_set_abort_callback", "llama_adapter_lora_init", "llama_set_adapters_lora", "llama_state_seq_get_size",
    "llama_model_n_swa", "llama_model_is_hybrid", "llama_model_is_recurrent",
)  # fmt: skip
LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}  # ggml_log_level
ABORTED = 2
UNTRUSTED_ATTRIBUTES = 8 | 16  # LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED


class _Heard(threading.local):
    """What llama.cpp said during a call, which it says in the calling thread: two models never mix their errors."""

    def __init__(self) -> None:
        self.level = logging.DEBUG
        self.errors: deque[str] = deque(maxlen=4)
        self.raised: list[BaseException] = []


_heard = _Heard()


@functools.cache
def library() -> Any:
    """The `llama_cpp` package, loaded once: short spinning, checked names, log routed."""
    with short_spin():
        try:
            import llama_cpp
        except ImportError as error:
            raise ModelError(
                f"llama-cpp-python is not installed: {error}",
                hint="install it with `pip install llama-cpp-python`",
            ) from error
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"llama-cpp-python cannot load its library: {error}",
                hint="reinstall it with `pip install --force-reinstall --no-cache-dir llama-cpp-python`",
            ) from error
    missing = [name for name in SYMBOLS if not hasattr(llama_cpp, name)]
    if missing:
        raise ModelError(
            f"llama-cpp-python {llama_cpp.__version__} lacks {', '.join(missing)}",
            hint="install the version that trsr-lite names in its requirements",
        )
    llama_cpp.llama_log_set(_log_callback(llama_cpp), ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


@functools.cache
def _log_callback(lib: Any) -> Any:
    def log(level: int, text: bytes, _user_data: Any) -> None:
        try:
            _heard.level = LEVELS.get(level, _heard.level)  # level 5 continues the line before
            if _heard.level >= logging.ERROR:
                _heard.errors.append(text.decode(errors="replace").strip())
            if logger.isEnabledFor(_heard.level):
                logger.log(_heard.level, "%s", text.decode(errors="replace").rstrip())
        except KeyboardInterrupt as interrupt:  # cannot pass through C: raised again when the call returns
            _heard.raised.append(interrupt)

    return lib.llama_log_callback(log)


def _load_callback(lib: Any, on_load: OnProgress) -> Any:
    """Told by llama.cpp of each tensor; what `on_load` raises ends the loading, and is raised when the call returns."""

    def report(fraction: float, _user_data: Any) -> bool:
        try:
            on_load(round(fraction * 1000), 1000)
        except BaseException as error:  # noqa: BLE001 - cannot pass through C
            _heard.raised.append(error)
        return not _heard.raised

    return lib.llama_progress_callback(report)


def version() -> str:
    """Version of llama-cpp-python."""
    return str(library().__version__)


def offloads() -> bool:
    """Whether this build of llama.cpp can put layers on a GPU (Metal, CUDA, …)."""
    return bool(library().llama_supports_gpu_offload())


def system_info() -> str:
    """llama.cpp's own line on the CPU features it was built with."""
    return str(library().llama_print_system_info().decode())


def check_gguf(path: Path) -> None:
    """Raise `ModelError` unless `path` is a readable file that begins as a GGUF does."""
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
    """Write `source` again with another tensor type; requantizing is allowed, the caller knows what is lost."""
    lib = library()
    params = lib.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = FILE_TYPES[file_type], True, threads
    _heard.errors.clear()
    failed = lib.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    _raise()
    if failed:
        raise ModelError(f"{source}: cannot be written as {file_type}: {_reason()}")


def _raise() -> None:
    """Raise what a callback could not raise through C."""
    if _heard.raised:
        error, _heard.raised = _heard.raised[0], []
        raise error


def _reason() -> str:
    return "; ".join(error for error in _heard.errors if error) or "llama.cpp gives no reason"


class AbortFlag:
    """A flag that llama.cpp polls between graph nodes, without Python and without the GIL.

    The callback is C's `strlen` on a two-byte buffer: 0 while the first byte is 0, else 1. A Python callback would take
    the GIL some hundred times a token and could not raise.
    """

    def __init__(self, lib: Any) -> None:
        libc = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
        self._bytes = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(libc.strlen, lib.ggml_abort_callback)
        self.data = ctypes.cast(self._bytes, ctypes.c_void_p)

    def set(self) -> None:
        """Ask running work to stop."""
        self._bytes[0] = b"\x01"

    def clear(self) -> None:
        """Allow work again."""
        self._bytes[0] = b"\x00"

    def is_set(self) -> bool:
        """Whether work was asked to stop."""
        return self._bytes[0] != b"\x00"


class Model:
    """A GGUF file in memory and its vocabulary; `vocab_only` loads no weights.

    Several engines may `share` one; it is freed when the last of them has closed it.
    """

    def __init__(
        self,
        path: Path,
        *,
        gpu_layers: int | None = None,
        vocab_only: bool = False,
        on_load: OnProgress | None = None,
    ) -> None:
        check_gguf(path)
        self._lib = lib = library()
        params = lib.llama_model_default_params()
        params.vocab_only = vocab_only
        params.n_gpu_layers = (-1 if offloads() else 0) if gpu_layers is None else gpu_layers
        if on_load:
            params.progress_callback = watch = _load_callback(lib, on_load)  # noqa: F841 - C holds no reference
        _heard.errors.clear()
        self._handle = lib.llama_model_load_from_file(str(path).encode(), params)
        try:
            _raise()
        except BaseException:
            if self._handle:  # the last report came when all was loaded
                lib.llama_model_free(self._handle)
            raise
        if not self._handle:
            raise ModelError(
                f"{path}: llama.cpp cannot load it: {_reason()}",
                hint="check that the file is complete, or lower `--gpu-layers` if the GPU is full",
            )
        if not vocab_only and lib.llama_model_has_encoder(self._handle):
            self.close()
            raise ModelError(f"{path}: an encoder model; a decoder-only language model is needed")
        self._vocab = lib.llama_model_get_vocab(self._handle)
        self.vocab_size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.context_length: int = lib.llama_model_n_ctx_train(self._handle) or 4096
        self.adds_bos = bool(lib.llama_vocab_get_add_bos(self._vocab))
        self.bos_token: int = lib.llama_vocab_bos(self._vocab)
        self.eos_token: int = lib.llama_vocab_eos(self._vocab)
        template = lib.llama_model_chat_template(self._handle, None)
        self.chat_template: str | None = template.decode() if template else None
        self._users = 1

    @property
    def in_memory(self) -> bool:
        """Whether it was not freed yet."""
        return bool(self._handle)

    def share(self) -> Model:
        """The same model for one more user, who must close it too."""
        if not self._handle:
            raise Closed("the model was closed")
        self._users += 1
        return self

    def adapter(self, path: Path) -> Any:
        """A LoRA adapter for contexts of this model, freed with it; raises `ModelError` where it does not fit."""
        check_gguf(path)
        _heard.errors.clear()
        handle = self._lib.llama_adapter_lora_init(self._handle, str(path).encode())
        _raise()
        if not handle:
            raise ModelError(
                f"{path}: llama.cpp cannot load this adapter: {_reason()}", hint="it must belong to the base beside it"
            )
        return handle

    @property
    def can_rewind(self) -> bool:
        """Whether tokens can be taken back from its memory: not for recurrent, hybrid or sliding-window models."""
        lib, handle = self._lib, self._handle
        stateful = lib.llama_model_is_recurrent(handle) or lib.llama_model_is_hybrid(handle)
        return not stateful and lib.llama_model_n_swa(handle) == 0

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
        return Context(self._lib, self._handle, self.vocab_size, **shape)

    def close(self) -> None:
        """Give the model back; the last user frees it. Contexts must be closed before."""
        self._users -= 1
        if self._handle and self._users <= 0:
            self._lib.llama_model_free(self._handle)
            self._handle = None


class Context:
    """KV memory for `cells` tokens shared by `sequences` sequences, and one reusable batch over numpy views.

    `decode` takes parallel arrays: token, position and sequence of each entry, and the entries whose logits are wanted.
    """

    def __init__(
        self,
        lib: Any,
        model: Any,
        vocab_size: int,
        *,
        cells: int,
        sequences: int,
        batch: int,
        threads: int,
        flash: bool,
        abort: AbortFlag,
        adapter: Any = None,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = cells, batch, batch
        params.n_seq_max = params.n_outputs_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = int(flash)
        params.kv_unified = params.no_perf = True
        _heard.errors.clear()
        self._lib, self._vocab_size, self._abort = lib, vocab_size, abort
        self._handle = lib.llama_init_from_model(model, params)
        _raise()
        if not self._handle:
            raise ModelError(
                f"llama.cpp cannot make a context of {cells} tokens: {_reason()}",
                hint=f"use `--ctx-size {cells // 2}` or less, or a smaller model",
            )
        self.cells, self.sequences, self.batch, self.flash = cells, sequences, batch, flash
        self._memory = lib.llama_get_memory(self._handle)
        lib.llama_set_abort_callback(self._handle, abort.callback, abort.data)
        self._allocate(batch)
        if adapter is not None:
            adapters, scales = (type(adapter) * 1)(adapter), (ctypes.c_float * 1)(1.0)
            if lib.llama_set_adapters_lora(self._handle, adapters, 1, scales):
                raise ModelError(f"llama.cpp cannot use the adapter: {_reason()}")

    def _allocate(self, size: int) -> None:
        """One llama_batch whose arrays are numpy's: filling it costs no Python loop."""
        lib = self._lib
        self._token, self._position, self._sequence = (np.zeros(size, dtype=np.int32) for _ in range(3))
        self._count, self._wanted = np.ones(size, dtype=np.int32), np.zeros(size, dtype=np.int8)
        self._pointers = self._sequence.ctypes.data + 4 * np.arange(size, dtype=np.uintp)

        def pointer(array: npt.NDArray[Any], kind: Any) -> Any:
            return ctypes.cast(array.ctypes.data, ctypes.POINTER(kind))

        self._batch = lib.llama_batch(
            n_tokens=0,
            token=pointer(self._token, lib.llama_token),
            embd=None,
            pos=pointer(self._position, lib.llama_pos),
            n_seq_id=pointer(self._count, ctypes.c_int32),
            seq_id=ctypes.cast(self._pointers.ctypes.data, ctypes.POINTER(ctypes.POINTER(lib.llama_seq_id))),
            logits=pointer(self._wanted, ctypes.c_int8),
        )

    def decode(
        self,
        tokens: Sequence[int],
        positions: Sequence[int] | npt.NDArray[np.int32],
        sequences: int | Sequence[int] | npt.NDArray[np.int32],
        wanted: Iterable[int] = (),
    ) -> bool:
        """Evaluate up to `batch` tokens; False if aborted."""
        count = len(tokens)
        self._token[:count], self._position[:count], self._sequence[:count] = tokens, positions, sequences
        self._wanted[:count] = 0
        self._wanted[list(wanted)] = 1
        self._batch.n_tokens = count
        _heard.errors.clear()
        status = self._lib.llama_decode(self._handle, self._batch)
        _raise()
        if status == ABORTED or self._abort.is_set():
            return False
        if status:
            raise ModelError(f"llama.cpp cannot evaluate a batch of {count} tokens (status {status}): {_reason()}")
        return True

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Logits after batch entry `index`: (vocabulary,) float32, a view that the next decode overwrites."""
        return np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._handle, index), (self._vocab_size,))

    def copy(self, source: int, target: int) -> None:
        """Let sequence `target` see all of `source`'s memory; nothing is copied in a unified cache."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int, start: int = -1) -> None:
        """Drop a sequence's memory from position `start` on; -1 drops all of it."""
        self._lib.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def stored_bytes(self, sequence: int) -> int:
        """Bytes that a sequence's memory takes: its keys and values, or its recurrent state."""
        return int(self._lib.llama_state_seq_get_size(self._handle, sequence))

    def clear(self) -> None:
        """Drop every sequence."""
        self._lib.llama_memory_clear(self._memory, False)

    def close(self) -> None:
        """Free memory and buffers."""
        if self._handle:
            self._lib.llama_free(self._handle)
            self._handle = None
