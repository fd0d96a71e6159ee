"""KV memory and batches: one context on a model, and the flag that stops it.

Invariant: filling a batch costs no Python loop. A stop is noticed between two nodes of the computation, without Python
and without the GIL.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.library import computes, heard, interrupts_wait, raise_heard, reason
from trsr_lite.errors import ModelError

ABORTED = 2


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
        params.swa_full = True  # layers with a sliding window keep all cells, so that a prefix can be shared
        heard.errors.clear()
        self._lib, self._vocab_size, self._abort = lib, vocab_size, abort
        self.cells, self.sequences, self.batch, self.flash = cells, sequences, batch, flash
        self._handle = None
        try:
            with interrupts_wait():
                self._handle = lib.llama_init_from_model(model, params)
            raise_heard()
            if not self._handle:
                raise ModelError(
                    f"llama.cpp cannot make a context of {cells} tokens: {reason()}",
                    hint=f"set `ctx_size` to {cells // 2} or less, or use a smaller model",
                )
            self._memory = lib.llama_get_memory(self._handle)
            lib.llama_set_abort_callback(self._handle, abort.callback, abort.data)
            self._allocate(batch)
            if adapter is not None:
                self._adapt(adapter)
        except BaseException:
            self.close()
            raise

    @property
    def can_decode(self) -> bool:
        """Whether there is a memory to decode with: BERT and its kin have none, and their logits are never computed."""
        return bool(self._memory)

    def _adapt(self, adapter: Any) -> None:
        adapters, scales = (type(adapter) * 1)(adapter), (ctypes.c_float * 1)(1.0)
        if self._lib.llama_set_adapters_lora(self._handle, adapters, 1, scales):
            raise ModelError(f"llama.cpp cannot use the adapter: {reason()}")

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
        computes()
        heard.errors.clear()
        status = self._lib.llama_decode(self._handle, self._batch)
        raise_heard()
        if status == ABORTED or self._abort.is_set():
            return False
        if status:
            raise ModelError(f"llama.cpp cannot evaluate a batch of {count} tokens (status {status}): {reason()}")
        return True

    def compute_with(self, threads: int) -> None:
        """Use so many threads from now on."""
        self._lib.llama_set_n_threads(self._handle, threads, threads)

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Logits after batch entry `index`: (vocabulary,) float32, a view that the next decode overwrites.

        Raises `ModelError` where they are no numbers: what they would choose is no text, and no rank.
        """
        logits = np.ctypeslib.as_array(self._lib.llama_get_logits_ith(self._handle, index), (self._vocab_size,))
        if not np.isfinite(logits.max()):
            raise ModelError("the model's logits are not finite", hint="the file may be damaged or its type too small")
        return logits

    def copy(self, source: int, target: int) -> None:
        """Let sequence `target` see all of `source`'s memory; nothing is copied in a unified cache."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def forget(self, sequence: int, start: int = -1) -> None:
        """Drop a sequence's memory from position `start` on; -1 drops all of it."""
        self._lib.llama_memory_seq_rm(self._memory, sequence, start, -1)

    def stored_bytes(self, sequence: int) -> int:
        """Bytes that a sequence's memory takes: its keys and values, or its recurrent state."""
        return int(self._lib.llama_state_seq_get_size(self._handle, sequence))

    def state(self, sequence: int) -> npt.NDArray[np.uint8]:
        """What is remembered of a sequence: (bytes,) uint8, for `restore` of any context of this model and kind."""
        size = self.stored_bytes(sequence)
        found = np.empty(size, np.uint8)
        pointer = found.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        written = self._lib.llama_state_seq_get_data(self._handle, pointer, size, sequence)
        return found[:written]

    def restore(self, sequence: int, state: npt.NDArray[np.uint8]) -> bool:
        """Let a sequence be what `state` said; False where there is no room for it, and the sequence stays empty."""
        heard.errors.clear()
        pointer = state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        if self._lib.llama_state_seq_set_data(self._handle, pointer, state.nbytes, sequence) == state.nbytes:
            return True
        self.forget(sequence)
        return False

    def clear(self) -> None:
        """Drop every sequence."""
        self._lib.llama_memory_clear(self._memory, False)

    def close(self) -> None:
        """Free memory and buffers."""
        if self._handle:
            self._lib.llama_free(self._handle)
            self._handle = None
