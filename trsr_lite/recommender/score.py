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
from trsr_lite.summaries.plan import Plan

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
    plan: Plan,
    summary: str | None,
    candidates: Sequence[Item],
    bundle: Bundle,
    session: ModelSession,
    *,
    exact: bool = False,
    leave_out: bool = False,
) -> Margins:
    """Score as many candidates as `session` has time for; there must be one at least.

    With `leave_out`, those that do not fit a prompt are left out if others do. Raises `DataError` where one does not
    fit, `ModelError`, and `Cancelled` where the whole call was stopped.
    """
    found = Margins(candidates)
    try:
        engine = session.use(bundle.recommender)
        prompts = templates.scoring(
            summary,
            plan.blocks.recent,
            candidates,
            plan.settings,
            engine,
            against=plan.blocks.against,
            leave_out=leave_out,
            cancel=session.stop,
        )
        if long := len(candidates) - len(prompts.candidates):
            logger.warning("candidates that no prompt has room for were left out: %d", long)
        found.candidates = prompts.candidates
        answers = _answers(prompts.suffixes[0], bundle, engine)
        prefix = engine.tokenize(prompts.prefix)

        def keep(index: int, margin: Margin) -> None:
            found.margins.append(margin)
            found.candidate_tokens += len(prompts.tokens[index])

        report = session.stage("score")
        found.prefix_tokens, found.dropped = len(prefix), prompts.dropped
        engine.margins(
            prefix, prompts.tokens, answers, exact=exact, on_result=keep, on_progress=report, cancel=session.stop
        )
    except Cancelled:
        session.whole.check()  # not the time, but the caller
    return found


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
