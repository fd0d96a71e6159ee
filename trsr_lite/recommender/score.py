"""What scoring has come to for one user: margins by candidate, those that were stored and those made now.

Invariant: what is stored is never evaluated again, and where all of it is, no weights are loaded. The others are scored
in their order, so what time was not enough for is the end of the list. A model that would answer with other tokens than
its bundle says scores nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from trsr_lite.engine.interface import Margin, Prompt, Tokenizer
from trsr_lite.errors import Cancelled, ModelError, SettingsError
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.session import ModelSession
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.summaries import margins as stored
from trsr_lite.summaries.plan import Plan
from trsr_lite.summaries.store import SummaryStore

logger = logging.getLogger(__name__)


@dataclass
class Margins:
    """Margins of candidates by their ids.

    Attributes
    ----------
    candidates: all that were to be scored, without those left out.
    prefix_tokens, candidate_tokens: of what all candidates share, and of those that have a margin.
    evaluated: tokens of both that were evaluated now.
    hits: margins that were stored.
    dropped: recent items left out to fit the prompt.
    """

    candidates: Sequence[Item] = ()
    margins: dict[str, Margin] = field(default_factory=dict)
    prefix_tokens: int = 0
    candidate_tokens: int = 0
    evaluated: int = 0
    hits: int = 0
    dropped: int = 0

    @property
    def complete(self) -> bool:
        """Whether each candidate has one."""
        return len(self.margins) == len(self.candidates)


def score(
    plan: Plan,
    summary: str | None,
    candidates: Sequence[Item],
    bundle: Bundle,
    session: ModelSession,
    store: SummaryStore,
    user_id: str | None = None,
    *,
    exact: bool = False,
    leave_out: bool = False,
    own: bool = False,
) -> Margins:
    """Score as many candidates as `session` has time for; there must be one at least.

    New margins are stored, as those of `user_id` where there is one. With `leave_out`, candidates that do not fit a
    prompt are left out if others do. One line says where an `own` summary of the user is cut. Raises `DataError`
    where one does not fit, `ModelError`, and `Cancelled` where the whole call was stopped.
    """
    found = Margins(candidates)
    try:
        known = store.margins.knows(bundle.recommender.identity)
        reader = (session.reader if known else session.use)(bundle.recommender)
        if own and summary and templates.is_cut(summary, plan.settings, reader):
            logger.warning("the summary is too long: the model reads its first %d tokens", plan.settings.note_tokens)
        prompts = templates.scoring(
            summary,
            plan.blocks.recent,
            candidates,
            plan.settings,
            reader,
            against=plan.blocks.against,
            leave_out=leave_out,
            cancel=session.stop,
        )
        if long := len(candidates) - len(prompts.candidates):
            logger.warning("candidates that no prompt has room for were left out: %d", long)
        found.candidates = prompts.candidates
        answers = _answers(prompts.suffixes[0], bundle, reader)
        prefix = reader.tokenize(prompts.prefix)
        found.prefix_tokens, found.dropped = len(prefix), prompts.dropped
        noise = None if exact else bundle.noise_floor
        scope = stored.scope(bundle.recommender.identity, reader.arithmetic, prefix, answers, noise_floor=noise)
        _score(_Behind(prefix, answers, scope, prompts), found, bundle, session, store, user_id, exact=exact)
    except Cancelled:
        session.whole.check()  # not the time, but the caller
    return found


@dataclass(frozen=True)
class _Behind:
    """Candidates behind one prefix, and where their margins are stored."""

    prefix: Sequence[int]
    answers: tuple[int, int]
    scope: str
    prompts: templates.Scoring


def _score(
    asked: _Behind,
    found: Margins,
    bundle: Bundle,
    session: ModelSession,
    store: SummaryStore,
    user_id: str | None,
    *,
    exact: bool,
) -> None:
    """Fill in what is stored, then what the model says of the others; what it says is stored however this ends."""
    items, tokens = asked.prompts.candidates, asked.prompts.tokens
    keys = [stored.candidate(suffix) for suffix in tokens]
    known = store.margins.get(asked.scope, keys)
    fresh: dict[bytes, Margin] = {}

    def keep(index: int, margin: Margin) -> None:
        found.margins[items[index].id] = margin
        found.candidate_tokens += len(tokens[index])

    for index, key in enumerate(keys):
        if key in known:
            keep(index, known[key])
            found.hits += 1
    if user_id and store.margins.limit:
        store.link(user_id, [asked.scope])
    missing = [index for index, key in enumerate(keys) if key not in known]
    report = session.stage("score")
    if not missing:
        return
    engine = session.use(bundle.recommender)
    before = engine.evaluated

    def made(place: int, margin: Margin) -> None:
        fresh[keys[missing[place]]] = margin
        keep(missing[place], margin)

    try:
        engine.margins(
            asked.prefix,
            [tokens[index] for index in missing],
            asked.answers,
            exact=exact,
            on_result=made,
            on_progress=report,
            cancel=session.stop,
        )
    finally:
        found.evaluated = engine.evaluated - before
        store.margins.put(asked.scope, fresh)


def _answers(suffix: Prompt, bundle: Bundle, tokenizer: Tokenizer) -> tuple[int, int]:
    """Token ids of (yes, no) after a scoring prompt, as the bundle's manifest has them."""
    name = bundle.recommender.path.name
    try:
        answers = templates.answer_ids(suffix, tokenizer)
    except SettingsError as error:
        raise ModelError(f"{name}: {error}") from error
    if bundle.answers not in (None, answers):
        raise ModelError(
            f"{name}: its tokenizer gives the answers {answers}; the manifest says {bundle.answers}",
            hint="the model file does not belong to this bundle",
        )
    return answers
