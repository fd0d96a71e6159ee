"""The models of a bundle in memory: opened when needed, checked against the manifest, one KV cache at a time.

Invariant: the first call that needs a model opens it, or one right behind a call that had no time to. One engine serves
both roles where they share everything. Only the call whose turn it is comes here, so there is no lock; only `close` may
come from anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trsr_lite.engine.interface import Engine, EngineOptions
from trsr_lite.engine.interface import OnProgress as EngineProgress
from trsr_lite.errors import ModelError
from trsr_lite.models import soundness
from trsr_lite.models.bundle import Bundle, ModelFile, is_as_known
from trsr_lite.prompts import fingerprint

OpenEngine = Callable[[ModelFile, bool, EngineProgress | None], Engine]
"""Opens a model, or with True only its vocabulary; reports (done, total) of the loading to the callback."""


class ModelPool:
    """Engines by the identity of their files. `seconds` is the time spent on opening them so far."""

    def __init__(self, bundle: Bundle, open_engine: OpenEngine, max_memory: int | None = None) -> None:
        self._bundle, self._open_engine, self._max_memory = bundle, open_engine, max_memory
        self._engines: dict[str, Engine] = {}
        self._vocabularies: dict[str, Engine] = {}  # of files whose weights are not needed yet
        self.seconds = 0.0

    def __contains__(self, file: ModelFile) -> bool:
        return file.identity in self._engines

    @property
    def loaded(self) -> tuple[str, ...]:
        """Identities of the files in memory."""
        return tuple(self._engines)

    @property
    def hold_both(self) -> bool:
        """Whether neither model is unloaded for the other."""
        files = [self._bundle.summarizer, self._bundle.recommender]
        shared = files[0].digest == files[1].digest
        return shared or self._max_memory is None or 2 * _weights(files) <= self._max_memory

    def get(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The loaded model of a file."""
        if file not in self:
            start = time.perf_counter()
            try:
                engine = self._open_engine(file, False, on_load)
                if file.identity == self._bundle.recommender.identity:
                    self._check_tokens(engine)
                self._engines[file.identity] = engine
                if vocabulary := self._vocabularies.pop(file.identity, None):
                    vocabulary.close()
            finally:  # one that was stopped took its time too
                self.seconds += time.perf_counter() - start
        return self._engines[file.identity]

    def use(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The loaded model of a file, to work with: the others give back their KV caches.

        Within a memory limit they are also unloaded where all weights together would take more than half of it.
        """
        weights = None if self._max_memory is None else self._make_room(file, self._max_memory)
        engine = self.get(file, on_load)
        for other in self._engines.values():
            if other is not engine:
                other.release()
        engine.room = None if self._max_memory is None or weights is None else self._max_memory - weights
        return engine

    def reader(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The loaded model of a file, or else its vocabulary, which stays until the weights are there too."""
        if file in self:
            return self._engines[file.identity]
        if file.identity not in self._vocabularies:
            start = time.perf_counter()
            try:
                engine = self._open_engine(file, True, on_load)
                if file.identity == self._bundle.recommender.identity:
                    self._check_tokens(engine)
                self._vocabularies[file.identity] = engine
            finally:
                self.seconds += time.perf_counter() - start
        return self._vocabularies[file.identity]

    def vocabulary(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The vocabulary of a file, without its weights; the caller closes it."""
        return self._open_engine(file, True, on_load)

    def close(self) -> None:
        """Free every model; a later `get` opens it again."""
        for engines in (self._engines, self._vocabularies):
            while True:
                try:
                    _, engine = engines.popitem()  # one step: who closes at the same time gets the others
                except KeyError:
                    break
                engine.close()

    def _make_room(self, file: ModelFile, limit: int) -> int:
        """Unload what cannot stay beside a model; returns the bytes of weights once it is there."""
        if (alone := _weights([file])) >= limit:
            raise ModelError(
                f"{file.path.name}: its weights take {alone >> 20} MiB; the memory limit is {limit >> 20} MiB",
                hint=f"raise `max_memory` above {-(-alone >> 20)} MiB, or use a model of a smaller type",
            )
        files = {each.identity: each for each in (self._bundle.summarizer, self._bundle.recommender)}
        together = _weights([file, *(files[identity] for identity in self._engines)])
        if 2 * together <= limit:
            return together
        beside = [files[identity] for identity in self._engines if files[identity].digest == file.digest]
        for identity in self._engines.keys() - {file.identity, *(each.identity for each in beside)}:
            self._engines.pop(identity).close()
        return _weights([file, *beside])

    def _check_tokens(self, engine: Engine) -> None:
        known = self._bundle.probes
        if known and (text := fingerprint.first_difference(fingerprint.tokens(engine), known)):
            engine.close()
            raise ModelError(
                f"{self._bundle.recommender.path.name}: its tokenizer reads {text} differently than the manifest says",
                hint="the model file does not belong to this bundle",
            )


def _weights(files: Sequence[ModelFile]) -> int:
    """Bytes of all files, each counted once."""
    parts = [part for file in files for part in (file, file.adapter) if part]
    return sum({part.digest: part.size for part in parts}.values())


def opener(
    options: EngineOptions | None,
    digest: Callable[[Path], str],
    folder: Path | None = None,
    *,
    background: bool = False,
) -> OpenEngine:
    """Opens models with llama.cpp; a base that several roles share is in memory once.

    A file that has gone or changed since its bundle was loaded is refused, by its `digest`. One that this machine has
    not seen is tried in another process first, and `folder` remembers it. In the `background` they let the models of
    other processes compute first.
    """
    from trsr_lite.engine.llama import LlamaEngine

    loaded: dict[tuple[str, bool], LlamaEngine] = {}  # by the content of the file, and whether it is a vocabulary

    def open_engine(file: ModelFile, vocab_only: bool, on_load: EngineProgress | None) -> Engine:
        for part in (file, file.adapter):
            if part and not is_as_known(part, digest):
                raise ModelError(
                    f"{part.path}: the model file has gone or changed since it was loaded",
                    hint="put it back, or load the recommender again",
                )
        soundness.check(file, folder, (lambda: on_load(0, 1)) if on_load else None)
        adapter = file.adapter.path if file.adapter else None
        beside = loaded.get((file.digest, vocab_only))
        engine = LlamaEngine(
            file.path,
            identity=file.identity,
            options=options,
            vocab_only=vocab_only,
            adapter=adapter,
            beside=beside if beside and beside.in_memory else None,
            on_load=on_load,
            sound=True,
            background=background,
        )
        loaded[file.digest, vocab_only] = engine
        return engine

    return open_engine
