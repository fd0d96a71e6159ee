"""`Recommender`: a user and candidates in, a ranking out. The one door for programs and for the command line.

Invariant: nothing is loaded before it is needed (a fully cached user never loads the summarizer), only one model holds
a KV cache at a time, and nothing is printed: progress goes to a callback, warnings to `logging`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from trsr_lite import bundle as bundles
from trsr_lite import hub, probes, prompts, summarize
from trsr_lite.blocks import split
from trsr_lite.bundle import Bundle, ModelFile
from trsr_lite.cache import SummaryStore
from trsr_lite.engine.base import Engine, EngineOptions, Prompt, Segment
from trsr_lite.engine.base import OnProgress as EngineProgress
from trsr_lite.errors import Cancelled, Closed, DataError, ModelError, SettingsError
from trsr_lite.prompts import PROMPT_VERSION
from trsr_lite.records import Item, User, candidates_from_list, unique
from trsr_lite.result import OnProgress, Progress, Result, Stats
from trsr_lite.scoring import Recommendation, rank
from trsr_lite.settings import Settings
from trsr_lite.summarize import Summary, Work

DEFAULT_MODEL = "smollm2"
TOGETHER = 64  # histories summarized at once: enough to keep every batch full


class Recommender:
    """Ranks candidates for users on one bundle. Usable from any thread; a context manager.

    `Recommender.load` is the usual way in. The constructor takes parts, so that an application or a test can bring its
    own store or engine: `open_engine` is called with a `ModelFile` and whether only its vocabulary is needed.
    """

    def __init__(
        self,
        bundle: Bundle,
        store: SummaryStore,
        open_engine: Callable[[ModelFile, bool], Engine],
        *,
        settings: Settings | None = None,
    ) -> None:
        self.bundle, self.store = bundle, store
        self.settings = settings or bundle.settings
        self._open_engine = open_engine
        self._engines: dict[str, Engine] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._cancelled = threading.Event()
        self._loading = 0.0

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        options: EngineOptions | None = None,
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
        progress: OnProgress | None = None,
        **changes: Any,
    ) -> Recommender:
        """A recommender on `smollm2`, a bundle folder, a `.gguf` file, or `user/repo[:TYPE]` on the Hugging Face hub.

        `changes` replace single settings, such as `strategy="none"` or `domain="news"` (see `Settings`). Summaries are
        kept in `cache_dir`, the prepared default in `data_dir`; both default to the system's folders for this user.
        Raises `ModelError` where the model is missing or broken; weights are loaded at first use.
        """
        import platformdirs

        from trsr_lite.engine.llama import LlamaEngine

        store = SummaryStore(Path(cache_dir or platformdirs.user_cache_dir("trsr-lite", False)))
        if str(model) == DEFAULT_MODEL:
            from trsr_lite import embedded

            path = embedded.prepare(
                Path(data_dir or platformdirs.user_data_dir("trsr-lite", False)),
                offline=offline,
                on_step=(lambda step: progress(Progress(f"prepare: {step}", 0.0))) if progress else None,
            )
        else:
            path = _located(model, store, offline=offline, progress=progress)
        bundle = bundles.load(path, store.digest)

        loaded: dict[str, LlamaEngine] = {}  # by file: a base that several roles share is in memory once

        def open_engine(file: ModelFile, vocab_only: bool) -> Engine:
            engine = LlamaEngine(
                file.path,
                identity=file.identity,
                options=options,
                vocab_only=vocab_only,
                adapter=file.adapter.path if file.adapter else None,
                beside=None if vocab_only else loaded.get(file.digest),
            )
            if not vocab_only:
                loaded[file.digest] = engine
            return engine

        return cls(bundle, store, open_engine, settings=bundle.settings.updated(**changes))

    def recommend(
        self,
        user: User | Mapping[str, Any],
        candidates: Sequence[Item] | Sequence[Mapping[str, Any]] | None = None,
        *,
        k: int | None = None,
        exact: bool = False,
        progress: OnProgress | None = None,
    ) -> Result:
        """The best `k` candidates (all without `k`), best first.

        `candidates` default to the user's own. `exact` makes margins reproducible to the bit, and slower. Raises
        `DataError`, `ModelError`, `Cancelled`, `Closed`.
        """
        user = _user(user)
        items = _items(candidates) if candidates is not None else list(user.candidates)
        if not items:
            raise DataError(
                "there are no candidates to rank", hint='give them with `--candidates` or as "candidates" of the user'
            )
        if k is not None and k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        with self._timed() as clock:
            _check_texts([*user.history, *items], self.settings)
            work = Work()
            summary = self._summarize(user, progress, work)
            clock("summarize")
            engine = self._engine(self.bundle.recommender)
            recent = self._split(user).recent
            asked = prompts.scoring(summary.text, recent, items, self.settings, engine)
            answers = self._answers(asked.suffixes[0], engine)
            prefix = engine.tokenize(asked.prefix)
            suffixes = [engine.tokenize(suffix, start=False) for suffix in asked.suffixes]
            self._release_others(engine)
            margins = engine.margins(prefix, suffixes, answers, exact=exact, on_progress=self._stage("score", progress))
            ranked = rank(
                items,
                margins,
                calibration=self.bundle.calibration,
                noise_floor=0.0 if exact else self.bundle.noise_floor,
            )
            clock("score")
            stats = replace(
                self._stats(user, summary, work, clock.seconds),
                prefix_tokens=len(prefix),
                candidate_tokens=sum(map(len, suffixes)),
                dropped_items=asked.dropped,
            )
        return self._result(user, summary, tuple(ranked[:k]), stats)

    def summarize(self, user: User | Mapping[str, Any], *, progress: OnProgress | None = None) -> Result:
        """The user's preference summary; only what the cache lacks is generated."""
        user = _user(user)
        with self._timed() as clock:
            _check_texts(user.history, self.settings)
            work = Work()
            summary = self._summarize(user, progress, work)
            clock("summarize")
            stats = self._stats(user, summary, work, clock.seconds)
        return self._result(user, summary, (), stats)

    def summaries(self, histories: Sequence[Sequence[Item]], *, progress: OnProgress | None = None) -> list[Summary]:
        """Preference summaries of many histories, generated together; each summary is kept as soon as it is made."""
        with self._timed():
            found: list[Summary] = []
            for start in range(0, len(histories), TOGETHER):
                part = histories[start : start + TOGETHER]
                _check_texts([item for history in part for item in history], self.settings)
                found += self._summaries(part, None, Work())
                self._stage("summarize", progress)(len(found), len(histories))
        return found

    def prompt(self, user: User | Mapping[str, Any], candidates: Sequence[Item] | None = None) -> list[tuple[str, str]]:
        """Exactly what the models see, as (name, text) pairs; loads vocabularies, no weights.

        Prompts of summaries that wait for others still to be made are left out; a summary that is not in the cache
        stands as a note in the scoring prompt.
        """
        user = _user(user)
        items = _items(candidates) if candidates is not None else list(user.candidates)
        with ExitStack() as opened:
            summarizer = opened.enter_context(closing(self._open(self.bundle.summarizer, vocab_only=True)))
            recommender = opened.enter_context(closing(self._open(self.bundle.recommender, vocab_only=True)))
            _check_texts([*user.history, *items], self.settings)
            texts, shown = {}, []
            root = summarize.plan(user.history, self.settings, self.bundle.summarizer.identity)
            order = summarize.ordered(root)
            texts = self.store.get(node.key for node in order)
            for number, node in enumerate(order, 1):
                if all(child.key in texts for child in node.children):
                    message = summarize.message(node, texts, self.settings, summarizer)
                    shown.append(
                        (f"{node.kind} {number} of {len(order)}", _plain(summarize.framed(*message, summarizer)))
                    )
            text = (texts.get(root.key) or "(not summarized yet: run `trsr-lite summarize`)") if root else None
            asked = prompts.scoring(text, self._split(user).recent, items, self.settings, recommender)
            shown.append(("scoring: shared by all candidates", _plain(asked.prefix)))
            shown += [
                (f"scoring: candidate {item.id}", _plain(suffix))
                for item, suffix in zip(items, asked.suffixes, strict=True)
            ]
            return shown

    def describe(self) -> dict[str, dict[str, Any]]:
        """What `inspect` shows of each model: architecture, parameters, context length."""
        files = {"summarizer": self.bundle.summarizer, "recommender": self.bundle.recommender}
        return {role: dict(self._engine(file).describe()) for role, file in files.items()}

    def forget(self, user_id: str) -> int:
        """Delete every stored summary that only this user's history rests on; returns how many."""
        if self._closed:
            raise Closed("the recommender was closed")
        return self.store.clear(user_id)

    def cancel(self) -> None:
        """Stop the running call from another thread; it raises `Cancelled`, and finished summaries are kept."""
        self._cancelled.set()
        for engine in list(self._engines.values()):
            engine.cancel()

    def close(self) -> None:
        """Free models and close the store; may be called twice."""
        self.cancel()
        with self._lock:
            self._closed = True
            for engine in self._engines.values():
                engine.close()
            self._engines.clear()
            self.store.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    def _summarize(self, user: User, progress: OnProgress | None, work: Work) -> Summary:
        if user.user_id:  # before any summary is made, so that an interrupted user can be forgotten too
            keys = summarize.keys(user.history, self.settings, self.bundle.summarizer.identity)
            self.store.link(user.user_id, keys)
        return self._summaries([user.history], self._stage("summarize", progress), work)[0]

    def _summaries(
        self, histories: Sequence[Sequence[Item]], on_progress: EngineProgress | None, work: Work
    ) -> list[Summary]:
        def engine() -> Engine:
            ready = self._engine(self.bundle.summarizer)
            self._release_others(ready)
            return ready

        return summarize.summarize(
            histories,
            self.settings,
            self.store,
            self.bundle.summarizer.identity,
            engine,
            on_progress=on_progress,
            work=work,
        )

    def _split(self, user: User) -> Any:
        return split(user.history, **self.settings.cut)

    def _answers(self, suffix: Prompt, engine: Engine) -> tuple[int, int]:
        try:
            answers = prompts.answer_ids(suffix, engine)
        except SettingsError as error:
            raise ModelError(f"{self.bundle.recommender.path.name}: {error}") from error
        if self.bundle.answers not in (None, answers):
            raise ModelError(
                f"{self.bundle.recommender.path.name}: its tokenizer gives the answers {answers}; "
                f"the manifest says {self.bundle.answers}",
                hint="the model file does not belong to this bundle",
            )
        return answers

    def _engine(self, file: ModelFile) -> Engine:
        """The loaded model of a file; one engine serves both roles where they share the file."""
        with self._lock:
            if self._closed:
                raise Closed("the recommender was closed")
            if file.identity not in self._engines:
                start = time.perf_counter()
                engine = self._open(file, vocab_only=False)
                if file.identity == self.bundle.recommender.identity:
                    self._check_tokens(engine)
                self._engines[file.identity] = engine
                self._loading += time.perf_counter() - start
            return self._engines[file.identity]

    def _check_tokens(self, engine: Engine) -> None:
        known = self.bundle.probes
        if known and (text := probes.first_difference(probes.tokens(engine), known)):
            engine.close()
            raise ModelError(
                f"{self.bundle.recommender.path.name}: its tokenizer reads {text} differently than the manifest says",
                hint="the model file does not belong to this bundle",
            )

    def _open(self, file: ModelFile, *, vocab_only: bool) -> Engine:
        if self._closed:
            raise Closed("the recommender was closed")
        return self._open_engine(file, vocab_only)

    def _stage(self, stage: str, progress: OnProgress | None) -> EngineProgress:
        """Reports a stage, and ends it where `cancel()` came before the engine was at work."""

        def report(done: int, total: int) -> None:
            if self._cancelled.is_set():
                raise Cancelled("stopped on request")
            if progress:
                progress(Progress(stage, min(1.0, done / max(total, 1))))

        report(0, 1)
        return report

    def _release_others(self, keep: Engine) -> None:
        for engine in self._engines.values():
            if engine is not keep:
                engine.release()

    @contextmanager
    def _timed(self) -> Iterator[_Clock]:
        with self._lock:
            if self._closed:
                raise Closed("the recommender was closed")
            self._cancelled.clear()
            yield _Clock(lambda: self._loading)

    def _stats(self, user: User, summary: Summary, work: Work, seconds: Mapping[str, float]) -> Stats:
        return Stats(
            history_items=len(user.history),
            blocks=len(self._split(user).complete),
            summary_calls=summary.calls,
            summary_cache_hits=summary.hits,
            generated_tokens=work.generated_tokens,
            seconds=seconds,
        )

    def _result(self, user: User, summary: Summary, ranked: tuple[Recommendation, ...], stats: Stats) -> Result:
        model = {
            "name": self.bundle.name,
            "summarizer": self.bundle.summarizer.identity,
            "recommender": self.bundle.recommender.identity,
            "prompt_version": PROMPT_VERSION,
        }
        return Result(
            user.user_id,
            self.settings.strategy,
            summary.text,
            summary.nodes,
            ranked,
            model,
            stats,
            self.bundle.hint,
        )


