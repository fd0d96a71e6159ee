"""Did the ranking survive? Margins of the model that was trained against those of every file made from it.

Invariant: both sides rank the same lists from the same text. Tokens are compared before margins. A step is judged
against the adapter in torch, float32, not against the step before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trsr_lite.engine.interface import Engine, Tokenizer
from trsr_lite.errors import VerificationError
from trsr_lite.metrics import intervals, ranking
from trsr_lite.prompts import fingerprint, templates
from trsr_lite.settings import Settings
from trsr_lite.training.ranking_data import RankingExample

Margins = Sequence[npt.NDArray[np.float32]]
TOP = 3
TIE = 0.01  # logits: items with the same text come this close, and then nobody is right about their order
RIDGE = 1e-4  # on standardized margins
LEAST_SLOPE = 1e-3
NOISE_SAFETY = 2.0  # a bundle meets longer lists than it was verified on


@dataclass(frozen=True)
class Comparison:
    """How one model's margins compare with the reference's, over all lists.

    Attributes
    ----------
    max_difference: largest |margin − reference margin|.
    tau: mean Kendall tau-b.
    top: mean overlap of the first three.
    recall, mrr: (change, low, high) of Recall@3 and MRR@10 with 95 % paired bootstrap intervals.
    """

    max_difference: float
    tau: float
    top: float
    recall: tuple[float, float, float]
    mrr: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """Rounded plain JSON values."""
        return {
            name: [round(part, 5) for part in value] if isinstance(value, tuple) else round(value, 5)
            for name, value in asdict(self).items()
        }


def check_tokens(lists: Sequence[RankingExample], settings: Settings, ours: Tokenizer, theirs: Tokenizer) -> None:
    """Raise `VerificationError` where two tokenizers read a probe, an answer or a prompt differently."""
    probes = (fingerprint.tokens(tokenizer) for tokenizer in (ours, theirs))
    if (text := fingerprint.first_difference(*probes, shown=True)) is not None:
        raise VerificationError(f"the GGUF's tokenizer reads {text} differently than the tokenizer of the base")
    for one in lists:
        prompts = [one.asked(settings, tokenizer) for tokenizer in (ours, theirs)]
        left, right = (
            [tokenizer.tokenize(part.prefix), *(tokenizer.tokenize(end, start=False) for end in part.suffixes)]
            for tokenizer, part in zip((ours, theirs), prompts, strict=True)
        )
        if left != right:
            place = next(index for index, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1])
            what = "the shared prompt" if place == 0 else f"candidate {one.candidates[place - 1].id!r}"
            raise VerificationError(f"the GGUF's tokenizer reads {what} of a list differently than that of the base")
        answers = [
            templates.answer_ids(part.suffixes[0], tokenizer)
            for tokenizer, part in zip((ours, theirs), prompts, strict=True)
        ]
        if answers[0] != answers[1]:
            raise VerificationError(f"the answers are tokens {answers[1]} in the GGUF and {answers[0]} in the base")


def margins(engine: Engine, lists: Sequence[RankingExample], settings: Settings, *, exact: bool) -> Margins:
    """(candidates,) margins of each list, as `recommend` computes them."""
    found = []
    for one in lists:
        prompts = one.asked(settings, engine)
        prefix = engine.tokenize(prompts.prefix)
        answers = templates.answer_ids(prompts.suffixes[0], engine)
        scored = engine.margins(prefix, prompts.tokens, answers, exact=exact)
        found.append(np.array([entry.margin for entry in scored], np.float32))
    return found


def compare(reference: Margins, found: Margins, lists: Sequence[RankingExample]) -> Comparison:
    """The differences of margins, ranks and metrics."""
    labels = [np.asarray(one.labels) for one in lists]

    def change(metric: Any, k: int) -> tuple[float, float, float]:
        before, after = (
            np.array([metric(values, label, k) for values, label in zip(margins, labels, strict=True)])
            for margins in (reference, found)
        )
        interval = intervals.difference(after, before, least=1).change
        return interval.value, float(interval.low or 0), float(interval.high or 0)

    pairs = list(zip(reference, found, strict=True))
    return Comparison(
        max_difference=max(float(np.abs(old - new).max()) for old, new in pairs),
        tau=float(np.mean([kendall(old, new) for old, new in pairs])),
        top=float(np.mean([len(_top(old) & _top(new)) / min(TOP, len(old)) for old, new in pairs])),
        recall=change(ranking.recall_at, 3),
        mrr=change(ranking.mrr_at, 10),
    )


def kendall(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Kendall's tau-b of a reference and the margins found; those closer than `TIE` are ties.

    1 where the reference orders nothing, which nothing can lose; 0 where only the other does not.
    """
    left, right = np.triu_indices(len(one), 1)
    signs, others = (
        np.sign(values[left] - values[right]) * (np.abs(values[left] - values[right]) >= TIE) for values in (one, other)
    )
    scale = float(np.sqrt(np.count_nonzero(signs) * np.count_nonzero(others)))
    return float(signs @ others) / scale if scale else float(not signs.any())


