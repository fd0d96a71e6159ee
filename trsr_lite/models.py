"""The models of a bundle in memory: opened when needed, checked against the manifest, one KV cache at a time.

Invariant: a model is opened by the first call that needs it and by nobody else; one engine serves both roles where they
share everything. Only the call whose turn it is comes here, so there is no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from trsr_lite import probes
from trsr_lite.bundle import Bundle, ModelFile
from trsr_lite.engine.base import Engine, EngineOptions
from trsr_lite.engine.base import OnProgress as EngineProgress
from trsr_lite.errors import ModelError

OpenEngine = Callable[[ModelFile, bool, EngineProgress | None], Engine]
"""Opens a model, or with True only its vocabulary; reports (done, total) of the loading to the callback."""


class Models:
    """Engines by the identity of their files. `seconds` is the time spent on opening them so far."""

    def __init__(self, bundle: Bundle, open_engine: OpenEngine) -> None:
        self._bundle, self._open_engine = bundle, open_engine
        self._engines: dict[str, Engine] = {}
        self.seconds = 0.0

    def get(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The loaded model of a file."""
        if file.identity not in self._engines:
            start = time.perf_counter()
            engine = self._open_engine(file, False, on_load)
            if file.identity == self._bundle.recommender.identity:
                self._check_tokens(engine)
            self._engines[file.identity] = engine
            self.seconds += time.perf_counter() - start
        return self._engines[file.identity]

    def use(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The loaded model of a file, to work with: the others give back their KV caches."""
        engine = self.get(file, on_load)
        for other in self._engines.values():
            if other is not engine:
                other.release()
        return engine

    def vocabulary(self, file: ModelFile, on_load: EngineProgress | None = None) -> Engine:
        """The vocabulary of a file, without its weights; the caller closes it."""
        return self._open_engine(file, True, on_load)

    def close(self) -> None:
        """Free every model; a later `get` opens it again."""
        while self._engines:
            self._engines.popitem()[1].close()

    def _check_tokens(self, engine: Engine) -> None:
        known = self._bundle.probes
        if known and (text := probes.first_difference(probes.tokens(engine), known)):
            engine.close()
            raise ModelError(
                f"{self._bundle.recommender.path.name}: its tokenizer reads {text} differently than the manifest says",
                hint="the model file does not belong to this bundle",
            )


def opener(options: EngineOptions | None) -> OpenEngine:
    """Opens models with llama.cpp; a base that several roles share is in memory once."""
    from trsr_lite.engine.llama import LlamaEngine

    loaded: dict[str, LlamaEngine] = {}  # by the content of the file

    def open_engine(file: ModelFile, vocab_only: bool, on_load: EngineProgress | None) -> Engine:
        adapter: Path | None = file.adapter.path if file.adapter else None
        beside = None if vocab_only else loaded.get(file.digest)
        engine = LlamaEngine(
            file.path,
            identity=file.identity,
            options=options,
            vocab_only=vocab_only,
            adapter=adapter,
            beside=beside,
            on_load=on_load,
        )
        if not vocab_only:
            loaded[file.digest] = engine
        return engine

    return open_engine
