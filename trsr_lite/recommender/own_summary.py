"""A preference that the user wrote: it stands where a generated summary would.

Invariant: it is one line, as text of items is, and no part of it can become markup. It is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from trsr_lite.errors import SettingsError
from trsr_lite.prompts.templates import fold
from trsr_lite.results import Summary
from trsr_lite.signals.signal import MODEL


def own_summary(text: str | None, names: Sequence[str]) -> Summary | None:
    """The summary that `text` is, None without one; raises `SettingsError` where it is empty or nobody would read it.

    `names` are the signals that rank: only the model reads a summary.
    """
    if text is None:
        return None
    folded = fold(text) if isinstance(text, str) else ""
    if not any(sign.isalnum() for sign in folded):
        raise SettingsError("the summary is empty", hint="leave it out, and one is made of the history")
    if MODEL not in names:
        raise SettingsError(
            "the model reads a summary, and it is not among the signals that rank", hint="add `--signals model`"
        )
    return Summary(folded)
