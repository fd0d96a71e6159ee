"""The engine on llama.cpp: batched greedy generation and yes/no margins over parallel sequences.

Invariant: a prefix that several prompts share is evaluated once, and only the logits that are read are computed. The
candidates of a ranking are decoded in batches of about `BATCH` tokens, and forgotten before the next batch, so that
attention never spans more than the prefix and one batch. Prefixes of earlier calls are kept, and a call evaluates from
the first token that differs.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, takewhile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine import model as native
from trsr_lite.engine.context import AbortFlag, Context
from trsr_lite.engine.generation import Generation
from trsr_lite.engine.interface import EngineOptions, Margin, OnProgress, Prompt
from trsr_lite.engine.load import Load
from trsr_lite.engine.logits import chunks, exact_share, margin
from trsr_lite.engine.masks import Grammar
from trsr_lite.engine.prefixes import KEPT_BYTES, Prefixes
from trsr_lite.engine.threads import default_threads
from trsr_lite.engine.turns import Turns
from trsr_lite.errors import Cancelled, Closed, ModelError

logger = logging.getLogger(__name__)

BATCH = 512
SEQUENCES = 65  # one for the shared prefix; 64 candidates of 8 tokens fill a batch
PARALLEL = 16  # texts generated at once
STATEFUL_PARALLEL = 4  # a recurrent state is held for each sequence, used or not
TEXTS = 8192  # whose tokens are remembered: the same items come again and again in a living process
CELLS = 4096  # most KV cells for parallel generation, unless one sequence needs more; twice as many gain nothing
ROUND = 256  # llama.cpp pads the KV cache to this


class LlamaEngine:
    """An `Engine` on one GGUF file, and a LoRA `adapter` for it at full scale where one is given.

    `identity` is the content hash of both, which the caller knows. `beside` is an engine on the same file, whose
    weights in memory are shared. `sound` says that the file was tried (`models/soundness.py`). `on_load(done, total)`
    hears how far loading is, and ends it by raising. At most `keep` bytes of earlier prefixes stay; with 0 each call
    evaluates its own anew, as whoever measures wants. Work in the `background` lets that of other processes go first.
    """

    def __init__(
        self,
        path: Path,
        *,
        identity: str,
        options: EngineOptions | None = None,
        vocab_only: bool = False,
        sound: bool = False,
        adapter: Path | None = None,
        beside: LlamaEngine | None = None,
        on_load: OnProgress | None = None,
        keep: int = KEPT_BYTES,
        background: bool = False,
    ) -> None:
        self.identity = identity
        self.options = options or EngineOptions()
        self._cores = default_threads()
        self.threads = self.options.threads or self._cores
        self._load = Load(self.threads, fixed=self.options.threads is not None)
        self._turns = Turns(background=background) if self._fills(self.threads) else None
        self.room: int | None = None
        self.evaluated = 0
        self._prefixes, self._keep = Prefixes(), keep
        self._lock = threading.RLock()
        self._worker: int | None = None  # the thread of the running call
        self._model: native.NativeModel = _shared(beside) or native.NativeModel(
            path, gpu_layers=self.options.gpu_layers, vocab_only=vocab_only, sound=sound, on_load=on_load
        )
        try:
            self._adapter = self._model.adapter(adapter) if adapter and not vocab_only else None
        except BaseException:
            self._model.close()
            raise
        self._abort = AbortFlag(native.library())
        self._context: Context | None = None
        self._closed = self._freed = False
        self.chat_template = self._model.chat_template
        self.bos = self._special(self._model.bos_token)
        self.eos = self._special(self._model.eos_token)
        self.context_size = min(self.options.ctx_size or self._model.context_length, self._model.context_length)
        self.can_rewind = vocab_only or self._model.can_rewind
        if not vocab_only and self._model.slides:
            self._keep = 0
        markup = "|".join(re.escape(text) for text in self._model.user_defined)
        self._markup = re.compile(
            f"(?={markup})" if markup else "(?!)"
        )  # looks ahead: markup may overlap; else nothing
        self._encoded = functools.lru_cache(TEXTS)(self._encode)
        if not self.can_rewind:
            logger.warning("%s cannot rewind its memory: every prompt is evaluated whole, which is slower", path.name)

    @property
    def in_memory(self) -> bool:
        """Whether the weights are there to be shared, by this engine or by another one beside it."""
        return self._model.in_memory

    @property
    def arithmetic(self) -> str:
        """What decides the bits of a margin beside weights and tokens."""
        layers = (-1 if self.options.gpu_layers is None else self.options.gpu_layers) if native.offloads() else 0
        return f"llama-cpp-python {native.version()}, {native.system_info()}, {layers} layers on a GPU"

    # Text and tokens

    def encode(self, text: str) -> list[int]:
        """Tokens of outside text; never a control or user-defined token."""
        with self._alive():
            return list(self._encoded(text))

    def _encode(self, text: str) -> tuple[int, ...]:
        with self._alive() as model:
            cuts = [0, *(match.start() + 1 for match in self._markup.finditer(text)), len(text)]
            parts = (model.tokenize(text[start:end], special=False) for start, end in pairwise(cuts))
            return tuple(token for part in parts for token in part)

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of tokens; a cut multi-byte character at the end is dropped."""
        with self._alive() as model:
            return model.detokenize(tokens).decode(errors="ignore")

    def tokenize(self, prompt: Prompt, *, start: bool = True) -> list[int]:
        """Tokens of a prompt; its start gets the model's BOS where the model wants one and the prompt has none."""
        with self._alive() as model:
            tokens: list[int] = []
            for text, special in prompt:
                tokens += model.tokenize(text, special=True) if special else self.encode(text)
            if start and model.adds_bos and tokens[:1] != [model.bos_token]:
                tokens.insert(0, model.bos_token)
            return tokens

    def describe(self) -> dict[str, object]:
        """What `inspect` shows of the model."""
        with self._alive() as model:
            return {**model.describe(), "can_rewind": self.can_rewind}

    # Work

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        stop: str = "\n",
        no_repeat_ngram: int = 0,
        grammars: Sequence[Grammar] | None = None,
        on_result: Callable[[int, str, int], None] | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> list[str]:
        """Greedy continuations by continuous batching; see `Engine.generate`."""
        texts = Generation(prompts, max_tokens, stop.encode(), no_repeat_ngram, grammars)
        if not prompts:
            return []
        if not all(prompts):
            raise ValueError("a prompt has no tokens")
        with self._working(cancel):
            self._require(max(map(len, prompts)) + max_tokens, flash=True)
            shared = _common_prefix(prompts) if self.can_rewind and len(prompts) > 1 else 0
            slots = min(len(prompts), PARALLEL if self.can_rewind else STATEFUL_PARALLEL)
            needs = sorted((len(prompt) - shared + max_tokens for prompt in prompts), reverse=True)
            ceiling = max(shared + needs[0], min(CELLS, self.options.ctx_size or CELLS))
            ceiling = max(shared + needs[0], min(ceiling, self._fitting(flash=True)))
            context = self._ready(min(shared + sum(needs[:slots]), ceiling), flash=True)
            self._prefill(context, prompts[0][:shared])
            texts.run(self, context, shared, slots, on_result, on_progress)
        return texts.results

    def margins(
        self,
        prefix: Sequence[int],
        suffixes: Sequence[Sequence[int]],
        answers: tuple[int, int],
        *,
        exact: bool = False,
        on_result: Callable[[int, Margin], None] | None = None,
        on_progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> list[Margin]:
        """Margins of prefix + suffix; see `Engine.margins`."""
        if not suffixes:
            return []
        if not all(suffixes):
            raise ValueError("a suffix has no tokens")
        with self._working(cancel):
            opening = _common_prefix(suffixes) if len(suffixes) > 1 and self.can_rewind else 0
            prefix, suffixes = [*prefix, *suffixes[0][:opening]], [suffix[opening:] for suffix in suffixes]
            longest, shortest = max(map(len, suffixes)), min(map(len, suffixes))
            self._require(len(prefix) + longest, flash=not exact)
            shared = (exact_share(len(prefix), shortest, BATCH) if exact else len(prefix)) if self.can_rewind else 0
            tails = [[*prefix[shared:], *suffix] for suffix in suffixes]
            alone = exact or not shared
            most = min(self.options.ctx_size or self.context_size, self._fitting(flash=not exact))
            room = max(longest, min(BATCH, most - len(prefix)))
            context = self._ready(len(prefix) + room, flash=not exact)
            self._prefill(context, prefix[:shared], keep=True)
            results: list[Margin] = []
            total = len(prefix) + sum(map(len, suffixes))
            for chunk in [[tail] for tail in tails] if alone else chunks(tails, room, SEQUENCES - 1):
                for row in self._evaluate(context, shared, chunk, alone=alone):
                    results.append(margin(row, answers))
                    if on_result:
                        on_result(len(results) - 1, results[-1])
                if on_progress:
                    on_progress(min(total, len(prefix) + sum(map(len, suffixes[: len(results)]))), total)
            return results

    def release(self) -> None:
        """Free the KV cache and compute buffers; the next call makes new ones."""
        with self._lock:
            self._drop_context()
            if self.room is not None:  # what another model may need
                self._prefixes.shrink(0)

    def close(self) -> None:
        """Stop the running call, which raises `Cancelled`, and free everything; may be called twice.

        Called back by the running call, it leaves that to the call's end.
        """
        self._closed = True
        if self._worker is not None:
            self._abort.set()
        if self._worker != threading.get_ident():
            self._free()

    # Inside

    def _drop_context(self) -> None:
        if self._context:
            self._context.close()
            self._context = None

    def _free(self) -> None:
        with self._lock:
            self._drop_context()
            self._prefixes.shrink(0)
            if not self._freed:
                self._freed = True
                self._model.close()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[native.NativeModel]:
        with self._lock:
            if self._closed:
                raise Closed("the engine was closed")
            yield self._model

    @contextlib.contextmanager
    def _working(self, cancel: Cancellation | None) -> Iterator[None]:
        with self._alive():
            self._abort.clear()
            self._worker = threading.get_ident()
            self._load.begin()
            try:
                with (cancel or Cancellation()).telling(self._abort.set), self._alive():  # `close` may just have come
                    yield
            finally:
                self._worker = None
                if self._turns:
                    self._turns.end()
                if self._context:
                    self._context.clear()
                if self._closed:
                    self._free()

    def step(
        self,
        context: Context,
        tokens: Sequence[int],
        positions: Sequence[int] | npt.NDArray[np.int32],
        sequences: int | Sequence[int] | npt.NDArray[np.int32],
        wanted: Sequence[int] = (),
    ) -> None:
        """One decode; raises `Cancelled` where the call was stopped."""
        if self._turns and self._fills(self._load.now) and self._turns.take(self._abort.is_set):
            self._load.waited()
        if self._abort.is_set() or not context.decode(tokens, positions, sequences, wanted):
            raise Cancelled("stopped on request")
        if self._turns:
            self._turns.done()
        if self._load.look():
            context.compute_with(self._load.now)
            if self._turns and not self._fills(self._load.now):  # the cores have room for others beside so few threads
                self._turns.end()
        self.evaluated += len(tokens)

    def ends(self, token: int) -> bool:
        """Whether the model means to stop with this token."""
        return self._model.ends_generation(token)

    def piece(self, token: int) -> bytes:
        """Bytes of one generated token."""
        return self._model.piece(token)

    def _fills(self, threads: int) -> bool:
        """Whether a second process of so many threads would need the cores of this one."""
        return threads > 1 and 2 * threads > self._cores and not native.offloads()

    def _special(self, token: int) -> str:
        return self._model.piece(token, special=True).decode(errors="replace") if token >= 0 else ""

    def _require(self, tokens: int, *, flash: bool) -> None:
        if tokens > self.context_size:
            raise ModelError(
                f"a prompt needs {tokens} tokens of context; this model has {self.context_size}",
                hint="raise `ctx_size`, or lower the prompt budget",
            )
        if self.room is not None and tokens > (fitting := self._fitting(flash=flash)):
            more = self._bytes(tokens, flash=flash) - self.room
            raise ModelError(
                f"a prompt needs {tokens} tokens of context; the memory limit leaves room for {max(fitting, 0)}",
                hint=f"raise `max_memory` by {-(-more >> 20)} MiB, or lower `prompt_tokens`",
            )

    def _bytes(self, cells: int, *, flash: bool) -> int:
        """About what a context of so many cells takes."""
        sequences = SEQUENCES if self.can_rewind else STATEFUL_PARALLEL + 1
        fixed, each = self._model.context_bytes(sequences=sequences, batch=BATCH, flash=flash)
        return fixed + each * -(-cells // ROUND) * ROUND

    def _fitting(self, *, flash: bool) -> int:
        """Most cells that the room allows."""
        if self.room is None:
            return sys.maxsize
        fixed, each = self._bytes(0, flash=flash), self._bytes(ROUND, flash=flash) - self._bytes(0, flash=flash)
        return max(0, self.room - fixed) // each * ROUND

    def _ready(self, cells: int, *, flash: bool) -> Context:
        """A context with at least that many cells; a smaller or differently computing one is replaced."""
        if self._context and (self._context.cells < cells or self._context.flash != flash):
            self._drop_context()
        if not self._context:
            self._context = self._model.context(
                cells=-(-cells // ROUND) * ROUND,
                sequences=SEQUENCES if self.can_rewind else STATEFUL_PARALLEL + 1,
                batch=BATCH,
                threads=self._load.now,
                flash=flash,
                abort=self._abort,
                adapter=self._adapter,
            )
        self._context.clear()
        self._context.compute_with(self._load.now)
        return self._context

    def _prefill(self, context: Context, tokens: Sequence[int], *, keep: bool = False) -> None:
        """Evaluate the shared prefix as sequence 0; with `keep`, from where it differs from those that were kept."""
        start = self._resume(context, tokens) if keep else 0
        fresh = start < len(tokens)
        while start < len(tokens):
            part = tokens[start : start + BATCH - start % BATCH]  # where a whole prompt is cut, wherever it begins
            self.step(context, part, range(start, start + len(part)), 0)
            start += len(part)
        if keep and fresh and (limit := self._keeping(context)) >= context.stored_bytes(0):
            self._prefixes.keep(tokens, context.state(0), flash=context.flash, limit=limit)

    def _resume(self, context: Context, tokens: Sequence[int]) -> int:
        """Put back as much of a prefix as was kept; how many of its tokens need not be evaluated."""
        self._prefixes.shrink(self._keeping(context))
        found = self._prefixes.nearest(tokens, flash=context.flash, most=context.cells)
        if found is None:
            return 0
        kept, shared = found
        if shared < len(tokens):  # cut where the bits of what follows stay those of a whole prompt
            shared = exact_share(shared, len(tokens) - shared, BATCH)
        if not shared or not context.restore(0, kept.state):
            return 0
        if shared < len(kept.tokens):
            context.forget(0, shared)
        return shared

    def _keeping(self, context: Context) -> int:
        """Bytes that kept prefixes may take beside a context."""
        if self.room is None:
            return self._keep
        return max(0, min(self._keep, self.room - self._bytes(context.cells, flash=context.flash)))

    def _evaluate(
        self, context: Context, start: int, tails: Sequence[Sequence[int]], *, alone: bool
    ) -> Iterator[npt.NDArray[np.float32]]:
        """Logits after each tail: (vocabulary,) each. `alone` is one tail, continued on sequence 0 itself."""
        sequences = [0] if alone else list(range(1, len(tails) + 1))
        if not alone:
            for sequence in sequences:
                context.copy(0, sequence)
        tokens = [token for tail in tails for token in tail]
        positions = np.concatenate([np.arange(start, start + len(tail), dtype=np.int32) for tail in tails])
        owners = np.repeat(np.array(sequences, dtype=np.int32), [len(tail) for tail in tails])
        ends = np.cumsum([len(tail) for tail in tails]) - 1
        first = 0
        while first < len(tokens):
            stop = (
                first + BATCH - (start + first) % BATCH if alone else first + BATCH
            )  # alone: where a whole prompt cuts
            wanted = [int(end) - first for end in ends if first <= end < stop]
            self.step(context, tokens[first:stop], positions[first:stop], owners[first:stop], wanted)
            for index in wanted:
                yield context.logits(index)
            first = stop
        for sequence in sequences:
            context.forget(sequence, start if alone and start else -1)


def _shared(beside: LlamaEngine | None) -> native.NativeModel | None:
    """The model of an engine for one more, or None where there is none, or it was closed a moment ago."""
    try:
        return beside._model.share() if beside else None
    except Closed:
        return None


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the opening all prompts share, leaving each at least one token of its own."""
    shortest = min(map(len, prompts)) - 1
    columns = zip(*(prompt[:shortest] for prompt in prompts), strict=True)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
