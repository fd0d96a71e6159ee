"""Systems on the same lists: the figures are those of their definitions; no order, failure or neighbour moves them."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.scripted import Scripted, after, example, failing, item, lists, noisy, of, timeless
from trsr_lite import FakeEngine, Recommender, Settings
from trsr_lite.datasets.dataset import Example
from trsr_lite.errors import Cancelled, Closed, DataError, ModelError, SettingsError, TrsrError
from trsr_lite.evaluation import tables
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.evaluate import Evaluation, rank_lists
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.systems import BaselineSystem, BundleSystem
from trsr_lite.metrics import calibration, intervals
from trsr_lite.metrics.intervals import LEAST
from trsr_lite.models.calibration import Calibration
from trsr_lite.prompts.templates import DOMAINS
from trsr_lite.results import Progress
from trsr_lite.summaries.store import SummaryStore

METRICS = [f"{name}@{k}" for k in (3, 5, 10) for name in ("recall", "mrr", "ndcg")] + ["auc"]
NONE = Settings(strategy="none")


def values(found: Evaluation, system: str, metric: str) -> Any:
    """The values of one metric, by list."""
    return tables.table(found.outcomes[system])[metric]


def by_system(found: Evaluation) -> dict[str, Any]:
    """What was found, with the comparisons in no order."""
    data = timeless(found)
    return {**data, "comparisons": {one["system"]: one for one in data["comparisons"]}}


# Figures

KNOWN: dict[str, tuple[list[float], list[int]]] = {
    "a": ([0.9, 0.8, 0.7, 0.1, 0.0], [0, 1, 0, 1, 0]),
    "b": ([0.5, 0.5, 0.5, 0.5], [0, 0, 1, 0]),
    "c": ([-1.0, -2.0], [1, 0]),
}


def known(example: Example) -> list[float]:
    return KNOWN[example.user_id][0]


def test_figures_are_those_computed_by_hand() -> None:
    made = of([example(name, labels) for name, (_, labels) in KNOWN.items()])
    found = rank_lists(made, [Scripted("s", known)]).systems["s"]
    expected = {
        "recall@3": (0.5 + 0.75 + 1) / 3,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "mrr@3": (1 / 2 + (1 + 1 / 2 + 1 / 3) / 4 + 1) / 3,
        "mrr@10": (1 / 2 + (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4 + 1) / 3,
        "ndcg@3": (1 / math.log2(3) / (1 + 1 / math.log2(3)) + (1 + 1 / math.log2(3) + 1 / 2) / 4 + 1) / 3,
        "auc": (0.5 + 0.5 + 1) / 3,
    }
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected, abs=1e-5)
    assert list(found) == [*METRICS, "seconds_per_list", "failed"]


def test_figures_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn: `pip install 'trsr-lite[evaluate]'`")
    rng = np.random.default_rng(0)
    made = of([example(f"u{number}", [1, *rng.integers(0, 2, 14).tolist(), 0]) for number in range(40)])
    found = rank_lists(made, [Scripted("s", noisy(1, 0.3))])
    scored = [(outcome.labels, outcome.scores) for outcome in found.outcomes["s"]]
    assert found.systems["s"]["auc"]["value"] == pytest.approx(
        np.mean([metrics.roc_auc_score(labels, scores) for labels, scores in scored]), abs=1e-5
    )
    for k in tables.KS:
        assert found.systems["s"][f"ndcg@{k}"]["value"] == pytest.approx(
            np.mean([metrics.ndcg_score([labels], [scores], k=k) for labels, scores in scored]), abs=1e-5
        )


def test_a_figure_has_the_interval_of_its_values() -> None:
    found = rank_lists(lists(40), [Scripted("s", noisy(1, 0.5))])
    for metric in METRICS:
        assert found.systems["s"][metric] == intervals.mean(values(found, "s", metric)).to_dict()


def test_an_evaluation_is_plain_json_with_the_documented_keys() -> None:
    data = rank_lists(lists(25), [Scripted("a", noisy(1)), Scripted("b", noisy(2))], notes=["mind"]).to_dict()
    assert list(data) == ["schema", "users", "lists", "systems", "groups", "comparisons", "notes"]
    assert (data["schema"], data["users"], data["lists"], data["groups"]) == (1, 25, 25, {})
    assert data["notes"] == ["mind"]
    assert list(data["systems"]) == ["a", "b"]
    assert set(data["systems"]["a"]["recall@3"]) == {"value", "low", "high"}


def test_a_list_that_says_what_its_items_are_is_read_in_their_nouns(
    make_recommender: Callable[..., Recommender], fake: Any
) -> None:
    """As in training: the summaries, made for all lists together, and the question."""
    domains = ["news", "product", None, "news"]
    titles = [f"{domain} {number}" for number, domain in enumerate(domains)]
    examples = [
        replace(example(f"u{number}", [0, 1], titles=[title, title], history=6), domain=domain)
        for number, (title, domain) in enumerate(zip(titles, domains, strict=True))
    ]
    model = BundleSystem("model", make_recommender(Settings(domain="item", block_size=2, recent_items=2)))
    rank_lists(of(examples), [model])
    asked = [prompt for prompt in fake.prompts if "in one sentence" in prompt]
    assert asked
    for domain in ("news", "product", "item"):
        assert any(DOMAINS[domain].items in prompt for prompt in asked)
    for title, domain in zip(titles, domains, strict=True):
        nouns = DOMAINS[domain or "item"]
        questions = [prompt for prompt in fake.scored if f"\n- {title}\n" in prompt]
        assert questions
        assert all(f"this {nouns.person} {nouns.would}" in prompt for prompt in questions)


# Order


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_lists_and_systems_changes_nothing(
    make_recommender: Callable[..., Recommender], seed: int
) -> None:
    made = lists(30, counts={f"u{number}-{place}": 1 for number in range(12) for place in range(5)})

    def systems() -> list[Any]:
        return [
            Scripted("good", noisy(1, 0.7)),
            Scripted("odd", failing(noisy(2), DataError("cannot"), ["u3", "u20"])),
            BundleSystem("model", make_recommender(NONE)),
            BaselineSystem("random", Materials(())),
        ]

    first = by_system(rank_lists(made, systems()))
    numbers, (head, *others) = list(made.examples), systems()
    mixed = random.Random(seed)
    mixed.shuffle(numbers)
    mixed.shuffle(others)
    again = EvalLists({number: made.examples[number] for number in numbers}, made.items, made.counts, made.facts)
    found = rank_lists(again, [head, *others])
    notes = sorted(found.notes)
    assert {**by_system(found), "notes": notes} == {**first, "notes": sorted(first["notes"])}
    assert [outcome.number for outcome in found.outcomes["odd"]] == sorted(numbers)


def test_other_systems_change_no_figure_of_a_system() -> None:
    alone = rank_lists(lists(30), [Scripted("a", noisy(1))])
    together = rank_lists(lists(30), [Scripted("b", noisy(2)), Scripted("a", noisy(1)), Scripted("c", noisy(3))])
    assert timeless(together)["systems"]["a"] == timeless(alone)["systems"]["a"]


def test_a_list_is_known_by_its_number_and_not_by_its_user() -> None:
    """A user may have several lists, as in MIND's impressions."""
    one, other = example("u", [1, 0, 0, 0]), example("u", [0, 0, 0, 1])
    found = rank_lists(of([one, other]), [Scripted("s", lambda _: [4, 3, 2, 1])])
    assert values(found, "s", "recall@3").tolist() == [1.0, 0.0]


