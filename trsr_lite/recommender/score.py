"""What scoring has come to for one user: margins of the first candidates, and what they cost.

Invariant: candidates are scored in their order, so what time was not enough for is the end of the list. A model that
would answer with other tokens than its bundle says scores nothing.
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
from trsr_lite.settings import Settings
from trsr_lite.summaries.blocks import split

logger = logging.getLogger(__name__)


@dataclass
class Margins:
    """Margins of the first candidates, in order.

    Attributes
    ----------
    candidates: all that were to be scored, without those left out.
    prefix_tokens, candidate_tokens: evaluated once for all candidates, and for those that have a margin.
    dropped: recent items left out to fit the prompt.
    """

    candidates: Sequence[Item] = ()
    margins: list[Margin] = field(default_factory=list)
    prefix_tokens: int = 0
    candidate_tokens: int = 0
    dropped: int = 0


def score(
    history: Sequence[Item],
    summary: str | None,
    candidates: Sequence[Item],
    bundle: Bundle,
    settings: Settings,
    call: ModelSession,
    *,
    exact: bool = False,
    leave_out: bool = False,
) -> Margins:
    """Score as many candidates as `call` has time for; there must be one at least.

    With `leave_out`, those that do not fit a prompt are left out if others do. Raises `DataError` where one does not
    fit, `ModelError`, and `Cancelled` where the whole call was stopped.
    """
    scored = Margins(candidates)
    try:
        engine = call.use(bundle.recommender)
        recent = split(history, **settings.cut).recent
        asked = templates.scoring(summary, recent, candidates, settings, engine, leave_out=leave_out, cancel=call.stop)
        if long := len(candidates) - len(asked.candidates):
            logger.warning("candidates that no prompt has room for were left out: %d", long)
        scored.candidates = asked.candidates
        answers = _answers(asked.suffixes[0], bundle, engine)
        prefix = engine.tokenize(asked.prefix)

        def keep(index: int, margin: Margin) -> None:
            scored.margins.append(margin)
            scored.candidate_tokens += len(asked.tokens[index])

        report = call.stage("score")
        scored.prefix_tokens, scored.dropped = len(prefix), asked.dropped
        engine.margins(prefix, asked.tokens, answers, exact=exact, on_result=keep, on_progress=report, cancel=call.stop)
    except Cancelled:
        call.whole.check()  # not the time, but the caller
    return scored


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
