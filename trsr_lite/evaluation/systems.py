"""What ranks the same lists: bundles, GGUF files and baselines. `torch_system` has training runs.

Invariant: a system sees a history and candidates, never labels. Its answer to one list depends on no other list.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError
from trsr_lite.evaluation.baselines.make import OF_TOKENS, VERSIONS, make
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.prompts import templates
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import Item, User
from trsr_lite.results import OnProgress, Recommendation
from trsr_lite.settings import Settings
from trsr_lite.signals.signal import MODEL


@dataclass(frozen=True)
class Answer:
    """A system's answer to one list.

    Attributes
    ----------
    scores: (candidates,) what ranks them: margins of models in float32, else the system's own scores.
    probabilities: (candidates,) calibrated probability of yes, for systems that have one.
    label_mass: mean probability that the model answers yes or no at all, for models.
    summary: the preference summary it saw.
    model_parts: (candidates,) what the language model's margin adds to the scores, for a bundle that fuses signals.
    """

    scores: npt.NDArray[np.float64]
    probabilities: npt.NDArray[np.float64] | None = None
    label_mass: float | None = None
    summary: str | None = None
    model_parts: npt.NDArray[np.float64] | None = None


class System(Protocol):
    """What is evaluated."""

    @property
    def name(self) -> str:
        """What people call it; no two systems share one."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Everything its answers depend on beside the list, as plain JSON values."""

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Work that is better done for all lists together, such as summaries; returns its seconds."""

    def answer(self, example: Example) -> Answer:
        """Scores of one list; raises `TrsrError` where it cannot rank it."""

    def release(self) -> None:
        """Give back the memory of what is loaded again when it is needed again."""


@runtime_checkable
class Adjustable(System, Protocol):
    """A system with settings: one that reads summaries and recent items."""

    @property
    def settings(self) -> Settings:
        """How it builds summaries and prompts."""

    def with_settings(self, settings: Settings) -> System:
        """The same system, with the same model in memory, but with these settings."""


class BaselineSystem:
    """A baseline by its name, made of `materials`."""

    def __init__(self, name: str, materials: Materials) -> None:
        self.name, self._materials = name, materials
        self._ranker = make(name, materials)
        self.identity: dict[str, Any] = {
            "baseline": name,
            "version": VERSIONS.get(name, 1),
            "seed": materials.seed,
        }
        if name in OF_TOKENS:
            self.identity["tokens"] = materials.tokens.identity if materials.tokens else None

    def with_items(self, items: Sequence[Item]) -> BaselineSystem:
        """The same baseline, made of these items instead."""
        return BaselineSystem(self.name, replace(self._materials, items=items))

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Nothing."""
        return 0.0

    def answer(self, example: Example) -> Answer:
        """Its scores."""
        return Answer(self._ranker.score(example))

    def release(self) -> None:
        """Nothing."""


class BundleSystem:
    """A bundle or GGUF through `Recommender`, as `trsr-lite recommend` uses it."""

    def __init__(self, name: str, recommender: Recommender, *, exact: bool = False) -> None:
        self.name = f"{name} (exact)" if exact else name
        self.settings = recommender.settings
        self._recommender, self._exact = recommender, exact
        self.bundle = bundle = recommender.bundle
        self.origin = bundle.origin
        self.identity: dict[str, Any] = {
            "recommender": bundle.recommender.identity,
            "summarizer": bundle.summarizer.identity,
            "settings": self.settings.to_dict(),
            "calibration": asdict(bundle.calibration),
            "prompts": PROMPT_VERSION,
            "exact": exact,
            **({"signals": bundle.signals.identity} if bundle.signals else {}),
        }

    def with_settings(self, settings: Settings) -> BundleSystem:
        """The same models with other settings."""
        other = copy.copy(self)
        other.settings, other.identity = settings, {**self.identity, "settings": settings.to_dict()}
        return other

    def prepare(self, examples: Sequence[Example], progress: OnProgress | None) -> float:
        """Summaries of all histories, generated together."""
        return summarize(self._recommender, self.settings, examples, progress)

    def answer(self, example: Example) -> Answer:
        """Margins, and what the bundle's calibration makes of them."""
        recommender = self._recommender.with_settings(self.settings.updated(domain=example.domain))
        # Without an id: users of an evaluation are nobody's users to forget.
        user = User(user_id="", history=example.history, candidates=())
        result = recommender.recommend(user, example.candidates, exact=self._exact)
        found = {entry.item.id: entry for entry in result.recommendations}
        entries = [found[item.id] for item in example.candidates]
        masses = [entry.label_mass for entry in entries if entry.label_mass is not None]
        return Answer(
            np.array([entry.margin for entry in entries], np.float64),
            np.array([entry.score for entry in entries], np.float64),
            float(np.mean(masses)) if masses else None,
            result.summary,
            _model_parts(entries),
        )

    def release(self) -> None:
        """Unload its models."""
        self._recommender.unload()


def _model_parts(entries: Sequence[Recommendation]) -> npt.NDArray[np.float64] | None:
    """(candidates,) what the model adds to each, 0 where it scored nothing; None where it ranks alone."""
    if all(entry.parts.keys() <= {MODEL} for entry in entries):
        return None
    return np.array([entry.parts.get(MODEL, 0.0) for entry in entries], np.float64)


def summarize(
    recommender: Recommender, settings: Settings, examples: Sequence[Example], progress: OnProgress | None
) -> float:
    """Fill the cache with the summaries of all histories that can be shown; returns the seconds it took.

    As in training, a list that says what its items are is summarized in their nouns.
    """
    start = time.perf_counter()
    histories: dict[str | None, list[Sequence[Item]]] = {}
    for example in examples if settings.strategy != "none" else ():
        if _can_be_shown(example.history, settings):
            histories.setdefault(example.domain, []).append(example.history)
    for domain, members in histories.items():
        in_domain = recommender.with_settings(settings.updated(domain=domain))
        in_domain.summaries(members, progress=progress, deterministic=True, nodes=False)
    return time.perf_counter() - start


def _can_be_shown(history: Sequence[Item], settings: Settings) -> bool:
    """Whether a model sees something of every item. A list for which it does not fails alone, when it is ranked."""
    try:
        for item in history:
            templates.shown(item, settings)
    except DataError:
        return False
    return True
