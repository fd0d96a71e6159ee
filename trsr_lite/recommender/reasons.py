"""Why a candidate stands where it does, in words for the user.

Invariant: a sentence says only what the result holds: liked history items that signals found near, values that both
have in an attribute, and what each part adds. Where nothing is known it says so, and invents no reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from trsr_lite import feedback
from trsr_lite.domains import domain as domains
from trsr_lite.models.bundle import Bundle
from trsr_lite.prompts import attributes
from trsr_lite.prompts.templates import fold
from trsr_lite.records import Item, User
from trsr_lite.results import Recommendation
from trsr_lite.signals.signal import MODEL

NEAREST = 2  # history items that a sentence names
SHARED = 3  # values that it names
SHORT = 40  # characters: a longer value is a text, not a property
CHOSE = {"product": "chose"}  # nobody knows whether a product was bought
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def explain(entry: Recommendation, user: User, bundle: Bundle, domain: str) -> str:
    """One line, such as `like "Comet returns", which you read in March 2026; the model says yes (0.81)`."""
    history = {item.id: item for item in feedback.liked(user.history)}
    near = [history[name] for name in entry.because if name in history][:NEAREST]
    shared = _shared(entry.item, near)
    reasons = []
    if near and (shared or entry.score >= 0.5):  # the nearest of an unlikely candidate may be far away
        reasons.append(_likeness(near, domain))
    elif near:
        reasons.append(f"little in common with what you {_did(domain)}")
    if shared:
        reasons.append(f"shares {', '.join(shared)}")
    if (chance := _chance(entry, bundle)) is not None:
        reasons.append(f"the model says {'yes' if chance >= 0.5 else 'no'} ({chance:.2f})")
    if others := [f"{name} {value:+.2f}" for name, value in entry.parts.items() if name != MODEL and value]:
        reasons.append(", ".join(others))
    return "; ".join(reasons) or "nothing in the history speaks for it or against it"


def _likeness(items: Sequence[Item], domain: str) -> str:
    """Titles, and when the user had them; items of the same month are named together."""
    groups: list[tuple[str, list[str]]] = []
    for item in items:
        title, month = f'"{fold(item.title)}"', _month(item)
        if groups and groups[-1][0] == month:
            groups[-1][1].append(title)
        else:
            groups.append((month, [title]))
    when = f", which you {_did(domain)} in"
    named = [f"{' and '.join(titles)}{f'{when} {month}' if month else ''}" for month, titles in groups]
    return f"like {', and '.join(named)}"


def _did(domain: str) -> str:
    return CHOSE.get(domain) or domains.of(domain).did


def _month(item: Item) -> str:
    """The month of an item's time; empty where it has none, or one that no calendar has."""
    if item.time is None:
        return ""
    try:
        return f"{EPOCH + timedelta(seconds=item.time):%B %Y}"
    except OverflowError:
        return ""


def _shared(candidate: Item, items: Sequence[Item]) -> list[str]:
    """Short values that a history item has in the same attribute; titles and texts are no properties."""
    found = [
        fold(value)
        for name, value in candidate.attributes.items()
        if name != "title" and len(value) <= SHORT and attributes.for_people(name, value)
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
