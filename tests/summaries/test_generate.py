"""Summaries: the tree stays narrow, only what is missing is generated, and whatever is finished is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import Cancellation, Cancelled, FakeEngine, Item, Settings, User
from trsr_lite.errors import ModelError
from trsr_lite.prompts import chat, templates
from trsr_lite.results import Summary
from trsr_lite.summaries import plan as planning
from trsr_lite.summaries.generate import ROUND, Work, framed, newest, summarize
from trsr_lite.summaries.plan import Node, Plan, plan
from trsr_lite.summaries.store import SummaryStore

MODEL = "b2:summarizer"
STRATEGIES = ["hierarchical", "recurrent"]
ITEM_BLOCKS = Settings(block_size=1)  # every item is a block


def items(count: int, name: str = "Article") -> list[Item]:
    return [Item(f"{name}{number}", {"title": f"{name} number {number:04d}"}) for number in range(count)]


def even(prompt: str) -> str:
    """A script whose texts all have one length and tell prompts apart."""
    return f" {hashlib.blake2b(prompt.encode(), digest_size=8).hexdigest()}."


@dataclass
class Waves(FakeEngine):
    """Records how many prompts came with each call of `generate`."""

    waves: list[int] = field(default_factory=list)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[str]:
        self.waves.append(len(prompts))
        return super().generate(prompts, **options)


def run(
    histories: Sequence[Sequence[Item]], settings: Settings, store: SummaryStore, engine: FakeEngine, **options: Any
) -> list[Summary]:
    return summarize(plans(histories, settings), store, lambda: engine, **options)


def plans(histories: Sequence[Sequence[Item]], settings: Settings, model: str = MODEL) -> list[Plan]:
    return [plan(history, settings, model) for history in histories]


def no_engine() -> FakeEngine:
    raise AssertionError("a model was asked for")


def leaves(node: Node) -> list[Item]:
    """The items below a node, oldest first."""
    return [item for child in node.children for item in leaves(child)] + list(node.items)


def depth(node: Node) -> int:
    return 1 + max(map(depth, node.children), default=0)


# The shape of a plan


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_a_tree_holds_every_block_once_and_no_node_has_more_than_fan_in_children(fan_in: int) -> None:
    for blocks in range(1, 41):
        found = plan(items(blocks), ITEM_BLOCKS.updated(fan_in=fan_in), MODEL)
        root, nodes = found.root, found.nodes
        assert root is not None
        assert leaves(root) == items(blocks)
        assert sum(node.kind == "block" for node in nodes) == blocks
        assert {len(node.children) for node in nodes if node.kind == "merge"} <= set(range(2, fan_in + 1))
        assert all(len(node.items) == (node.kind == "block") for node in nodes)


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_a_tree_grows_in_depth_like_a_logarithm(fan_in: int) -> None:
    depths = []
    for blocks in (fan_in, fan_in**2, fan_in**3, fan_in**4):
        root = plan(items(blocks), ITEM_BLOCKS.updated(fan_in=fan_in), MODEL).root
        assert root is not None
        depths.append(depth(root))
    assert depths == [2, 3, 4, 5]


@pytest.mark.parametrize("fan_in", [2, 3, 4])
def test_no_prompt_has_more_than_fan_in_notes(store: SummaryStore, fan_in: int) -> None:
    settings = ITEM_BLOCKS.updated(fan_in=fan_in)
    engine = FakeEngine(script=even)
    (summary,) = run([items(40)], settings, store, engine)
    made = [node.text for node in summary.nodes]
    notes = [sum(text in prompt for text in made) for prompt in engine.prompts]
    assert max(notes) == fan_in
    assert sum(notes) == len(made) - 1  # every summary but the root is a note of exactly one prompt


def test_a_chain_carries_one_summary_over_one_block_at_a_time(store: SummaryStore) -> None:
    settings = Settings(strategy="recurrent", block_size=2)
    engine = FakeEngine(script=even)
    (summary,) = run([items(8)], settings, store, engine)
    assert [node.kind for node in summary.nodes] == ["block", "update", "update", "update"]
    assert [[item.id for item in node.items] for node in summary.nodes] == [
        [f"Article{number}", f"Article{number + 1}"] for number in (0, 2, 4, 6)
    ]
    for prompt, earlier, node in zip(engine.prompts[1:], summary.nodes, summary.nodes[1:], strict=False):
        assert earlier.text in prompt
        assert all((item.title in prompt) == (item in node.items) for item in items(8))


def test_without_a_strategy_or_a_complete_block_there_is_no_summary(store: SummaryStore) -> None:
    for history, settings in ((items(40), Settings(strategy="none")), (items(4), Settings())):
        assert plan(history, settings, MODEL).root is None
        assert summarize(plans([history], settings), store, no_engine) == [Summary()]


def test_one_block_is_its_own_summary(store: SummaryStore, fake: FakeEngine) -> None:
    (summary,) = run([items(9)], Settings(), store, fake)
    assert [node.kind for node in summary.nodes] == ["block"]
    assert summary.text == summary.nodes[0].text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_strategies_share_their_first_block(store: SummaryStore, fake: FakeEngine, strategy: str) -> None:
    (first,) = run([items(5)], Settings(strategy=strategy), store, fake)
    for other in STRATEGIES:
        (again,) = summarize(plans([items(5)], Settings(strategy=other)), store, no_engine)
        assert (again.text, again.calls, again.hits) == (first.text, 0, 1)


# Only what is missing


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_second_run_asks_no_model(
    store: SummaryStore, fake: FakeEngine, news_user: User, settings: Settings, strategy: str
) -> None:
    chosen = settings.updated(strategy=strategy)
    (first,) = run([news_user.history], chosen, store, fake)
    (second,) = summarize(plans([news_user.history], chosen), store, no_engine)
    assert first.calls == len(fake.prompts) == len(first.nodes) and first.hits == 0
    assert (second.calls, second.hits) == (0, first.calls)
    assert second.text == first.text
    assert {node.source for node in first.nodes} == {"fresh"}
    assert {node.source for node in second.nodes} == {"cache"}


@pytest.mark.parametrize(("strategy", "fan_in"), [("hierarchical", 2), ("hierarchical", 3), ("recurrent", 4)])
def test_an_appended_item_costs_at_most_the_way_from_its_block_to_the_root(
    store: SummaryStore, strategy: str, fan_in: int
) -> None:
    settings = Settings(strategy=strategy, fan_in=fan_in, block_size=2)
    for length in range(1, 60):
        history = items(length)
        planned = plan(history, settings, MODEL)
        (summary,) = run([history], settings, store, FakeEngine())
        if length % settings.block_size:
            assert summary.calls == 0
        else:
            fresh = {node.text for node in summary.nodes if node.source == "fresh"}
            path = [node.key for node in planned.nodes if history[-1] in leaves(node)]
            assert fresh == set(store.get(path).values())
            assert summary.calls <= len(path)


def test_an_appended_block_costs_a_logarithm_of_calls(store: SummaryStore) -> None:
    settings = ITEM_BLOCKS.updated(fan_in=4)
    engine = FakeEngine()
    run([items(255)], settings, store, engine)
    most = 0
    for length in range(256, 300):
        (summary,) = run([items(length)], settings, store, engine)
        most = max(most, summary.calls)
    assert most <= 1 + 2 * 4  # 4 levels of complete groups, and as many open ones


def test_another_model_or_setting_makes_its_own_summaries(store: SummaryStore, fake: FakeEngine) -> None:
    run([items(10)], Settings(), store, fake)
    before = len(fake.prompts)
    run([items(10)], Settings(summary_tokens=32), store, fake)
    summarize(plans([items(10)], Settings(), "b2:another"), store, lambda: fake)
    assert len(fake.prompts) == 3 * before


def test_a_known_root_needs_nothing_below_it(store: SummaryStore, fake: FakeEngine) -> None:
    root = plan(items(10), Settings(), MODEL).root
    assert root is not None
    store.put(root.key, "merge", "likes everything")
    (summary,) = summarize(plans([items(10)], Settings()), store, no_engine)
    assert (summary.text, summary.hits, summary.calls) == ("likes everything", 1, 0)
    assert [node.kind for node in summary.nodes] == ["merge"]


# The newest stored summary


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stored", [1, 2, 5, 16, 17])
def test_the_newest_stored_summary_is_that_of_the_longest_beginning(
    store: SummaryStore, fake: FakeEngine, strategy: str, stored: int
) -> None:
    settings = ITEM_BLOCKS.updated(strategy=strategy)
    (summary,) = run([items(stored)], settings, store, fake)
    found, uncovered = newest(plan(items(20), settings, MODEL), store)
    assert (found.text, uncovered) == (summary.text, 20 - stored)
    assert newest(plan(items(20, "Other"), settings, MODEL), store) == (Summary(), 20)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_blocks_that_come_twice_are_counted_twice(store: SummaryStore, fake: FakeEngine, strategy: str) -> None:
    settings = Settings(strategy=strategy)
    run([items(5) * 3], settings, store, fake)
    _, uncovered = newest(plan(items(5) * 3 + items(5, "Other"), settings, MODEL), store)
    assert uncovered == 1


def test_looking_for_the_newest_summary_makes_few_keys(
    store: SummaryStore, fake: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    key = planning.key

    def counting(*arguments: Any) -> str:
        made.append(1)
        return key(*arguments)

    run([items(300)], ITEM_BLOCKS, store, fake)
    monkeypatch.setattr(planning, "key", counting)
    _, uncovered = newest(plan(items(300), ITEM_BLOCKS, MODEL), store)
    assert uncovered == 0
    assert len(made) < 300 * 10


# Long histories


def test_no_more_is_prepared_at_once_than_is_made_in_a_round(store: SummaryStore) -> None:
    engine = Waves(script=even)
    run([items(300)], ITEM_BLOCKS, store, engine)
    assert max(engine.waves) == ROUND


def test_a_call_that_is_stopped_while_prompts_are_made_generates_nothing(store: SummaryStore) -> None:
    stop, engine = Cancellation(), FakeEngine()
    stop.cancel()
    engine.generate = lambda *_, **__: pytest.fail("generated")  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        run([items(300)], ITEM_BLOCKS, store, engine, cancel=stop)


@pytest.mark.parametrize("whole", [False, True])
def test_a_round_that_is_stopped_is_kept_as_far_as_it_came_or_not_at_all(store: SummaryStore, whole: bool) -> None:
    stop, made = Cancellation(), []

    def script(prompt: str) -> str:
        made.append(prompt)
        if len(made) == 3:
            stop.cancel()
        return even(prompt)

    with pytest.raises(Cancelled):
        run([items(9)], ITEM_BLOCKS, store, FakeEngine(script=script), cancel=stop, deterministic=whole)
    assert store.info()["summaries"] == (0 if whole else 3)


def test_a_summary_is_cut_where_its_tokens_ran_out_and_not_before(store: SummaryStore) -> None:
    written = " tea and milk, cake and a"
    for room, end in ((len(written) + 1, written), (len(written), " tea and milk, cake.")):
        (summary,) = run(
            [items(5)], Settings(summary_tokens=room, grounded=False), store, FakeEngine(script=lambda _: written)
        )
        assert summary.text == f"The user likes{end}"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_prompt_of_a_long_history_is_longer_than_of_a_short_one(store: SummaryStore, strategy: str) -> None:
    longest = []
    for count in (100, 1000):
        engine = FakeEngine(script=even)
        (summary,) = run([items(count)], Settings(strategy=strategy), store, engine)
        assert summary.text is not None
        longest.append(max(map(len, engine.prompts)))
    assert longest[1] <= longest[0]


def test_a_chain_of_a_thousand_updates_is_made_and_found_again(store: SummaryStore) -> None:
    settings = Settings(strategy="recurrent")
    engine = FakeEngine()
    (summary,) = run([items(5000)], settings, store, engine)
    assert summary.calls == len(engine.prompts) == 1000
    (again,) = summarize(plans([items(5000)], settings), store, no_engine)
    assert again.text == summary.text
    assert len(plan(items(5000), settings, MODEL).nodes) == 1000


SMALLEST = [  # the least `prompt_tokens` that these settings allow
    Settings(prompt_tokens=324),
    Settings(prompt_tokens=672, fan_in=40),
    Settings(prompt_tokens=984, block_size=60, recent_items=59),
    Settings(prompt_tokens=596, summary_tokens=200),
]


@pytest.mark.real_model
@pytest.mark.parametrize("settings", SMALLEST, ids=["defaults", "fan_in", "block_size", "summary_tokens"])
@pytest.mark.parametrize(
    "text", ["A long title of an article ", "日本語の本を読む", "👩‍👩‍👧"], ids=["en", "ja", "emoji"]
)
def test_no_summarizing_prompt_with_its_summary_is_over_prompt_tokens(
    smollm2: Path, settings: Settings, text: str
) -> None:
    from trsr_lite.engine.llama import LlamaEngine

    engine = LlamaEngine(smollm2, identity="smollm2", vocab_only=True)
    for domain in templates.DOMAINS:
        chosen = settings.updated(domain=domain)
        block = [Item(str(number), {"title": text * 50, "text": text * 50}) for number in range(chosen.block_size)]
        messages = [
            templates.block(block, chosen, engine),
            templates.update(text * 200, block, chosen, engine),
            templates.merge([text * 200] * chosen.fan_in, chosen, engine),
        ]
        for message in messages:
            length = len(engine.tokenize(framed(*message, engine)))
            assert length + chosen.summary_tokens <= chosen.prompt_tokens, (domain, message[0][:40])
    engine.close()


# Several users


@pytest.mark.parametrize(
    ("strategy", "waves"),
    [("hierarchical", [1 + 6 + 9, 1 + 2, 1 + 1]), ("recurrent", [3, 2, 2, 2, 2, 2, 1, 1, 1])],
)
def test_all_that_is_ready_of_all_users_is_generated_together(
    store: SummaryStore, strategy: str, waves: list[int]
) -> None:
    histories = [items(blocks, f"user{blocks} item") for blocks in (1, 6, 9)]
    engine = Waves()
    run(histories, ITEM_BLOCKS.updated(strategy=strategy), store, engine)
    assert engine.waves == waves


def test_users_together_get_what_each_gets_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    histories = [items(blocks, f"user{blocks} item") for blocks in (0, 3, 5, 17)]
    together, alone = (SummaryStore(tmp_path_factory.mktemp(name)) for name in ("together", "alone"))
    expected = [run([history], ITEM_BLOCKS, alone, FakeEngine())[0] for history in histories]
    assert run(histories, ITEM_BLOCKS, together, FakeEngine()) == expected
    together.close()
    alone.close()


def test_users_who_share_blocks_share_their_summaries(store: SummaryStore, fake: FakeEngine) -> None:
    first, second = run([items(10), items(12)], Settings(), store, fake)
    assert len(fake.prompts) == first.calls == 3
    assert (second.calls, second.text) == (0, first.text)


def test_a_block_that_comes_twice_in_one_history_is_made_once(store: SummaryStore, fake: FakeEngine) -> None:
    (summary,) = run([items(5) + items(5)], Settings(), store, fake)
    assert [node.kind for node in summary.nodes] == ["block", "merge"]
    assert len(fake.prompts) == summary.calls == 2


def test_work_is_counted(store: SummaryStore, fake: FakeEngine) -> None:
    work = Work()
    (summary,) = run([items(10)], Settings(), store, fake, work=work)
    assert work.calls == summary.calls == 3
    template = len("".join(chat.frame(None, "", "")))  # control tokens are not in the recorded text
    assert work.prompt_tokens == sum(len(prompt) + template for prompt in fake.prompts)
    assert work.generated_tokens == sum(len(fake.script(prompt)) for prompt in fake.prompts)


def test_progress_is_reported(store: SummaryStore, fake: FakeEngine) -> None:
    seen: list[tuple[int, float]] = []
    run([items(10)], Settings(), store, fake, on_progress=lambda done, total: seen.append((done, total)))
    assert [(done, round(total, 6)) for done, total in seen] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_progress_grows_from_round_to_round_to_its_end_however_long_texts_are(
    store: SummaryStore, strategy: str
) -> None:
    class Tokens(FakeEngine):
        def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[str]:
            told, lengths = options.pop("on_progress"), list(map(len, prompts))
            texts = super().generate(prompts, **options)
            for done in range(0, sum(lengths) + 1, 7):
                told(done, sum(lengths))
            told(sum(lengths), sum(lengths))
            return texts

    seen: list[tuple[int, float]] = []
    work, settings = Work(), ITEM_BLOCKS.updated(strategy=strategy)
    options: dict[str, Any] = {"work": work, "on_progress": lambda done, total: seen.append((done, total))}
    run([items(9), items(4, "Other")], settings, store, Tokens(script=even), **options)
    shares = [done / total for done, total in seen]
    assert shares == pytest.approx(sorted(shares), abs=1e-12)
    assert (shares[0], shares[-1]) == (0.0, pytest.approx(1.0))
    assert seen[-1][0] == work.prompt_tokens


# Interruption


class Stopped(Exception):
    pass


def stopping_after(count: int, stop: type[BaseException]) -> Callable[[str], str]:
    made = 0

    def script(prompt: str) -> str:
        nonlocal made
        if made == count:
            raise stop
        made += 1
        return even(prompt)

    return script


@pytest.mark.parametrize("stop", [Stopped, KeyboardInterrupt])
@pytest.mark.parametrize("count", [0, 1, 4, 6, 8])
def test_an_interrupted_run_keeps_what_is_finished_and_the_next_makes_the_rest(
    store: SummaryStore, count: int, stop: type[BaseException]
) -> None:
    history, settings = items(7), ITEM_BLOCKS.updated(fan_in=3)
    total = len(plan(history, settings, MODEL).nodes)
    interrupted = FakeEngine(script=stopping_after(count, stop))
    with pytest.raises(stop):
        run([history], settings, store, interrupted)
    assert store.info()["summaries"] == count
    rest = FakeEngine(script=even)
    (summary,) = run([history], settings, store, rest)
    assert (summary.hits, summary.calls, len(rest.prompts)) == (count, total - count, total - count)
    assert not {*interrupted.prompts[:count]} & {*rest.prompts}


def test_what_a_thinking_model_did_not_finish_is_not_stored(store: SummaryStore) -> None:
    engine = FakeEngine(script=lambda prompt: "<think>first I consider")
    with pytest.raises(ModelError, match="thinks aloud"):
        run([items(5)], Settings(), store, engine)
    assert store.info()["summaries"] == 0


def test_a_finished_thought_is_no_part_of_a_summary(store: SummaryStore) -> None:
    engine = FakeEngine(script=lambda prompt: "<think>hm</think> tea.")
    (summary,) = run([items(5)], Settings(), store, engine)
    assert summary.text is not None and summary.text.endswith(" tea.") and "hm" not in summary.text
