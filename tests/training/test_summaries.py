"""Summaries that training reads: made by the model that will serve, once, and shown as in inference."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.training.conftest import Fit, tiny_examples, tiny_settings, write_data
from trsr_lite import DataError, Item, Recommender, Settings, SettingsError, User
from trsr_lite.datasets import dataset as datasets
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.io.digests import file_digest
from trsr_lite.prompts import templates
from trsr_lite.recommender import histories
from trsr_lite.training import train
from trsr_lite.training.base_model import Base
from trsr_lite.training.ranking_data import RankingData, RankingExample
from trsr_lite.training.tokenizer import HfTokenizer

HISTORIES = [
    [Item(f"i{number}", {"title": f"Story {number}"}) for number in range(user, user + user % 13)] for user in range(70)
]
HIERARCHICAL = {"strategy": "hierarchical", "block_size": 3, "summary_tokens": 8, "prompt_tokens": 700}


@pytest.mark.parametrize("strategy", ["hierarchical", "recurrent", "none"])
def test_summaries_of_many_histories_are_those_of_each_alone(make_recommender: Any, strategy: str, fake: Any) -> None:
    chosen = Settings(strategy=strategy, block_size=2, fan_in=2)
    together = make_recommender(chosen)
    found = [summary.text for summary in together.summaries(HISTORIES)]
    blocks = [prompt for prompt in fake.prompts if "below in one sentence" in prompt]  # no updates: notes may be alike
    assert len(blocks) == len(set(blocks))  # what users share is made once
    together.store.clear()
    alone = make_recommender(chosen)
    assert found == [alone.summarize(User(None, tuple(history))).summary for history in HISTORIES]
    assert any(found) == (strategy != "none")
    assert None in found


def test_summaries_are_kept_and_not_made_again(make_recommender: Any, fake: Any) -> None:
    first = make_recommender().summaries(HISTORIES)
    made = len(fake.prompts)
    assert made > 0
    again = make_recommender().summaries(HISTORIES)
    assert len(fake.prompts) == made
    assert [summary.text for summary in again] == [summary.text for summary in first]
    assert sum(summary.calls for summary in again) == 0


def test_no_histories_have_no_summaries(fake_recommender: Recommender) -> None:
    assert fake_recommender.summaries([]) == []


# Rows


def test_a_row_shows_the_summary_of_its_user(tiny_base: Path, tiny_data: Path) -> None:
    asked: list[list[Sequence[Item]]] = []

    def summarizer(histories: Sequence[Sequence[Item]], _: Settings) -> list[str | None]:
        asked.append(list(histories))
        return [None if index == 0 else f"likes {history[0].id} most" for index, history in enumerate(histories)]

    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    with datasets.load(tiny_examples(tiny_data)) as dataset:
        lists = RankingData(dataset, tiny_settings(), tokenizer, summarizer, 5)
        numbers = [*dataset.numbers("train"), *dataset.chosen("validation", 5, dataset.options.seed)]
        assert asked == [list(dataset.histories(numbers))]
        rows = [*(lists.row(number, 3) for number in dataset.numbers("train")), *lists.validation]
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            text = tokenizer.decode(row.prefix)
            expected = f"likes {dataset.example(number).history[0].id} most" if place else templates.NO_SUMMARY
            assert f"### Preference\n{expected}\n" in text


def test_the_seed_chooses_who_is_validated_and_not_the_order_of_the_file(tiny_base: Path, tmp_path: Path) -> None:
    """Logs are often sorted: the first users may be of one domain, or of one day."""
    write_data(tmp_path)
    people = [
        {
            "user_id": f"u{number}",
            "history": ["n0", "n1"],
            "clicked": [f"n{number % 25 + 2}"],
            "shown": ["n30", "n31"],
            "domain": "news" if number < 30 else "product",
        }
        for number in range(60)
    ]
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    chosen = []
    for rows, seed in ((people, 0), (people[::-1], 0), (people, 1)):
        (tmp_path / "impressions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = tiny_examples(tmp_path, negatives="impressions", validation=0.8, test=0, seed=seed)
        with datasets.load(options) as dataset:
            held_out = RankingData(dataset, tiny_settings(strategy="none"), tokenizer, None, 10).lists
            ids = [item.id for one in held_out for item, own in zip(one.candidates, one.labels, strict=True) if own]
            assert len(held_out) == 10
            assert {one.domain for one in held_out} == {"news", "product"}
        chosen.append((sorted(ids), [one.domain for one in held_out]))
    assert chosen[0][0] == chosen[1][0] != chosen[2][0]
    assert chosen[0][1] == sorted(chosen[0][1], key=str)  # in the order of the file


def test_a_test_user_is_neither_summarized_nor_read(tiny_base: Path, tiny_data: Path) -> None:
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    seen: list[Any] = []
    with datasets.load(tiny_examples(tiny_data)) as dataset:
        RankingData(
            dataset, tiny_settings(), tokenizer, lambda found, _: seen.extend(found) or [None] * len(found), 200
        )
        test = list(dataset.histories(dataset.numbers("test")))
    assert (len(seen), len(test)) == (36, 4)
    assert not [history for history in test if history in seen]


def test_only_users_that_will_be_read_are_summarized(tiny_base: Path, tiny_data: Path) -> None:
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    seen: list[Any] = []

    def summarizer(histories: Sequence[Sequence[Item]], _: Settings) -> list[str | None]:
        seen.extend(histories)
        return ["Likes football."] * len(histories)

    with datasets.load(tiny_examples(tiny_data)) as dataset:
        read = list(dataset.numbers("train"))[3:5]
        lists = RankingData(dataset, tiny_settings(), tokenizer, summarizer, 2, read=[(0, number) for number in read])
        assert seen == list(dataset.histories([*read, *dataset.chosen("validation", 2, dataset.options.seed)]))
        assert "Likes football." in tokenizer.decode(lists.row(read[0], 0).prefix)
        with pytest.raises(KeyError):  # never silently as a user without a summary
            lists.row(lists.train[0], 0)


def test_a_user_is_summarized_and_ranked_in_the_nouns_of_its_domain(tiny_base: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    people = [
        {"user_id": f"u{number}", "history": ["n0", "n1"], "clicked": [f"n{number + 2}"], "shown": ["n30", "n31"]}
        for number in range(6)
    ]
    domains = ["news", "product", None]
    for person, domain in zip(people, domains * 2, strict=True):
        if domain:
            person["domain"] = domain
    (tmp_path / "impressions.jsonl").write_text("".join(json.dumps(person) + "\n" for person in people))
    asked: dict[str, int] = {}

    def summarizer(histories: Sequence[Sequence[Item]], settings: Settings) -> list[str | None]:
        asked[settings.domain] = len(histories)
        return [f"Likes as {settings.domain}."] * len(histories)

    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    options = tiny_examples(tmp_path, negatives="impressions", validation=0.5, test=0)
    with datasets.load(options) as dataset:
        lists = RankingData(dataset, tiny_settings(domain="item"), tokenizer, summarizer, 5)
        assert asked == {"news": 2, "product": 2, "item": 2}
        for number in dataset.numbers("train"):
            domain = dataset.domain(number) or "item"
            text = tokenizer.decode(lists.row(number, 0).prefix)
            assert f"Likes as {domain}." in text
            assert f"Will this {templates.DOMAINS[domain].person} " in text
        for one, row in zip(lists.lists, lists.validation, strict=True):
            assert f"Will this {templates.DOMAINS[one.domain or 'item'].person} " in tokenizer.decode(row.prefix)
            assert RankingExample.from_dict(one.to_dict()) == one


@pytest.mark.parametrize("nobody", [0.0, 0.3])
def test_a_part_of_the_training_rows_goes_without_its_summary(tiny_base: Path, tiny_data: Path, nobody: float) -> None:
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    summarized: list[Sequence[Item]] = []

    def summarizer(histories: Sequence[Sequence[Item]], _: Settings) -> list[str | None]:
        summarized.extend(histories)
        return ["Likes football."] * len(histories)

    with datasets.load(tiny_examples(tiny_data)) as dataset:
        numbers = list(dataset.numbers("train"))
        read = [(epoch, number) for epoch in (0, 1) for number in numbers]
        parts = {"drop_summaries": 0.6, "content_free": nobody}
        lists = RankingData(dataset, tiny_settings(), tokenizer, summarizer, 5, read=read, **parts)
        shown = [
            ["Likes football." in tokenizer.decode(lists.row(number, epoch).prefix) for number in numbers]
            for epoch in (0, 0, 1)
        ]
        held_out = [tokenizer.decode(row.prefix) for row in lists.validation]
        ever = [number for number, *rows in zip(numbers, shown[0], shown[2], strict=True) if any(rows)]
        chosen = dataset.chosen("validation", 5, dataset.options.seed)
        assert summarized == list(dataset.histories([*ever, *chosen]))  # and of nobody else
    assert len(ever) < len(numbers)
    assert shown[0] == shown[1] != shown[2]
    assert 0.1 < sum(map(sum, shown)) / sum(map(len, shown)) < 0.7
    assert all("Likes football." in text for text in held_out)


def test_a_part_of_the_training_rows_shows_no_user_and_has_no_right_answer(tiny_base: Path, tiny_data: Path) -> None:
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)

    def summarizer(histories: Sequence[Sequence[Item]], _: Settings) -> list[str | None]:
        return ["Likes football."] * len(histories)

    with datasets.load(tiny_examples(tiny_data)) as dataset:
        all_shown = RankingData(dataset, tiny_settings(), tokenizer, summarizer, 5)
        read = [(epoch, number) for epoch in range(3) for number in all_shown.train]
        lists = RankingData(dataset, tiny_settings(), tokenizer, summarizer, 5, read=read, content_free=0.4)
        free = []
        for epoch, number in read:
            row, usual = lists.row(number, epoch), all_shown.row(number, epoch)
            free.append(not any(row.labels))
            assert row.suffixes == usual.suffixes
            if free[-1]:
                assert tokenizer.decode(row.prefix).endswith(
                    f"{templates.NO_SUMMARY}\n\n### Recent articles, oldest first\n"
                )
            else:
                assert row == usual
        assert 0.25 < sum(free) / len(free) < 0.55
        assert all(1 in row.labels for row in lists.validation)


def test_what_candidates_are_worth_is_learned_in_the_order_of_the_row(tiny_base: Path, tmp_path: Path) -> None:
    write_data(tmp_path)
    worth = {"n2": 4, "n30": 1, "n31": 3}
    person = {"history": ["n0", "n1"], "clicked": ["n2"], "shown": ["n30", "n31"], "relevance": worth}
    people = [{**person, "user_id": f"u{number}"} for number in range(12)]
    (tmp_path / "impressions.jsonl").write_text("".join(json.dumps(one) + "\n" for one in people))
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    options = tiny_examples(tmp_path, negatives="impressions", train_negatives=2, validation=0.5, test=0)
    with datasets.load(options) as dataset:
        lists = RankingData(dataset, tiny_settings(strategy="none"), tokenizer, None, 5)
        free = RankingData(dataset, tiny_settings(strategy="none"), tokenizer, None, 5, content_free=0.99)
        shown = [(dataset.example(number), lists.row(number, 0)) for number in dataset.numbers("train")]
        assert len({example.labels for example, _ in shown}) > 1  # in more than one order
        for example, row in shown:
            assert row.relevance == tuple(worth[item.id] for item in example.candidates)
            assert row.shares == tuple(worth[item.id] / 8 for item in example.candidates)
        assert free.row(free.train[0], 0).shares == (1 / 3, 1 / 3, 1 / 3)  # nobody is there to whom it is worth that
    fewer = tiny_examples(tmp_path, negatives="impressions", train_negatives=1, validation=0.5, test=0)
    with datasets.load(fewer) as dataset:
        for number in dataset.numbers("train"):
            example = dataset.example(number)
            assert example.relevance == tuple(worth[item.id] for item in example.candidates)


@pytest.mark.parametrize(
    ("item", "option"),
    [({"brand": "Acme"}, "--attributes"), ({"title": "word " * 5000}, "--prompt-tokens")],
    ids=["without a title", "endless"],
)
def test_items_that_no_prompt_can_ask_of_are_all_named_before_anybody_is_summarized(
    tiny_base: Path, tmp_path: Path, item: dict[str, str], option: str
) -> None:
    """As a negative one would end the run in the middle, and each time it is resumed."""
    write_data(tmp_path)
    with (tmp_path / "items.jsonl").open("a") as file:
        file.writelines(json.dumps({"id": f"bad{number}", **item}) + "\n" for number in range(6))
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    settings = tiny_settings(attributes=("title",))
    with datasets.load(tiny_examples(tmp_path)) as dataset, pytest.raises(DataError, match="'bad0'") as caught:
        RankingData(dataset, settings, tokenizer, lambda *_: pytest.fail("summarized"), 5)
    assert "5 more cannot be asked of: 'bad1', 'bad2', 'bad3', …" in str(caught.value)
    assert option in str(caught.value.hint)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_too_few_negatives_for_one_user_are_said_before_anybody_is_summarized(
    tiny_base: Path, tmp_path: Path, part: str
) -> None:
    """In the middle of a run neither the same options nor others could go on."""
    write_data(tmp_path)
    ids = [json.loads(line)["id"] for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    with (tmp_path / "interactions.jsonl").open("a") as file:
        for name in range(30):
            user = f"reader-of-all-{name}"
            file.writelines(f"{json.dumps({'user_id': user, 'item_id': item_id})}\n" for item_id in ids[:-2])
    wanted = {
        "train": {"train_negatives": 3, "test_negatives": 1},
        "validation": {"train_negatives": 1, "test_negatives": 3},
    }
    tokenizer = HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)
    options = tiny_examples(tmp_path, validation=0.5, **wanted[part])
    with (
        datasets.load(options) as dataset,
        pytest.raises(DataError, match=r"user 'reader-of-all-\d+': 3 negatives are needed, but only 2 items"),
    ):
        RankingData(dataset, tiny_settings(), tokenizer, lambda *_: pytest.fail("summarized"), 50)


# A run


def test_a_run_knows_the_adapter_that_wrote_its_summaries(tmp_path: Path) -> None:
    """The default's base stays the same when its adapter is trained anew."""
    file = SimpleNamespace(identity="b2:model", adapter=SimpleNamespace(digest="b2:adapter"))
    opened = SimpleNamespace(bundle=SimpleNamespace(summarizer=file), summaries=lambda *_, **__: [])
    record: dict[str, Any] = {}
    load = lambda **_: contextlib.nullcontext(opened)  # noqa: E731
    state: Any = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)
    train.summarizer_of(load, tmp_path, record, state, lambda _: None)([], tiny_settings())
    assert record == {"summarizer": "b2:model", "summarizer_adapter": "b2:adapter"}