def noise_floor(fast: Margins, exact: Margins) -> float:
    """How far computing in batches can move one margin against another of its list."""
    moved = [one - other for one, other in zip(fast, exact, strict=True)]
    return round(NOISE_SAFETY * max(float(values.max() - values.min()) for values in moved), 4)


def calibrate(found: Margins, lists: Sequence[RankingExample]) -> Mapping[str, float]:
    """Temperature and bias for which sigmoid((margin − bias) / temperature) fits the labels best.

    Positives and negatives count alike, so that 0.5 means as likely as not, whatever the length of the lists.
    """
    margins = np.concatenate([np.asarray(margin, np.float64) for margin in found])
    labels = np.concatenate([np.asarray(one.labels, np.float64) for one in lists])
    weights = np.where(labels == 1, 0.5 / labels.sum(), 0.5 / (1 - labels).sum())
    middle, spread = margins.mean(), max(margins.std(), 1e-6)  # far from 0, slope and offset could not be told apart
    values = (margins - middle) / spread
    slope, offset = _logistic(values, labels, weights)
    if slope < LEAST_SLOPE:  # a model that ranks backwards is not turned round by a score: it says nothing
        slope, offset = LEAST_SLOPE, -LEAST_SLOPE * float(weights @ values)
    temperature, bias = spread / slope, middle - spread * offset / slope
    return {"temperature": max(round(float(temperature), 5), 1e-5), "bias": round(float(bias), 5)}


def _logistic(
    values: npt.NDArray[np.float64], labels: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """(slope, offset) of the logistic regression of labels on values; raises `VerificationError` where there is none.

    Newton's method on a convex loss, with a little ridge against separable lists; a step that overshoots is halved.
    """

    def loss(at: npt.NDArray[np.float64]) -> float:
        inputs = at[0] * values + at[1]
        return float(weights @ (np.logaddexp(0, inputs) - labels * inputs) + RIDGE / 2 * at @ at)

    known = np.stack([values, np.ones_like(values)])
    at = np.array([1.0, 0.0])
    for _ in range(100 if np.isfinite(values).all() else 0):
        probability = (1 + np.tanh(at @ known / 2)) / 2
        gradient = known @ (weights * (probability - labels)) + RIDGE * at
        if np.abs(gradient).max() < 1e-9:
            return float(at[0]), float(at[1])
        hessian = known * (weights * probability * (1 - probability)) @ known.T + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        while loss(at - step) > loss(at) + 1e-12:
            step = step / 2
        at = at - step
    raise VerificationError("no temperature and bias fit the margins of the held-out lists")


def _top(values: npt.NDArray[Any]) -> set[int]:
    return set(np.argsort(-values, kind="stable")[:TOP].tolist())