def several(users: int, each: int) -> EvalLists:
    """Lists of few users."""
    made = lists(users * each, counts={f"u{number}-{place}": 1 for number in range(users * each) for place in (0, 1)})
    named = {number: replace(one, user_id=f"u{number % users}") for number, one in made.examples.items()}
    return replace(made, examples=named)


def test_lists_of_one_user_are_one_observation_to_every_figure() -> None:
    made = several(LEAST - 1, 6)
    whole = rank_lists(made, [Scripted("a", noisy(1, 0.3)), Scripted("b", noisy(2))])
    data = whole.to_dict()
    assert (data["users"], data["lists"]) == (LEAST - 1, 6 * (LEAST - 1))
    figure, (comparison,) = data["systems"]["a"]["recall@3"], data["comparisons"]
    assert [figure["low"], figure["high"], comparison["low"], comparison["high"]] == [None] * 4
    assert "114 lists of 19 users are too few for intervals (at least 20 users)" in data["notes"][0]
    assert "114 lists of 1 user are" in rank_lists(several(1, 114), [Scripted("a", noisy(1))]).notes[0]
    users = made.users()
    recalls = [values(whole, name, "recall@3") for name in "ba"]
    assert comparison["p"] == round(intervals.difference(*recalls, users).p, 4) != intervals.difference(*recalls).p
    for group in data["groups"].values():
        assert 0 < group["users"] < group["lists"]
        assert group["systems"]["a"]["recall@3"]["low"] is None
    assert sum(group["lists"] for group in data["groups"].values()) == data["lists"]


