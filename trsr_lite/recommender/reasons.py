"""Why a candidate stands where it does, in words for the user.

Invariant: a sentence says only what the result holds: history items that signals found near, values that both have in
an attribute, and what each part adds. Where nothing is known it says so, and invents no reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from trsr_lite.domains import domain as domains
from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts.templates import fold
from trsr_lite.records import Item, User
from trsr_lite.results import Recommendation
from trsr_lite.signals.signal import MODEL

NEAREST = 2  # history items that a sentence names
SHARED = 3  # values that it names
SHORT = 40  # characters: a longer value is a text, not a property
VERBS = {"item": "of", "product": "which you chose in"}  # nobody knows whether a product was bought


def explain(entry: Recommendation, user: User, bundle: Bundle, domain: str) -> str:
    """One line, such as `like "Comet returns", which you read in March 2026; the model says yes (0.81)`."""
    history = {item.id: item for item in user.history}
    near = [history[name] for name in entry.because if name in history][:NEAREST]
    reasons = [_likeness(near, domain)] if near else []
    if shared := _shared(entry.item, near):
        reasons.append(f"shares {', '.join(shared)}")
    if (chance := _chance(entry, bundle)) is not None:
        reasons.append(f"the model says {'yes' if chance >= 0.5 else 'no'} ({chance:.2f})")
    if others := [f"{name} {value:+.2f}" for name, value in entry.parts.items() if name != MODEL and value]:
        reasons.append(", ".join(others))
    return "; ".join(reasons) or "nothing in the history speaks for it or against it"


def _likeness(items: Sequence[Item], domain: str) -> str:
    named = []
    for item in items:
        verb = VERBS.get(domain) or f"which you {domains.of(domain).did} in"
        when = "" if item.time is None else f", {verb} {datetime.fromtimestamp(item.time, UTC):%B %Y}"
        named.append(f'"{fold(item.title)}"{when}')
    return f"like {' and '.join(named)}"


def _shared(candidate: Item, items: Sequence[Item]) -> list[str]:
    """Short values that a history item has in the same attribute; titles and texts are no properties."""
    found = [
        fold(value)
        for name, value in candidate.attributes.items()
        if name != "title" and len(value) <= SHORT
        for item in items
        if item.attributes.get(name, "").casefold() == value.casefold()
    ]
    return list(dict.fromkeys(found))[:SHARED]


def _chance(entry: Recommendation, bundle: Bundle) -> float | None:
    """What the model alone would say, as a probability; None where it did not score the candidate."""
    if MODEL not in entry.parts:
        return None
    if entry.parts.keys() == {MODEL} or bundle.signals is None:
        return entry.score
    weight = bundle.signals.fusion.weights[MODEL]
    return bundle.calibration.score(entry.parts[MODEL] / weight.weight * weight.scale + weight.mean)
