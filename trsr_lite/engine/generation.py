"""Greedy continuations of many prompts by continuous batching.

Invariant: a batch holds the next token of every running text before any of a waiting prompt. A prompt begins as soon as
a sequence and enough cells are free. So no text waits for memory once it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.context import Context
from trsr_lite.engine.interface import OnProgress
from trsr_lite.engine.masks import Grammar, Mask


class Steps(Protocol):
    """What generating needs of an engine."""

    def step(
        self,
        context: Context,
        tokens: Sequence[int],
        positions: Sequence[int] | npt.NDArray[np.int32],
        sequences: int | Sequence[int] | npt.NDArray[np.int32],
        wanted: Sequence[int] = (),
    ) -> None:
        """One decode; raises `Cancelled` where the call was stopped."""
        ...

    def ends(self, token: int) -> bool:
        """Whether the model means to stop with this token."""
        ...

    def piece(self, token: int) -> bytes:
        """Bytes of one generated token."""
        ...


@dataclass
class _Slot:
    """One text being generated: the prompt part still to evaluate, then one token a step."""

    index: int
    sequence: int
    pending: list[int]
    position: int
    tokens: list[int] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    seen: dict[tuple[int, ...], set[int]] = field(default_factory=dict)
    mask: Mask | None = None


class Generation:
    """All texts of one `generate` call; prompts wait until a sequence and cells are free."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        stop: bytes,
        no_repeat: int,
        grammars: Sequence[Grammar] | None = None,
    ) -> None:
        self.prompts, self.max_tokens, self.stop, self.no_repeat = prompts, max_tokens, stop, no_repeat
        self.grammars = grammars
        self.results = [""] * len(prompts)

    def run(
        self,
        engine: Steps,
        context: Context,
        shared: int,
        slots: int,
        on_result: Callable[[int, str, int], None] | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Fill `results`; the first `shared` tokens of all prompts are sequence 0 already, `slots` more may be used."""
        waiting = list(range(len(self.prompts)))[::-1]
        free = list(range(1, slots + 1))
        active: list[_Slot] = []
        used, done = shared, 0
        total = sum(len(prompt) - shared + self.max_tokens for prompt in self.prompts)
        while waiting or active:
            while waiting and free and used + self._need(waiting[-1], shared) <= context.cells:
                index, sequence = waiting.pop(), free.pop()
                if shared:
                    context.copy(0, sequence)
                mask = Mask(self.grammars[index], self.max_tokens) if self.grammars else None
                active.append(_Slot(index, sequence, list(self.prompts[index][shared:]), shared, mask=mask))
                used += self._need(index, shared)
            for slot in self._step(engine, context, active):
                active.remove(slot)
                context.forget(slot.sequence)
                free.append(slot.sequence)
                used -= self._need(slot.index, shared)
                done += self._need(slot.index, shared)
                self.results[slot.index] = bytes(slot.text).decode(errors="ignore")
                if on_result:
                    on_result(slot.index, self.results[slot.index], len(slot.tokens))
            if on_progress:
                on_progress(done + sum(slot.position - shared for slot in active), total)

    def _need(self, index: int, shared: int) -> int:
        return len(self.prompts[index]) - shared + self.max_tokens

    def _step(self, engine: Steps, context: Context, active: list[_Slot]) -> list[_Slot]:
        """Evaluate one batch: the next token of each running text, then as much of waiting prompts as fits."""
        tokens: list[int] = []
        positions: list[int] = []
        sequences: list[int] = []
        wanted: list[tuple[int, _Slot]] = []
        for slot in sorted(active, key=lambda slot: len(slot.pending) > 1):
            part = slot.pending[: context.batch - len(tokens)]
            if not part:
                break
            del slot.pending[: len(part)]
            tokens += part
            positions += range(slot.position, slot.position + len(part))
            sequences += [slot.sequence] * len(part)
            slot.position += len(part)
            if not slot.pending:
                wanted.append((len(tokens) - 1, slot))
        engine.step(context, tokens, positions, sequences, [index for index, _ in wanted])
        return [slot for index, slot in wanted if self._extend(engine, slot, context.logits(index))]

    def _extend(self, engine: Steps, slot: _Slot, logits: npt.NDArray[np.float32]) -> bool:
        """Append the likeliest token; True when the text has ended."""
        if slot.mask:
            return self._extend_within(slot.mask, engine, slot, logits)
        token = self._choose(slot, logits)
        piece = engine.piece(token)
        if engine.ends(token):
            return True
        if self.stop and self.stop in piece:  # many vocabularies have a full stop and the end of its line as one token
            slot.text += piece[: piece.index(self.stop)].rstrip()
            return True
        slot.text += piece
        slot.tokens.append(token)
        slot.pending.append(token)
        if self.no_repeat and len(slot.tokens) >= self.no_repeat:
            *opening, last = slot.tokens[-self.no_repeat :]
            slot.seen.setdefault(tuple(opening), set()).add(last)
        return len(slot.tokens) >= self.max_tokens

    def _extend_within(self, mask: Mask, engine: Steps, slot: _Slot, logits: npt.NDArray[np.float32]) -> bool:
        """Append the likeliest allowed token, and what then must follow: one step evaluates all of it."""
        while (allowed := mask.allowed) and len(slot.tokens) < self.max_tokens:
            if len(allowed) > 1 and slot.pending:
                return False
            token = mask.choose(logits) if len(allowed) > 1 else allowed[0]
            mask.advance(token)
            slot.text += engine.piece(token)
            slot.tokens.append(token)
            slot.pending.append(token)
        return True

    def _choose(self, slot: _Slot, logits: npt.NDArray[np.float32]) -> int:
        banned = slot.seen.get(tuple(slot.tokens[1 - self.no_repeat :])) if self.no_repeat > 1 else None
        if banned:
            logits = logits.copy()
            logits[list(banned)] = -np.inf
        return int(np.argmax(logits))