def test_a_run_makes_its_summaries_once_with_the_model_that_will_serve(
    fit: Fit, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    sources: list[RankingData] = []
    progress: list[Any] = []
    plain = LlamaEngine.generate

    def generate(self: LlamaEngine, prompts: Any, **more: Any) -> Any:
        assert self.threads == 1
        made.append(len(prompts))
        return plain(self, prompts, **more)

    class Seen(RankingData):
        def __init__(self, *parts: Any, **more: Any) -> None:
            super().__init__(*parts, **more)
            sources.append(self)

    summaries, asked = Recommender.summaries, list[tuple[int, bool]]()

    def summarizing(self: Recommender, *arguments: Any, **more: Any) -> Any:
        found = summaries(self, *arguments, **more)
        asked.append((len(found), more["deterministic"]))
        assert not any(one.nodes for one in found), "they hold the items of every user"
        return found

    monkeypatch.setattr(LlamaEngine, "generate", generate)
    monkeypatch.setattr(histories, "TOGETHER", 4)
    monkeypatch.setattr(train, "RankingData", Seen)
    monkeypatch.setattr(Recommender, "summaries", summarizing)
    shared = {
        "machine": EngineOptions(threads=1),
        "summarizer": str(tiny),
        "settings": tiny_settings(**HIERARCHICAL),
        "cache_dir": tmp_path / "cache",
        "data": tiny_examples(write_data(tmp_path / "data", users=15)),
        "max_steps": 1,
    }
    fit(tmp_path / "one", progress=progress.append, **shared)
    first, total = list(made), sum(made)
    # Two blocks of three items and their merge, for the eight users of the one step and the three of the validation.
    assert total == 11 * 3
    fit(tmp_path / "two", **shared)
    assert made == first
    assert sources[0].summaries == sources[1].summaries
    assert asked == [(11, True)] * 2  # who is stopped makes the very same texts later
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert record["summarizer"] == file_digest(tiny)
    said = [step for step in progress if "summarize 11 users, " in step.stage]
    assert any(0 < step.fraction < 1 for step in said)  # within one round, too
    assert [step.fraction for step in said] == sorted(step.fraction for step in said)
    other = {**record, "status": "running", "summarizer": "b2:another"}
    (tmp_path / "two" / "run.json").write_text(json.dumps(other))
    with pytest.raises(SettingsError, match="its summarizer is no longer what it was"):
        fit(tmp_path / "two", resume=True, **shared)
    source = sources[0]
    texts = [source.tokenizer.decode(row.prefix) for row in source.validation]
    numbers = list(source.summaries)[-len(texts) :]
    for number, text in zip(numbers, texts, strict=True):
        summary = source.summaries[number]
        assert summary is not None
        assert summary.startswith("The reader likes articles about")
        assert "### Preference\nThe reader likes articles about" in text