def test_the_intervals_of_a_systems_figures_are_by_user() -> None:
    made = several(30, 4)
    found = rank_lists(made, [Scripted("a", noisy(1, 0.3)), Scripted("b", noisy(2))])
    users = made.users()
    for metric in ("recall@3", "auc"):
        assert found.systems["a"][metric] == intervals.mean(values(found, "a", metric), users).to_dict()
    change = intervals.difference(values(found, "b", "recall@3"), values(found, "a", "recall@3"), users)
    assert {**found.comparisons[0], **change.to_dict()} == found.comparisons[0]
    assert found.systems["a"]["recall@3"] != intervals.mean(values(found, "a", "recall@3")).to_dict()


# Comparisons


def test_every_system_is_compared_with_the_first_on_the_same_lists() -> None:
    found = rank_lists(lists(40), [Scripted("a", noisy(1)), Scripted("b", noisy(2, 0.2)), Scripted("c", noisy(1))])
    assert [(one["system"], one["against"], one["metric"]) for one in found.comparisons] == [
        ("b", "a", "recall@3"),
        ("c", "a", "recall@3"),
    ]
    changes = intervals.difference(values(found, "b", "recall@3"), values(found, "a", "recall@3"))
    assert {**found.comparisons[0], **changes.to_dict()} == found.comparisons[0]
    assert found.comparisons[0]["value"] < 0
    assert (found.comparisons[1]["value"], found.comparisons[1]["p"]) == (0.0, 1.0)


def test_one_system_alone_is_compared_with_nothing() -> None:
    assert rank_lists(lists(5), [Scripted("a", noisy(1))]).comparisons == []


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "a"], []])
def test_systems_of_one_name_and_no_system_are_refused(names: list[str]) -> None:
    systems = [Scripted(name, noisy(1)) for name in names]
    with pytest.raises(SettingsError, match="each with its own name"):
        rank_lists(lists(5), systems)
    assert not any(system.asked for system in systems)


# Lists that a system cannot rank


@pytest.mark.parametrize("kind", [TrsrError, DataError, ModelError])
def test_a_list_that_cannot_be_ranked_counts_as_nothing_found_and_is_said(kind: type[TrsrError]) -> None:
    users = ["u4", "u9", "u17"]
    systems = [Scripted("good", noisy(1)), Scripted("odd", failing(noisy(1, 0.6), kind("too\x1b long"), users))]
    found = rank_lists(lists(25), systems)
    whole = rank_lists(lists(25), [Scripted("odd", noisy(1, 0.6))])
    assert (found.systems["odd"]["failed"], found.systems["good"]["failed"]) == (3, 0)
    for metric in METRICS:
        expected = values(whole, "odd", metric)
        expected[[4, 9, 17]] = 0.0
        assert values(found, "odd", metric).tolist() == expected.tolist()
        assert found.systems["odd"][metric]["value"] == pytest.approx(expected.mean(), abs=1e-5)
    (note,) = found.notes
    assert note == "odd could not rank 3 of 25 lists, which count as nothing found; the first: too\ufffd long"
    failed = [outcome for outcome in found.outcomes["odd"] if outcome.error]
    assert [(outcome.user_id, outcome.scores) for outcome in failed] == [(name, None) for name in users]
    changes = values(found, "odd", "recall@3") - values(found, "good", "recall@3")
    assert found.comparisons[0]["value"] == pytest.approx(changes.mean(), abs=1e-5)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_rank_nothing(wrong: float) -> None:
    def script(example: Example) -> list[float]:
        return [wrong, 1.0, 0.0, 0.0, 0.0] if example.user_id == "u3" else [0.0, 0.0, 0.0, 0.0, 1.0]

    found = rank_lists(lists(6), [Scripted("s", script)])
    assert found.systems["s"]["failed"] == 1
    assert "could not rank 1 of 6 lists" in found.notes[-1] and "not finite" in found.notes[-1]
    assert values(found, "s", "auc")[3] == 0.0


