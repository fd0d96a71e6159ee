"""Signals fused without a model, cross-fitted by user, and what a model adds to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.scripted import Scripted, noisy
from tests.signals import worlds
from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import DataError
from trsr_lite.evaluation.evaluate import compare, rank_lists
from trsr_lite.evaluation.fused import FusedSystem, ListSignals, model_adds
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.outcomes import ListOutcome
from trsr_lite.evaluation.systems import Answer
from trsr_lite.evaluation.token_source import TokenSource
from trsr_lite.metrics.intervals import LEAST
from trsr_lite.settings import Settings

TOKENS = TokenSource(worlds.WordTokenizer, worlds.Table(), "b2:table")
USERS = 2 * LEAST


def lists(count: int = USERS, users: int | None = None) -> EvalLists:
    """Users of one topic each, who chose one item of it among five of any."""
    known, rng = worlds.items(240), np.random.default_rng(3)
    examples = {}
    for number in range(count):
        topic = [one for one in known if one.attributes["category"] == list(worlds.TOPICS)[number % 4]]
        own = [topic[place] for place in rng.permutation(len(topic))[:5]]
        others = [known[place] for place in rng.permutation(len(known))[:8] if known[place] not in own][:4]
        labels = tuple(int(place == number % 5) for place in range(len(others) + 1))
        others.insert(number % 5, own[-1])
        examples[number] = Example(f"u{number % (users or count)}", tuple(own[:-1]), tuple(others), labels)
    return EvalLists(examples, known, None, {"made": "by hand"})


def outcomes(made: EvalLists, scores: dict[int, list[float] | None]) -> list[ListOutcome]:
    return [
        ListOutcome(
            "m", number, one.user_id, tuple(item.id for item in one.candidates), one.labels,
            None if (found := scores[number]) is None else tuple(found),
        )
        for number, one in sorted(made.examples.items())
    ]  # fmt: skip


def noise(made: EvalLists, strength: float) -> dict[int, list[float] | None]:
    rng = np.random.default_rng(5)
    return {
        number: (strength * np.array(one.labels) + rng.normal(size=len(one.labels))).tolist()
        for number, one in made.examples.items()
    }


def test_the_fusion_ranks_by_what_its_signals_say() -> None:
    made = lists()
    found = rank_lists(made, [FusedSystem(ListSignals.of(made, tokens=TOKENS)), Scripted("chance", noisy(1, 0.0))])
    assert found.systems["fused"]["auc"]["value"] > found.systems["chance"]["auc"]["value"] + 0.2


def test_a_users_labels_never_reach_the_weights_that_rank_this_user() -> None:
    made = lists()
    one = made.examples[7]
    turned = replace(one, labels=tuple(int(place == (one.labels.index(1) + 1) % 5) for place in range(len(one.labels))))
    other = replace(made, examples={**made.examples, 7: turned})
    scores = []
    for each in (made, other):
        system = FusedSystem(ListSignals.of(each, tokens=TOKENS))
        system.prepare(list(each.examples.values()), None)
        scores.append(system.answer(each.examples[7]).scores.tolist())
    assert scores[0] == scores[1]


def test_lists_of_one_user_are_ranked_by_the_same_weights() -> None:
    """Where there is one user, nobody else's lists can teach weights, and all signals count alike."""
    made = lists(20, users=1)
    system = FusedSystem(ListSignals.of(made))
    system.prepare([], None)
    first, again = (system.answer(made.examples[3]).scores.tolist() for _ in range(2))
    assert first == again


def test_answers_depend_on_all_lists_and_not_on_those_that_are_missing() -> None:
    made = lists()
    whole, part = (FusedSystem(ListSignals.of(made, tokens=TOKENS)) for _ in range(2))
    whole.prepare(list(made.examples.values()), None)
    part.prepare([made.examples[3]], None)
    assert whole.answer(made.examples[3]).scores.tolist() == part.answer(made.examples[3]).scores.tolist()


def test_the_fusion_is_another_system_on_other_lists_and_with_other_tokens() -> None:
    made = lists()
    plain = FusedSystem(ListSignals.of(made)).identity
    assert plain == FusedSystem(ListSignals.of(lists())).identity
    assert plain != FusedSystem(ListSignals.of(made, tokens=TOKENS)).identity
    assert plain != FusedSystem(ListSignals.of(lists(USERS + 1))).identity