class _Clock:
    """Seconds by stage; model loading inside a stage counts as `load`."""

    def __init__(self, loading: Callable[[], float]) -> None:
        self._loading, self._loaded, self._last = loading, loading(), time.perf_counter()
        self.seconds: dict[str, float] = {"load": 0.0}

    def __call__(self, stage: str) -> None:
        now, loaded = time.perf_counter(), self._loading()
        self.seconds["load"] += loaded - self._loaded
        self.seconds[stage] = now - self._last - (loaded - self._loaded)
        self._last, self._loaded = now, loaded


def _located(model: str | Path, store: SummaryStore, *, offline: bool, progress: OnProgress | None) -> Path:
    """Where a model is on this machine; a name that is no local path may be on the hub."""
    if Path(model).exists():
        return Path(model)
    reference = hub.parse(model) if isinstance(model, str) else None
    if reference is None:
        raise ModelError(
            f"{model}: there is no such model",
            hint="give a bundle folder, a .gguf file, or `user/repo[:TYPE]` on the hub; "
            "`smollm2` is the embedded default",
        )
    return hub.pull(reference, offline=offline, digest=store.digest, progress=progress)


def _user(user: User | Mapping[str, Any]) -> User:
    return user if isinstance(user, User) else User.from_dict(user)


def _items(items: Sequence[Any]) -> list[Item]:
    if all(isinstance(item, Item) for item in items):
        return unique(items, "candidates")
    return candidates_from_list(items)


def _check_texts(items: Sequence[Item], settings: Settings) -> None:
    """Every item has something to show; said before any model is loaded."""
    for item in items:
        prompts.shown(item, settings)


def _plain(prompt: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in prompt)
