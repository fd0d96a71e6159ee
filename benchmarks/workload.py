"""What scoring is compared with: llama.cpp's own prefill, and how a user of llama-cpp-python would rank candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np

from trsr_lite.engine import model
from trsr_lite.engine.llama import BATCH


class RawPrefill:
    """llama.cpp's own prefill of so many tokens: one sequence, a batch of 512 at a time."""

    def __init__(self, path: Path, tokens: Sequence[int], threads: int) -> None:
        self._model, self._abort, self._tokens = model.NativeModel(path), model.AbortFlag(model.library()), tokens
        self._context = self._model.context(
            cells=-(-len(tokens) // 256) * 256,
            sequences=1,
            batch=BATCH,
            threads=threads,
            flash=True,
            abort=self._abort,
        )

    def __call__(self) -> None:
        """Decode them, and read a logit so that all of it is computed."""
        self._context.clear()
        for start in range(0, len(self._tokens), BATCH):
            part = self._tokens[start : start + BATCH]
            self._context.decode(part, range(start, start + len(part)), 0, [len(part) - 1])
        self._context.logits(len(part) - 1)[0]


class HighLevel:
    """The best loop that the `Llama` class allows: rewind to the prefix, one candidate at a time."""

    def __init__(self, path: Path, threads: int) -> None:
        self._llama = llama_cpp.Llama(
            str(path), n_ctx=1024, n_threads=threads, n_threads_batch=threads, flash_attn=True, verbose=False
        )

    def margins(self, prefix: list[int], suffixes: list[list[int]], answers: tuple[int, int]) -> list[float]:
        """logit(yes) − logit(no) of each candidate."""
        llama, found = self._llama, []
        llama.reset()
        llama.eval(prefix)
        for suffix in suffixes:
            llama.n_tokens = len(prefix)
            llama.eval(suffix)
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llama.ctx, -1), (llama.n_vocab(),))
            found.append(float(logits[answers[0]] - logits[answers[1]]))
        return found
