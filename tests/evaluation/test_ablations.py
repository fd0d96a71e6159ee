"""Studies: variants are what their table says, rows are the figures of those lists, and a stopped study goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.scripted import Scripted, after, item, lists, noisy
from trsr_lite import FakeEngine, Recommender, Settings
from trsr_lite.errors import Cancelled, DataError, SettingsError
from trsr_lite.evaluation import ablations, candidate_recall
from trsr_lite.evaluation.baselines.materials import Materials
from trsr_lite.evaluation.evaluate import Evaluation, rank_lists
from trsr_lite.evaluation.evaluate_options import STUDIES as NAMES
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.evaluation.scores_file import ScoresFileSystem
from trsr_lite.evaluation.studies import STUDIES, TUNING
from trsr_lite.evaluation.systems import BaselineSystem, BundleSystem, System
from trsr_lite.evaluation.tables import table
from trsr_lite.metrics import intervals

Make = Callable[..., Recommender]


def studied(
    names: str, made: EvalLists, systems: list[System], *, output: Path | None = None, force: bool = False, **more: Any
) -> Evaluation:
    study = partial(ablations.study, ablations.plan(names.split(), systems), output=output, **more)
    return rank_lists(made, systems, output=output, force=force, then=study)


def rows(found: Evaluation, name: str, system: str) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in found.studies[name]["rows"] if row["system"] == system}


def histories(count: int = 24, length: int = 12) -> EvalLists:
    """Lists whose users have items of their own."""
    found = lists(count)
    examples = {
        number: replace(one, history=tuple(item(f"{one.user_id}-h{place}") for place in range(length)))
        for number, one in found.examples.items()
    }
    known = {one.id: one for each in examples.values() for one in (*each.history, *each.candidates)}
    return replace(found, examples=examples, items=list(known.values()))


# The table


def test_every_study_can_be_named_and_has_its_reference() -> None:
    assert set(NAMES) == {*STUDIES, "tuning"}
    for study in STUDIES.values():
        names = [variant.name for variant in study.variants]
        assert len(set(names)) == len(names)
        assert study.reference in names
        folders = {ablations.folder_of(name) for name in names}
        assert len(folders) == len(names)
        for variant in study.variants:
            assert not (variant.settings and variant.change), "a variant changes one thing"
            Settings().updated(**variant.settings)
    assert TUNING.reference == "LoRA"


@pytest.mark.parametrize(("name", "hint"), [("strategie", "`strategy`"), ("xyz", "choose from strategy, ")])
def test_an_unknown_study_suggests_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        ablations.check([name])
    assert hint in (caught.value.hint or "")


# What is asked


def test_settings_reach_the_model_and_leave_it_as_it_was(make_recommender: Make) -> None:
    model = BundleSystem("m", made := make_recommender(Settings(strategy="recurrent")))
    found = studied("strategy evidence recent blocks", histories(), [model])
    assert set(rows(found, "strategy", "m")) == {"none", "hierarchical", "recurrent"}
    assert set(rows(found, "recent", "m")) == {"0", "1", "3", "5", "10"}
    assert set(rows(found, "blocks", "m")) == {"3", "5", "10"}
    assert set(rows(found, "evidence", "m")) == {"summary only", "recent only", "both"}
    assert model.settings == Settings(strategy="recurrent")
    assert model.bundle is made.bundle


def test_a_variant_sees_what_its_settings_say(make_recommender: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []
    recommend = Recommender.recommend

    def spy(self: Recommender, *arguments: Any, **more: Any) -> Any:
        asked.append(self.settings)
        return recommend(self, *arguments, **more)

    class Spy(BundleSystem):
        def answer(self, example: Any) -> Any:
            answer = super().answer(example)
            assert asked[-1] == self.settings
            return answer

    monkeypatch.setattr(Recommender, "recommend", spy)
    studied("evidence", histories(3), [Spy("m", make_recommender(Settings()))])
    seen = {(one.recent_items, one.ragged, one.strategy) for one in asked}
    assert seen == {(5, False, "hierarchical"), (0, True, "hierarchical"), (5, False, "none")}
    assert len(asked) == 9  # `both` is the evaluation itself


def test_a_model_without_summaries_is_given_them_and_that_is_said(make_recommender: Make) -> None:
    model = BundleSystem("m", make_recommender(Settings(strategy="none")))
    found = studied("recent", histories(3), [model])
    assert "recent: m has strategy none, and was read with hierarchical summaries here" in found.notes
    plan = ablations.plan(["recent"], [model])
    for task in plan.tasks["recent"]:
        assert [one.settings.strategy for one in task.changed if isinstance(one, BundleSystem)] == ["hierarchical"]
    assert not ablations.plan(["strategy"], [model]).notes


def test_shared_summaries_are_made_once(make_recommender: Make, fake: FakeEngine) -> None:
    made, model = histories(4), BundleSystem("m", make_recommender(Settings()))
    rank_lists(made, [model])
    whole = len(fake.prompts)
    studied("recent", made, [model])
    # Ragged: of 12 items the last two are a block of their own, whose summary changes the root; for all five alike.
    assert len(fake.prompts) == whole + 2 * len(made.examples)
    studied("evidence length", made, [model])
    assert len(fake.prompts) == len(set(fake.prompts))


@pytest.mark.parametrize("names", ["m", "mn"])
def test_one_model_among_simple_systems_is_loaded_once(make_recommender: Make, names: str) -> None:
    released: list[str] = []

    class Spy(BundleSystem):
        def release(self) -> None:
            released.append(self.name)

    models = [Spy(name, make_recommender(Settings(strategy="none"))) for name in names]
    studied("strategy robustness", histories(3), [*models, Scripted("s", noisy(1))])
    if len(names) == 1:
        assert not released
    else:
        assert all(one != other for one, other in itertools.pairwise(released))  # each time before the other is asked


def test_changed_lists_reach_every_system_but_a_file_of_scores(make_recommender: Make, tmp_path: Path) -> None:
    made = histories()
    (tmp_path / "other.jsonl").write_text('{"user_id": "u0", "scores": {"u0-0": 1}}\n')
    scripted, other = Scripted("s", noisy(1)), ScoresFileSystem("other", str(tmp_path / "other.jsonl"))
    found = studied(
        "robustness", made, [BundleSystem("m", make_recommender(Settings(strategy="none"))), scripted, other]
    )
    assert {row["system"] for row in found.studies["robustness"]["rows"]} == {"m", "s"}
    changed = sum(variant.change is not None for variant in STUDIES["robustness"].variants)
    assert len(scripted.asked) == (changed + 1) * len(made.examples)


def test_a_simple_system_knows_the_changed_texts() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn: `pip install 'trsr-lite[evaluate]'`")
    made = histories(4)
    seen: list[set[str]] = []

    class Spy(BaselineSystem):
        def with_items(self, items: Any) -> BaselineSystem:
            seen.append({one.title for one in items})
            return super().with_items(items)

    studied("robustness", made, [Spy("tfidf", Materials(made.items))])
    titles = {one.title for one in made.items}
    misspelt = [texts for texts in seen if texts != titles]
    assert len(misspelt) == 2  # 10 % and 30 % of the words; these items have titles alone


def test_lengths_are_those_of_the_histories_that_were_ranked() -> None:
    found = rows(studied("length", histories(length=12), [Scripted("s", noisy(1))]), "length", "s")
    assert {name: row["history_items"] for name, row in found.items()} == {
        "as it is": 12.0, "5": 5.0, "10": 10.0, "25": 25.0, "50": 50.0, "100": 100.0, "200": 200.0, "500": 288.0
    }  # fmt: skip


def test_settings_that_cannot_be_are_refused_before_any_work(make_recommender: Make) -> None:
    model = BundleSystem("m", make_recommender(Settings(prompt_tokens=300, block_size=3)))
    with pytest.raises(SettingsError, match="m, items of a block 5: prompt_tokens is 300"):
        ablations.plan(["blocks"], [model])


def test_a_study_of_settings_needs_a_model() -> None:
    with pytest.raises(SettingsError, match="study 'strategy' needs a model"):
        ablations.plan(["strategy"], [Scripted("s", noisy(1))])


# What comes of it


def test_a_row_has_the_figures_of_its_variant_against_the_reference() -> None:
    """A system that knows the labels where the history is whole, and nothing elsewhere."""

    def script(example: Any) -> list[float]:
        whole = len(example.history) == 12
        return [float(own) if whole else 0.0 for own in example.labels]

    found = studied("length", made := histories(), [Scripted("s", script)])
    study = found.studies["length"]
    assert list(study) == ["question", "axis", "reference", "metric", "rows"]
    by_variant = rows(found, "length", "s")
    assert by_variant["as it is"]["recall@3"]["value"] == 1.0
    assert by_variant["as it is"]["change"] is None
    assert by_variant["5"]["recall@3"]["value"] == pytest.approx(3 / 5)
    values = table(found.outcomes["s"])["recall@3"]
    expected = intervals.difference(values * 0 + 3 / 5, values).to_dict()
    assert by_variant["5"]["change"] == expected
    assert by_variant["5"]["change"]["value"] == pytest.approx(-0.4)
    assert len(made.examples) >= intervals.LEAST


@pytest.mark.parametrize("names", ["robustness length", "strategy evidence recent blocks"])
def test_the_order_of_lists_changes_no_row(make_recommender: Make, names: str) -> None:
    def found(made: EvalLists) -> Any:
        systems: list[System] = [BundleSystem("m", make_recommender(Settings())), Scripted("s", noisy(1, 0.5))]
        return studied(names, made, systems).studies

    made = histories(6)
    turned = replace(made, examples=dict(reversed(made.examples.items())))
    assert found(turned) == found(made)


def test_a_list_that_fails_in_a_variant_is_counted_and_said() -> None:
    def script(example: Any) -> list[float]:
        if len(example.history) == 1 and example.user_id == "u4":
            raise DataError("too short")
        return [1.0 * own for own in example.labels]

    found = studied("robustness", histories(), [Scripted("s", script)])
    row = rows(found, "robustness", "s")["the newest item alone"]
    assert row["failed"] == 1
    assert row["recall@3"]["value"] == pytest.approx(23 / 24, abs=1e-4)
    assert any(
        note.startswith("robustness, the newest item alone: s could not rank 1 of 24 lists") for note in found.notes
    )


def test_studies_are_part_of_the_json_where_they_were_asked_for() -> None:
    made, systems = histories(), [Scripted("s", noisy(1))]
    assert "studies" not in rank_lists(made, systems).to_dict()
    assert list(studied("length", made, systems).to_dict()["studies"]) == ["length"]


# Stopped and gone on with


def test_a_stopped_study_goes_on_to_the_same_rows(tmp_path: Path) -> None:
    made, script = histories(), noisy(1, 0.5)
    whole = studied("robustness", made, [Scripted("s", script)]).studies
    calls = 24 * 4 + 7  # in the midst of the fourth variant
    with pytest.raises(Cancelled):
        studied("robustness", made, [Scripted("s", after(script, calls, Cancelled("stop")))], output=tmp_path / "out")
    again = Scripted("s", script)
    assert studied("robustness", made, [again], output=tmp_path / "out").studies == whole
    assert len(again.asked) == 24 * 13 - calls
    once_more = Scripted("s", script)
    assert studied("robustness", made, [once_more], output=tmp_path / "out").studies == whole
    assert once_more.asked == []


def test_a_study_of_other_lists_or_another_seed_is_not_gone_on_with(tmp_path: Path) -> None:
    made = histories()
    systems: list[System] = [Scripted("s", noisy(1))]
    studied("robustness", made, systems, output=tmp_path / "out")
    with pytest.raises(SettingsError, match="holds another evaluation: its examples differs"):
        studied("robustness", made, systems, output=tmp_path / "out", seed=1)
    studied("robustness", made, systems, output=tmp_path / "out", seed=1, force=True)


def test_a_folder_is_nobody_elses_until_its_studies_are_done(tmp_path: Path) -> None:
    refused = []

    def script(example: Any) -> Any:
        with pytest.raises(SettingsError, match="another evaluation is at work there"):
            rank_lists(histories(), [Scripted("other", noisy(2))], output=tmp_path / "out", force=True)
        refused.append(example)
        return noisy(1)(example)

    system = Scripted("s", script)
    found = studied("length", histories(), [system], output=tmp_path / "out")
    assert len(refused) == len(system.asked) > 24  # variants too
    assert studied("length", histories(), [Scripted("s", noisy(1))], output=tmp_path / "out").studies == found.studies


def test_a_study_that_was_stopped_while_it_replaced_another_goes_on(tmp_path: Path) -> None:
    """None of the answers before is left for variants that were not reached."""
    made, script = histories(), noisy(1, 0.5)
    whole = studied("robustness", made, [Scripted("s", script)], seed=1).studies
    studied("robustness", made, [Scripted("s", script)], output=tmp_path / "out")
    stopped = Scripted("s", after(script, 24 * 2 + 7, Cancelled("stop")))
    with pytest.raises(Cancelled):
        studied("robustness", made, [stopped], output=tmp_path / "out", seed=1, force=True)
    assert studied("robustness", made, [Scripted("s", script)], output=tmp_path / "out", seed=1).studies == whole


# Runs


class Tuned(Scripted):
    def __init__(self, name: str, seed: int, trained: str | None) -> None:
        super().__init__(name, noisy(seed, 0.5))
        self.trained = trained


def test_lora_is_compared_with_all_weights() -> None:
    systems: list[System] = [Tuned("b", 1, "all weights"), Tuned("a", 2, "LoRA"), Tuned("a (untrained)", 3, None)]
    found = studied("tuning", histories(), systems)
    assert [(row["variant"], row["system"]) for row in found.studies["tuning"]["rows"]] == [
        ("LoRA", "a"),
        ("all weights", "b"),
    ]
    first, second = found.studies["tuning"]["rows"]
    assert first["change"] is None
    tables = {name: table(found.outcomes[name])["recall@3"] for name in "ab"}
    assert second["change"] == intervals.difference(tables["b"], tables["a"]).to_dict()
    assert second["recall@3"] == found.systems["b"]["recall@3"]


def of_few_users() -> EvalLists:
    """Lists of which each user has two."""
    made = histories(50)
    return replace(
        made, examples={number: replace(one, user_id=f"u{number % 25}") for number, one in made.examples.items()}
    )


def test_lists_of_one_user_are_one_observation_to_a_change() -> None:
    systems: list[System] = [Tuned("b", 1, "all weights"), Tuned("a", 2, "LoRA")]
    found = studied("tuning length", made := of_few_users(), systems)
    tables = {name: table(found.outcomes[name])["recall@3"] for name in "ab"}
    by_user = intervals.difference(tables["b"], tables["a"], made.users()).to_dict()
    assert by_user != intervals.difference(tables["b"], tables["a"]).to_dict()
    assert found.studies["tuning"]["rows"][1]["change"] == by_user

    few = replace(made, examples={number: replace(one, user_id="u") for number, one in made.examples.items()})
    changes = [row["change"] for row in studied("length", few, systems).studies["length"]["rows"] if row["change"]]
    assert changes
    assert all(change["low"] is None for change in changes)


def test_lists_of_one_user_are_one_observation_to_the_first_stage() -> None:
    made = replace(of_few_users(), counts={})
    whole = candidate_recall.measure(made, [], 5)
    few = replace(made, examples={number: replace(one, user_id="u") for number, one in made.examples.items()})
    found = candidate_recall.measure(few, [], 5)
    for name in ("catalog", "popularity"):
        assert found[name]["value"] == whole[name]["value"]
        assert found[name]["low"] is None
        assert whole[name]["low"] is not None


def test_one_kind_of_run_is_not_enough_and_all_does_without() -> None:
    systems: list[System] = [Tuned("a", 1, "LoRA"), Tuned("c", 2, "LoRA")]
    with pytest.raises(SettingsError, match=r"given: a \(LoRA\), c \(LoRA\)"):
        ablations.plan(["tuning"], systems)
    with pytest.raises(SettingsError, match="needs a model"):
        ablations.plan(["all"], systems)  # it includes studies of settings


def test_all_is_every_study_that_can_be_made(make_recommender: Make) -> None:
    model = BundleSystem("m", make_recommender(Settings()))
    assert list(ablations.plan(["all"], [model]).tasks) == list(STUDIES)
    assert ablations.plan(["all"], [model]).runs == ()
    both: list[System] = [model, Tuned("a", 1, "LoRA"), Tuned("b", 2, "all weights")]
    assert ablations.plan(["all"], both).runs == [("LoRA", "a"), ("all weights", "b")]