@pytest.mark.parametrize("error", [Cancelled("stopped"), Closed("closed"), KeyboardInterrupt(), ValueError("a bug")])
def test_a_stop_and_a_bug_end_the_evaluation(error: BaseException) -> None:
    system = Scripted("s", after(noisy(1), 2, error))
    with pytest.raises(type(error)):
        rank_lists(lists(5), [system])
    assert len(system.asked) == 3


def test_a_model_that_cannot_rank_its_first_list_is_broken_and_not_bad() -> None:
    """Else a file that is no model would reach a table, as a system that finds nothing."""
    broken = Scripted("broken", failing(noisy(1), ModelError("no model"), [f"u{number}" for number in range(5)]))
    with pytest.raises(ModelError, match="no model"):
        rank_lists(lists(5), [Scripted("good", noisy(1)), broken])
    assert len(broken.asked) == 1


def test_a_system_that_ranks_no_list_is_shown_all_the_same() -> None:
    nothing = failing(noisy(1), DataError("cannot"), [f"u{number}" for number in range(25)])
    found = rank_lists(lists(25), [Scripted("good", noisy(1)), Scripted("none", nothing)])
    assert (found.systems["none"]["failed"], found.systems["none"]["recall@3"]["value"]) == (25, 0.0)
    assert found.comparisons[0]["value"] == -found.systems["good"]["recall@3"]["value"]


# Notes and groups


@pytest.mark.parametrize(("count", "few"), [(1, True), (LEAST - 1, True), (LEAST, False)])
def test_too_few_lists_are_said_and_have_no_intervals(count: int, few: bool) -> None:
    found = rank_lists(lists(count), [Scripted("a", noisy(1)), Scripted("b", noisy(2))])
    said = "1 list is" if count == 1 else f"{count} lists are"
    bounds = [found.systems["a"]["recall@3"][name] for name in ("low", "high")]
    bounds += [found.comparisons[0][name] for name in ("low", "high")]
    assert [bound is None for bound in bounds] == [few] * 4
    assert [note for note in found.notes if "too few" in note] == (
        [f"{said} too few for intervals (at least {LEAST}): the figures may be chance"] if few else []
    )


def test_lists_whose_items_no_training_user_has_are_cold() -> None:
    labels = [1, 1, 0, 0]
    made = of(
        [example(f"u{number}", labels) for number in range(4)],
        # A negative alone warms no list; neither does an item that nobody has.
        counts={"u0-0": 1, "u1-1": 7, "u2-2": 9, "u3-0": 0},
    )
    found = rank_lists(made, [Scripted("s", lambda one: [4, 3, 2, 1] if one.user_id in ("u0", "u2") else [1, 2, 3, 4])])
    assert [made.warm(number) for number in made.examples] == [True, True, False, False]
    for group, expected in (("warm", 0.75), ("cold", 0.75)):
        assert found.groups[group]["users"] == 2
        assert found.groups[group]["systems"] == {"s": {"recall@3": {"value": expected, "low": None, "high": None}}}


def test_groups_have_the_values_of_their_lists() -> None:
    made = lists(60, size=9, counts={f"u{number}-{place}": 1 for number in range(25) for place in range(9)})
    found = rank_lists(made, [Scripted("a", noisy(1, 0.4)), Scripted("b", noisy(2))])
    for name in ("a", "b"):
        recalls = values(found, name, "recall@3")
        for group, part in (("warm", recalls[:25]), ("cold", recalls[25:])):
            assert found.groups[group]["systems"][name] == {"recall@3": intervals.mean(part).to_dict()}


def test_a_group_may_be_empty_and_without_counts_there_is_none() -> None:
    cold = rank_lists(lists(3, counts={}), [Scripted("s", noisy(1))])
    assert cold.groups["warm"] == {"users": 0, "lists": 0, "systems": {}}
    assert cold.groups["cold"]["users"] == 3
    assert rank_lists(lists(3), [Scripted("s", noisy(1))]).groups == {}


# Models