def test_a_model_that_knows_more_adds_and_one_of_noise_does_not() -> None:
    made = lists(4 * USERS)
    signals = ListSignals.of(made, tokens=TOKENS)
    good, bad = (model_adds(signals, "m", outcomes(made, noise(made, strength))) for strength in (3.0, 0.0))
    area = good["metrics"]["auc"]
    assert area["value"] == pytest.approx(area["with"] - area["without"], abs=2e-5) and area["value"] > 0.02
    assert area["low"] > 0 and area["p"] < 0.05 and area["detectable"] > 0
    assert abs(bad["metrics"]["auc"]["value"]) < 0.02
    assert good["weights"]["model"] > bad["weights"]["model"] >= 0
    assert list(good["metrics"]) == ["auc", "recall@3", "ndcg@10"]
    assert good["system"] == "m" and "cross-fitted" in good["fusion"] and "model" not in good["signals"]


def test_what_is_without_the_model_is_the_baseline_fused() -> None:
    made = lists()
    signals = ListSignals.of(made, tokens=TOKENS)
    found = rank_lists(made, [FusedSystem(signals)]).systems["fused"]
    added = model_adds(signals, "m", outcomes(made, noise(made, 1.0)))["metrics"]
    assert {name: added[name]["without"] for name in added} == {name: found[name]["value"] for name in added}


def test_a_list_that_the_model_could_not_rank_is_ranked_by_the_others() -> None:
    made = lists()
    scores = noise(made, 3.0)
    scores[4] = None
    assert model_adds(ListSignals.of(made), "m", outcomes(made, scores))["metrics"]["auc"]["value"] > 0


def test_a_bundle_that_fuses_is_judged_by_its_own_weights() -> None:
    made = lists()
    margins, others = noise(made, 3.0), noise(made, 0.5)
    fused = {number: (np.array(margins[number]) + np.array(others[number])).tolist() for number in made.examples}
    answers = [replace(one, model_parts=tuple(margins[one.number] or ())) for one in outcomes(made, fused)]
    found = model_adds(ListSignals.of(made), "m", answers)
    alone = rank_lists(made, [Scripted("o", lambda one: others[int(one.user_id[1:])] or [])]).systems["o"]
    assert (found["fusion"], found["signals"]) == ("those of the bundle", None)
    assert found["metrics"]["auc"]["without"] == pytest.approx(alone["auc"]["value"], abs=2e-5)
    assert found["metrics"]["auc"]["value"] > 0


class Model(Scripted):
    """A scripted system that has settings, as models have."""

    settings = Settings()

    def with_settings(self, settings: Settings) -> Model:
        return self


def test_an_evaluation_says_what_each_model_adds_and_of_no_other_system() -> None:
    made = lists()
    signals = ListSignals.of(made, tokens=TOKENS)
    systems = [Model("m", noisy(1, 3.0)), Model("n", noisy(2, 0.0)), Scripted("s", noisy(3)), FusedSystem(signals)]
    found = rank_lists(made, systems, signals=signals)
    assert [one["system"] for one in found.model_adds] == ["m", "n"]
    assert found.to_dict()["model_adds"] == list(found.model_adds)
    assert "model_adds" not in rank_lists(made, systems).to_dict()


def test_answers_that_are_there_give_the_same_figures_as_an_evaluation() -> None:
    made = lists()
    signals = ListSignals.of(made, tokens=TOKENS)
    found = rank_lists(made, [Model("m", noisy(1, 3.0)), FusedSystem(signals)], signals=signals, notes=["read me"])
    again = compare(made, found.outcomes, signals=signals, models=["m"], notes=["read me"])
    assert again.to_dict() == found.to_dict()


def test_of_too_few_users_nothing_is_said() -> None:
    made = lists(LEAST - 1)
    assert rank_lists(made, [Model("m", noisy(1))], signals=ListSignals.of(made)).model_adds == []
    with pytest.raises(DataError, match="lists to fit weights on"):
        few = lists(4)
        FusedSystem(ListSignals.of(few)).prepare([], None)


def test_answers_are_float64_for_every_candidate() -> None:
    made = lists()
    system = FusedSystem(ListSignals.of(made))
    system.prepare([], None)
    answer = system.answer(made.examples[0])
    assert isinstance(answer, Answer)
    assert answer.scores.shape == (len(made.examples[0].candidates),) and answer.scores.dtype == np.float64
