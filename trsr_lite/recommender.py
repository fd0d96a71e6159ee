"""`Recommender`: a user and candidates in, a ranking out. The one door for programs and for the command line.

Invariant: nothing is loaded before it is needed (a fully cached user never loads the summarizer), one call runs at a
time and the others wait their turn, and nothing is printed: progress goes to a callback, warnings to `logging`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from trsr_lite import bundle as bundles
from trsr_lite import hub, prompts, summarize
from trsr_lite.background import Background
from trsr_lite.blocks import split
from trsr_lite.bundle import Bundle
from trsr_lite.cache import SummaryStore
from trsr_lite.call import Call
from trsr_lite.cancellation import Cancellation, Deadline
from trsr_lite.engine.base import Engine, EngineOptions, Margin, Prompt, Segment
from trsr_lite.engine.base import OnProgress as EngineProgress
from trsr_lite.errors import Cancelled, Closed, DataError, ModelError, SettingsError
from trsr_lite.models import Models, OpenEngine, opener
from trsr_lite.prompts import PROMPT_VERSION
from trsr_lite.records import Item, User, candidates_from_list, unique
from trsr_lite.result import OnProgress, Progress, Result, Skipped, Stats
from trsr_lite.scoring import Recommendation, rank
from trsr_lite.settings import Settings
from trsr_lite.summarize import Summary, Work
from trsr_lite.turns import NoTurn, Turns

if TYPE_CHECKING:
    from trsr_lite.catalog.catalog import Catalog
    from trsr_lite.catalog.retrieval import Retrieval

DEFAULT_MODEL = "smollm2"
STAGES = ("load", "summarize", "score")
TOGETHER = 64  # histories summarized at once: enough to keep every batch full


class Recommender:
    """Ranks candidates for users on one bundle. Usable from any thread; a context manager.

    `Recommender.load` is the usual way in. The constructor takes parts, so that an application or a test can bring its
    own store or engine: `open_engine` is called with a `ModelFile`, whether only its vocabulary is needed, and a
    callback for the progress of loading.

    Calls run one after another. A call that is given a `Cancellation` ends with `Cancelled` soon after it was
    cancelled, whether it runs or waits; summaries that were finished by then are kept. Callbacks are called in the
    thread of the call and must not call the recommender, except for `cancel` and `close`.
    """

    def __init__(
        self,
        bundle: Bundle,
        store: SummaryStore,
        open_engine: OpenEngine,
        *,
        settings: Settings | None = None,
        unload_after: float | None = None,
        max_memory: int | None = None,
    ) -> None:
        for name, value in (("unload_after", unload_after), ("max_memory", max_memory)):
            if value is not None and value <= 0:
                raise SettingsError(f"{name} is {value}; it must be above 0")
        self.bundle, self.store = bundle, store
        self.settings = settings or bundle.settings
        self._models = Models(bundle, open_engine, max_memory)
        self._turns = Turns()
        self._background = Background(self._summarize_behind, self._unload, unload_after)

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        *,
        options: EngineOptions | None = None,
        cache_dir: str | Path | None = None,
        data_dir: str | Path | None = None,
        offline: bool = False,
        unload_after: float | None = None,
        max_memory: int | None = None,
        progress: OnProgress | None = None,
        **changes: Any,
    ) -> Recommender:
        """A recommender on `smollm2`, a bundle folder, a `.gguf` file, or `user/repo[:TYPE]` on the Hugging Face hub.

        `changes` replace single settings, such as `strategy="none"` or `domain="news"` (see `Settings`). Summaries are
        kept in `cache_dir`, the prepared default in `data_dir`; both default to the system's folders for this user.
        Models are freed after `unload_after` idle seconds, and loaded again when needed. `max_memory` bytes are about
        the most that weights and contexts take: for it contexts get smaller, and models are kept one at a time.
        Raises `ModelError` where the model is missing or broken; weights are loaded at first use.
        """
        import platformdirs

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
        return cls(
            bundle,
            store,
            opener(options, store.digest),
            settings=bundle.settings.updated(**changes),
            unload_after=unload_after,
            max_memory=max_memory,
        )

    def recommend(
        self,
        user: User | Mapping[str, Any],
        candidates: Sequence[Item] | Sequence[Mapping[str, Any]] | None = None,
        *,
        k: int | None = None,
        catalog: Catalog | None = None,
        retrieve: Retrieval | int | None = None,
        exact: bool = False,
        budget: float | None = None,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The best `k` candidates (all without `k`), best first.

        `candidates` default to the user's own; with a `catalog` they are what it finds for the history and the summary,
        as `retrieve` says (a number of items, or a `Retrieval`). `exact` makes margins reproducible to the bit, and
        slower. Within `budget` seconds, waiting included, up to half of the time goes to missing summaries, then the
        newest stored one serves, and candidates are scored in their order as long as there is time; `Result.skipped`
        says what was left out. Raises `DataError`, `ModelError`, `Cancelled`, `Closed`.
        """
        user = _user(user)
        items = _items(candidates) if candidates is not None else [] if catalog is not None else list(user.candidates)
        if items and catalog is not None:
            raise SettingsError("candidates come from a list or from a catalog, not from both")
        if not items and catalog is None:
            raise DataError(
                "there are no candidates to rank", hint='give them with `--candidates` or as "candidates" of the user'
            )
        if k is not None and k < 1:
            raise SettingsError(f"k is {k}; it must be at least 1")
        if budget is not None and budget < 0:
            raise SettingsError(f"budget is {budget}; it must be at least 0")
        _check_texts([*user.history, *items], self.settings)
        until, work, scored, seconds = Deadline(budget), Work(), _Scored(), dict.fromkeys(STAGES, 0.0)
        try:
            with self._call(cancel, progress, patience=budget) as call:
                summary, uncovered = self._summarize_until(until, user, call, work)
                call.ended("summarize")
                if catalog is not None:
                    items = _found(catalog, user, summary.text, retrieve, self.settings)
                    call.ended("retrieve")
                with call.within(until.left) as limited:
                    self._score(user, summary, items, limited, scored, exact=exact)
                call.ended("score")
                seconds = call.seconds
        except NoTurn:  # others had the whole time
            summary, uncovered = self._newest(user)
        ranked = rank(
            items[: len(scored.margins)],
            scored.margins,
            calibration=self.bundle.calibration,
            noise_floor=0.0 if exact else self.bundle.noise_floor,
        )
        stats = replace(
            self._stats(user, summary, work, seconds),
            prefix_tokens=scored.prefix_tokens,
            candidate_tokens=scored.candidate_tokens,
            dropped_items=scored.dropped,
        )
        left = tuple(items[len(scored.margins) :])
        skipped = Skipped(uncovered, left) if uncovered or left else None
        return self._result(user, summary, tuple(ranked[:k]), stats, skipped)

    def summarize(
        self,
        user: User | Mapping[str, Any],
        *,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
    ) -> Result:
        """The user's preference summary; only what the cache lacks is generated."""
        user = _user(user)
        with self._call(cancel, progress) as call:
            _check_texts(user.history, self.settings)
            work = Work()
            summary = self._summarize(user, call, work)
            call.ended("summarize")
            stats = self._stats(user, summary, work, call.seconds)
        return self._result(user, summary, (), stats)

    def summaries(
        self,
        histories: Sequence[Sequence[Item]],
        *,
        progress: OnProgress | None = None,
        cancel: Cancellation | None = None,
        whole_rounds: bool = False,
    ) -> list[Summary]:
        """Preference summaries of many histories, generated together; each summary is kept as soon as it is made.

        With `whole_rounds`, in rounds that are kept whole, so that stopped work ends in the same texts (see
        `summarize.summarize`).
        """
        with self._call(cancel, progress) as call:
            found: list[Summary] = []
            report = call.stage("summarize")
            for start in range(0, len(histories), TOGETHER):
                part = histories[start : start + TOGETHER]
                _check_texts([item for history in part for item in history], self.settings)
                found += self._summaries(part, call, None, Work(), whole_rounds=whole_rounds)
                report(len(found), len(histories))
        return found

    def update(
        self, user: User | Mapping[str, Any], item: Item | Mapping[str, Any], *, cancel: Cancellation | None = None
    ) -> User:
        """The user with one more item at the end of the history; returns at once.

        A block that the item completes is summarized in the background, behind every other call; `cancel` stops that.
        What goes wrong there is logged, and done again when a call needs it. Raises `DataError`, `Closed`.
        """
        before = _user(user)
        after = before.appended(item)
        _check_texts(after.history[-1:], self.settings)
        if self._turns.closed:
            raise Closed("the recommender was closed")
        if self.settings.strategy != "none" and self._split(after).complete != self._split(before).complete:
            self._background.add(after, cancel)
        return after

    def prompt(self, user: User | Mapping[str, Any], candidates: Sequence[Item] | None = None) -> list[tuple[str, str]]:
        """Exactly what the models see, as (name, text) pairs; loads vocabularies, no weights.

        Prompts of summaries that wait for others still to be made are left out; a summary that is not in the cache
        stands as a note in the scoring prompt.
        """
        user = _user(user)
        items = _items(candidates) if candidates is not None else list(user.candidates)
        with self._call() as call, ExitStack() as opened:
            summarizer, recommender = (
                opened.enter_context(closing(self._models.vocabulary(file, call.stage("load", rated=False))))
                for file in (self.bundle.summarizer, self.bundle.recommender)
            )
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
        with self._call() as call:
            report = call.stage("load", rated=False)
            return {role: dict(self._models.get(file, report).describe()) for role, file in files.items()}

    def forget(self, user_id: str) -> int:
        """Delete every stored summary that only this user's history rests on; returns how many."""
        self._background.drop(user_id)
        with self._call():
            return self.store.clear(user_id)

    def cancel(self) -> None:
        """Stop every call that runs or waits now, from any thread; each raises `Cancelled`."""
        self._background.drop()
        self._turns.cancel()

    def close(self) -> None:
        """Stop the running call, refuse the waiting ones with `Closed`, free models, and close the store.

        At any time, from any thread, and as often as one likes. Summaries that were finished are kept.
        """
        if self._turns.close():
            self._free()  # else the call that closes does it as it ends
        self._background.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # Inside

    @contextmanager
    def _call(
        self,
        cancel: Cancellation | None = None,
        progress: OnProgress | None = None,
        *,
        background: bool = False,
        patience: float | None = None,
    ) -> Iterator[Call]:
        """A call whose turn it is; everything that touches models happens in one."""
        with self._turns.take(cancel, background=background, patience=patience) as stop:
            try:
                yield Call(stop, progress, self._models)
            finally:
                if self._turns.closed:  # while this call ran, and perhaps by it
                    self._free()
                self._background.idle()

    def _free(self) -> None:
        self._models.close()
        self.store.close()

    def _unload(self, is_due: Callable[[], bool]) -> None:
        with self._turns.take(background=True):
            if is_due():
                self._models.close()

    def _summarize_behind(self, user: User, cancel: Cancellation) -> None:
        with self._call(cancel, background=True) as call:
            self._summarize(user, call, Work())

    def _summarize_until(self, until: Deadline, user: User, call: Call, work: Work) -> tuple[Summary, int]:
        """The summary that half of the time allows, and how many complete blocks it does not cover."""
        left = until.left
        try:
            with call.within(None if left is None else left / 2) as limited:
                return self._summarize(user, limited, work), 0
        except Cancelled:
            call.stop.check()  # not the time, but the caller
            return self._newest(user)

    def _newest(self, user: User) -> tuple[Summary, int]:
        return summarize.newest(user.history, self.settings, self.store, self.bundle.summarizer.identity)

    def _score(
        self, user: User, summary: Summary, items: Sequence[Item], call: Call, scored: _Scored, *, exact: bool
    ) -> None:
        """Margins of candidates in their order, as many as there is time for."""
        try:
            engine = self._models.use(self.bundle.recommender, call.stage("load", rated=False))
            recent = self._split(user).recent
            asked = prompts.scoring(summary.text, recent, items, self.settings, engine)
            answers = self._answers(asked.suffixes[0], engine)
            prefix = engine.tokenize(asked.prefix)
            suffixes = [engine.tokenize(suffix, start=False) for suffix in asked.suffixes]

            def keep(index: int, margin: Margin) -> None:
                scored.margins.append(margin)
                scored.candidate_tokens += len(suffixes[index])

            report = call.stage("score")
            scored.prefix_tokens, scored.dropped = len(prefix), asked.dropped
            engine.margins(prefix, suffixes, answers, exact=exact, on_result=keep, on_progress=report, cancel=call.stop)
        except Cancelled:
            call.whole.check()  # not the time, but the caller

    def _summarize(self, user: User, call: Call, work: Work) -> Summary:
        if user.user_id:  # before any summary is made, so that an interrupted user can be forgotten too
            keys = summarize.keys(user.history, self.settings, self.bundle.summarizer.identity)
            self.store.link(user.user_id, keys)
        return self._summaries([user.history], call, call.stage("summarize"), work)[0]

    def _summaries(
        self,
        histories: Sequence[Sequence[Item]],
        call: Call,
        on_progress: EngineProgress | None,
        work: Work,
        *,
        whole_rounds: bool = False,
    ) -> list[Summary]:
        return summarize.summarize(
            histories,
            self.settings,
            self.store,
            self.bundle.summarizer.identity,
            lambda: self._models.use(self.bundle.summarizer, call.stage("load", rated=False)),
            on_progress=on_progress,
            cancel=call.stop,
            work=work,
            whole_rounds=whole_rounds,
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

    def _stats(self, user: User, summary: Summary, work: Work, seconds: Mapping[str, float]) -> Stats:
        return Stats(
            history_items=len(user.history),
            blocks=len(self._split(user).complete),
            summary_calls=summary.calls,
            summary_cache_hits=summary.hits,
            generated_tokens=work.generated_tokens,
            seconds=seconds,
        )

    def _result(
        self,
        user: User,
        summary: Summary,
        ranked: tuple[Recommendation, ...],
        stats: Stats,
        skipped: Skipped | None = None,
    ) -> Result:
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
            skipped,
        )


@dataclass
class _Scored:
    """What scoring has come to: margins of the first candidates, and what they cost."""

    margins: list[Margin] = field(default_factory=list)
    prefix_tokens: int = 0
    candidate_tokens: int = 0
    dropped: int = 0


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


def _found(
    catalog: Catalog, user: User, summary: str | None, retrieve: Retrieval | int | None, settings: Settings
) -> list[Item]:
    """The items of a catalog that may be ranked: one row without a visible attribute must not cost the whole answer."""
    found = [item for item in catalog.retrieve(user.history, summary, retrieve) if _is_visible(item, settings)]
    if not found:
        raise DataError(
            f"{catalog.path}: no item passes the filters and shares a word with the history or the summary",
            hint="loosen the filters, or look at the catalog with `trsr-lite catalog info`",
        )
    return found


def _is_visible(item: Item, settings: Settings) -> bool:
    try:
        return bool(prompts.shown(item, settings))
    except DataError:
        return False


def _check_texts(items: Sequence[Item], settings: Settings) -> None:
    """Every item has something to show; said before any model is loaded."""
    for item in items:
        prompts.shown(item, settings)


def _plain(prompt: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in prompt)