def rating(prompt: str) -> float:
    """The number in the candidate's title."""
    _, _, tail = prompt.rpartition("### Candidate")
    found = re.search(r"rated (-?[\d.]+)", tail)
    assert found is not None
    return float(found[1])


def rated(count: int = 24, *, history: int = 2) -> EvalLists:
    """Lists whose candidates' titles say how they are rated; the positive is often the best."""
    rng = np.random.default_rng(3)
    made = []
    for number in range(count):
        labels = [int(index == number % 5) for index in range(5)]
        ratings = (np.array(labels) * 1.5 + rng.normal(size=5)).round(3).tolist()
        made.append(example(f"u{number}", labels, titles=[f"rated {value}" for value in ratings], history=history))
    return of(made)


def test_a_model_ranks_by_its_margins_and_says_calibrated_probabilities(
    fake: FakeEngine, make_recommender: Callable[..., Recommender]
) -> None:
    fake.margin = rating
    how = Calibration(temperature=2.0, bias=0.25)
    found = rank_lists(
        rated(), [BundleSystem("m", make_recommender(NONE, calibration=how)), BaselineSystem("random", Materials(()))]
    )
    for outcome, one in zip(found.outcomes["m"], rated().examples.values(), strict=True):
        margins = [rating(f"### Candidate\n- {candidate.title}") for candidate in one.candidates]
        assert outcome.scores == tuple(margins)
        assert outcome.probabilities == pytest.approx([1 / (1 + math.exp((0.25 - value) / 2)) for value in margins])
        assert (outcome.ids, outcome.labels) == (tuple(each.id for each in one.candidates), one.labels)
    said = [value for outcome in found.outcomes["m"] for value in outcome.probabilities or ()]
    labels = [label for outcome in found.outcomes["m"] for label in outcome.labels]
    assert found.systems["m"]["calibration_error"] == {"value": round(calibration.error(said, labels), 5)}
    assert found.systems["m"]["label_mass"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_only_models_have_a_label_mass_and_a_calibration_error(make_recommender: Callable[..., Recommender]) -> None:
    found = rank_lists(lists(3), [BundleSystem("m", make_recommender(NONE)), BaselineSystem("random", Materials(()))])
    extra = {"label_mass", "calibration_error"}
    assert extra <= set(found.systems["m"])
    assert not extra & set(found.systems["random"])
    assert found.systems["m"]["label_mass"]["low"] is None


def test_a_list_that_failed_has_no_part_in_label_mass_and_calibration(
    fake: FakeEngine, make_recommender: Callable[..., Recommender]
) -> None:
    fake.margin = rating
    whole = rated(6)
    long = example("long", [1, 0], titles=["word " * 600, "rated 1"])
    model = BundleSystem("m", make_recommender(NONE))
    found = rank_lists(of([*whole.examples.values(), long]), [model])
    assert found.systems["m"]["failed"] == 1
    assert "its title alone needs" in found.notes[-1]
    clean = rank_lists(whole, [BundleSystem("m", make_recommender(NONE))])
    for name in ("label_mass", "calibration_error"):
        assert found.systems["m"][name] == clean.systems["m"][name]


@pytest.mark.parametrize("exact", [False, True])
def test_exact_is_asked_of_the_engine_and_stands_in_the_name(
    make_recommender: Callable[..., Recommender], store: SummaryStore, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    store.margins.limit = 0  # as `evaluate` has it
    asked: list[bool] = []
    margins = FakeEngine.margins

    def spy(self: FakeEngine, *parts: Any, exact: bool = False, **more: Any) -> Any:
        asked.append(exact)
        return margins(self, *parts, exact=exact, **more)

    monkeypatch.setattr(FakeEngine, "margins", spy)
    model = BundleSystem("m", make_recommender(NONE), exact=exact)
    assert model.name == ("m (exact)" if exact else "m")
    rank_lists(lists(3), [model])
    assert asked == [exact] * 3


def test_summaries_are_made_together_before_ranking_and_are_nobodys_to_forget(
    fake: FakeEngine, make_recommender: Callable[..., Recommender], store: SummaryStore
) -> None:
    titles = [f"story {number}" for number in range(15)]
    examples = [
        Example(f"u{user}", tuple(item(f"h{user}-{n}", f"{title} {user}") for n, title in enumerate(titles)),
                (item("c1"), item("c2")), (1, 0))
        for user in range(3)
    ]  # fmt: skip
    recommender = make_recommender(Settings())
    model = BundleSystem("m", recommender)
    assert model.prepare(examples, None) > 0
    made = len(fake.prompts)
    assert made == 3 * 4  # three blocks and their merge, each
    found = rank_lists(of(examples), [model])
    assert len(fake.prompts) == made
    for outcome, one in zip(found.outcomes["m"], examples, strict=True):
        assert outcome.summary == recommender.summaries([one.history])[0].text
        assert outcome.summary
    assert store.info()["users"] == 0


def test_without_summaries_nothing_is_prepared(fake: FakeEngine, make_recommender: Callable[..., Recommender]) -> None:
    found = rank_lists(rated(3, history=12), [BundleSystem("m", make_recommender(NONE))])
    assert not fake.prompts
    assert [outcome.summary for outcome in found.outcomes["m"]] == [None] * 3


@pytest.mark.parametrize("strategy", ["hierarchical", "none"])
def test_a_history_that_cannot_be_shown_costs_its_own_list_only(
    make_recommender: Callable[..., Recommender], strategy: str
) -> None:
    history = tuple(item(f"h{number}") for number in range(12))
    mute = Example("mute", (*history[:-1], item("dots", "\u200b")), (item("a"), item("b")), (1, 0))
    fine = Example("fine", history, (item("a"), item("b")), (1, 0))
    found = rank_lists(of([fine, mute, fine]), [BundleSystem("m", make_recommender(Settings(strategy=strategy)))])
    assert found.systems["m"]["failed"] == 1
    assert [outcome.error for outcome in found.outcomes["m"]] == [None, "item 'dots': it has no visible text", None]
    assert found.notes[-1].startswith("m could not rank 1 of 3 lists")


def test_the_identity_of_a_model_has_all_that_its_answers_depend_on(
    make_recommender: Callable[..., Recommender], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.evaluation import systems

    def identity(settings: Settings = NONE, exact: bool = False, **fields: Any) -> Any:
        return BundleSystem("m", make_recommender(settings, **fields), exact=exact).identity

    plain = identity()
    assert plain == identity()
    assert identity(Settings(strategy="none", recent_items=4)) != plain
    assert identity(exact=True) != plain
    assert identity(calibration=Calibration(temperature=2.0)) != plain
    monkeypatch.setattr(systems, "PROMPT_VERSION", "another")
    assert identity() != plain


def test_progress_names_the_system_and_never_goes_back(make_recommender: Callable[..., Recommender]) -> None:
    heard: list[Progress] = []
    rank_lists(
        lists(4), [Scripted("a", noisy(1)), BundleSystem("m", make_recommender(Settings()))], progress=heard.append
    )
    for name in ("a", "m"):
        fractions = [progress.fraction for progress in heard if progress.stage == f"rank with {name}"]
        assert fractions == sorted(fractions)
        assert len(fractions) == 4


def test_the_seconds_of_preparing_are_kept_apart(make_recommender: Callable[..., Recommender]) -> None:
    found = rank_lists(
        rated(3, history=12), [BundleSystem("m", make_recommender(Settings())), Scripted("a", lambda _: range(5))]
    )
    assert found.preparing["m"] > 0
    assert found.preparing["a"] == 0.0


def ids(examples: Sequence[Example]) -> list[str]:
    return [one.user_id for one in examples]


def test_systems_prepare_every_list_before_they_rank_one() -> None:
    system = Scripted("s", noisy(1))
    rank_lists(lists(4), [system])
    assert system.prepared == system.asked == ids(list(lists(4).examples.values()))


def test_a_system_gives_its_memory_back_before_the_next_one_is_asked(
    make_recommender: Callable[..., Recommender],
) -> None:
    scripted, model = Scripted("a", noisy(1)), BundleSystem("m", recommender := make_recommender(NONE))

    def last(example: Example) -> Any:
        assert scripted.released == [4]
        assert recommender.loaded == ()
        return noisy(2)(example)

    other = BundleSystem("n", make_recommender(NONE))
    rank_lists(lists(4), [scripted, model, Scripted("b", last), other])
    assert model.answer(lists(4).examples[10]).scores.shape == (5,)  # loaded again
