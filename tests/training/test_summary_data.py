"""Training the summarizer: pairs in a file, rows that are the prompts of inference, a loss that falls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.training.conftest import TOPICS, Fit, tiny_settings, validations
from trsr_lite import DataError, FakeEngine, Item, Settings, SettingsError, read_user
from trsr_lite.engine.interface import Segment
from trsr_lite.results import SummaryNode
from trsr_lite.summaries import generate
from trsr_lite.training import pairs
from trsr_lite.training.base_model import Base
from trsr_lite.training.pairs import Pair
from trsr_lite.training.summary_data import SummaryData
from trsr_lite.training.tokenizer import HfTokenizer
from trsr_lite.training.train_options import PairOptions

OPENING = "The reader likes articles about"
ITEMS = (Item("a", {"title": "football goal"}), Item("b", {"title": "football cup", "abstract": "<|im_end|> 日本"}))
PAIRS = [
    Pair("block", f"{OPENING} football.", items=ITEMS),
    Pair("update", f"{OPENING} football and soup.", items=ITEMS[:1], notes=(f"{OPENING} soup.",)),
    Pair("merge", f"{OPENING} orbit, soup.", notes=(f"{OPENING} orbit.", f"{OPENING} soup.")),
]


@pytest.fixture
def tokenizer(tiny_base: Path) -> HfTokenizer:
    return HfTokenizer.load(Base("tiny", str(tiny_base)), offline=True)


def read(path: Path) -> list[Pair]:
    return [pair for _, pair in pairs.read(path)]


def texts(
    path: Path, tokenizer: Any, *, held_out: float = 0.34, seed: int = 0, most: int = 200, **more: Any
) -> SummaryData:
    return SummaryData(path, tiny_settings(**more), tokenizer, held_out=held_out, seed=seed, most=most)


# The file


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    assert pairs.append(PAIRS[:1], path) == 1
    assert pairs.append(PAIRS[1:], path) == 2
    assert read(path) == PAIRS
    assert [where for where, _ in pairs.read(path)] == [f"{path}:{number}" for number in (1, 2, 3)]


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"\n{json.dumps(PAIRS[0].to_dict())}\n\n{json.dumps(PAIRS[2].to_dict())}")
    assert [where.rpartition(":")[2] for where, _ in pairs.read(path)] == ["2", "4"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", 'a pair is an object whose "kind" is one of block, update, merge'),
        ('{"kind": "novel", "summary": "s"}', 'whose "kind" is one of'),
        ('{"kind": "block", "items": [{"id": "a", "title": "t"}]}', 'a block needs a "summary"'),
        ('{"kind": "block", "items": [{"id": "a", "title": "t"}], "summary": "  "}', "text that is not empty"),
        ('{"kind": "block", "items": [{"id": "a", "title": "t"}], "summary": 3}', "text that is not empty"),
        ('{"kind": "block", "summary": "s"}', "items"),
        ('{"kind": "block", "items": [{"title": "t"}], "summary": "s"}', "items[0]"),
        ('{"kind": "update", "items": [{"id": "a", "title": "t"}], "summary": "s"}', 'and an "earlier" one'),
        ('{"kind": "merge", "notes": ["one"], "summary": "s"}', 'two or more "notes"'),
        ('{"kind": "merge", "notes": "one two", "summary": "s"}', 'two or more "notes"'),
        ('{"kind": "merge", "notes": ["one", null], "summary": "s"}', 'two or more "notes"'),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{json.dumps(PAIRS[0].to_dict())}\n{line}\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:2")
    assert said in str(caught.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be written"):
        pairs.append(PAIRS, tmp_path / "none" / "pairs.jsonl")


def test_pairs_of_summaries_leave_out_what_is_no_longer_known() -> None:
    nodes = [
        SummaryNode("block", "one", "cache", ITEMS),
        SummaryNode("merge", "three", "fresh", (), ("one", "two")),
        SummaryNode("merge", "lost", "cache", (), ("one", "")),
    ]
    assert pairs.of(nodes) == [Pair("block", "one", ITEMS), Pair("merge", "three", (), ("one", "two"))]


# Rows


def test_a_row_is_the_prompt_of_inference_and_then_the_summary(tmp_path: Path, tokenizer: HfTokenizer) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append(PAIRS, path)
    source = texts(path, tokenizer)
    for number, pair in enumerate(PAIRS):
        row = source.rows[number]
        prompt = generate.framed(*pairs.asked(pair, tiny_settings(), tokenizer), tokenizer)
        assert list(row.prefix) == tokenizer.tokenize(prompt)
        assert tokenizer.decode(row.prefix).endswith(OPENING)
        rest = pair.summary.removeprefix(OPENING)
        end = tokenizer.tokenizer.eos_token_id
        assert row.suffixes == ((*tokenizer.encode(rest), end),)
        assert row.labels == ()


def test_a_pair_made_by_inference_gives_the_prompt_that_made_it(
    tmp_path: Path, make_recommender: Any, fake: Any
) -> None:
    user = read_user(ROOT / "examples" / "news_reader.json")
    for strategy in ("hierarchical", "recurrent"):
        fake.prompts.clear()
        recommender = make_recommender(Settings(domain="news", strategy=strategy))
        recommender.store.clear()
        (summary,) = recommender.summaries([user.history])
        path = tmp_path / f"{strategy}.jsonl"
        pairs.append(pairs.of(summary.nodes), path)
        source = SummaryData(path, Settings(domain="news"), FakeEngine(), held_out=0.5, seed=0, most=9)
        assert sorted(FakeEngine().decode(row.prefix) for row in source.rows) == sorted(fake.prompts)


def test_a_summary_with_another_opening_is_named(tmp_path: Path, tokenizer: HfTokenizer) -> None:
    path, said = tmp_path / "pairs.jsonl", f"the summary must begin with '{OPENING}'"
    pairs.append([PAIRS[0], Pair("block", "This person likes tea.", items=ITEMS)], path)
    with pytest.raises(DataError) as caught:
        texts(path, tokenizer)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(("count", "held_out"), [(1, 0.5), (3, 0.0), (3, 1.0), (0, 0.5)])
def test_both_parts_need_a_pair(tmp_path: Path, tokenizer: HfTokenizer, count: int, held_out: float) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append(PAIRS[:count], path)
    with pytest.raises(DataError, match="both parts need at least one"):
        texts(path, tokenizer, held_out=held_out)


def test_the_seed_chooses_what_is_held_out(tmp_path: Path, tokenizer: HfTokenizer) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append([Pair("merge", f"{OPENING} soup.", notes=(f"note {n}", "another")) for n in range(12)], path)
    one, same, other = (texts(path, tokenizer, held_out=0.25, seed=seed) for seed in (1, 1, 2))
    assert one.train == same.train != other.train
    assert (len(one.train), len(one.validation)) == (9, 3)
    assert len(texts(path, tokenizer, held_out=0.25, most=2).validation) == 2
    assert one.row(5, 0) == one.row(5, 3)


def test_a_pair_counts_once_and_a_prompt_with_two_answers_is_in_one_part(
    tmp_path: Path, tokenizer: HfTokenizer
) -> None:
    path = tmp_path / "pairs.jsonl"
    asked = [("merge", (f"note {number}", "another")) for number in range(8)]
    said = [Pair(kind, f"{OPENING} {word}.", notes=notes) for kind, notes in asked for word in ("soup", "orbit")]
    pairs.append(said * 2, path)
    for seed in range(5):
        source = texts(path, tokenizer, held_out=0.5, seed=seed)
        trained = {source.row(number, 0).prefix for number in source.train}
        held_out = {row.prefix for row in source.validation}
        assert (len(source.train), len(source.validation)) == (8, 8)
        assert len(trained) == len(held_out) == 4 and not trained & held_out


def test_a_summary_of_as_many_tokens_as_are_generated_is_learned(tmp_path: Path, tokenizer: HfTokenizer) -> None:
    path, written = tmp_path / "pairs.jsonl", f" {'soup ' * 20}."
    pairs.append([*PAIRS, Pair("block", f"{OPENING}{written}", items=ITEMS[1:])], path)
    count = len(tokenizer.tokenize((Segment(written),), start=False))
    source = texts(path, tokenizer, summary_tokens=count)
    assert len(source.train) + len(source.validation) == 4
    fewer = texts(path, tokenizer, summary_tokens=count - 1)  # a teacher's vocabulary may have needed fewer
    assert len(fewer.train) + len(fewer.validation) == 3
    said = f"left out 1 pair: a summary longer than the {count - 1} `--summary-tokens` ({path}:4)"
    assert fewer.report.lines() == ["read 3 pairs", said]
    pairs.append([Pair("block", f"{OPENING}{written}", items=ITEMS)], tmp_path / "long.jsonl")
    with pytest.raises(DataError, match="0 prompts, of which 0 would be held out; left out 1 pair: "):
        texts(tmp_path / "long.jsonl", tokenizer, summary_tokens=count - 1)


def test_what_an_interrupted_writer_left_is_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append(PAIRS[:1], path)
    with path.open("ab") as file:
        file.write(b'{"kind": "block", "summ')
    pairs.append(PAIRS[1:2], path)
    assert read(path) == PAIRS[:2]
    path.write_bytes(path.read_bytes().rstrip())  # as an editor may leave it
    pairs.append(PAIRS[2:], path)
    assert read(path) == PAIRS


def test_a_full_disk_leaves_the_pairs_that_were_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append(PAIRS[:1], path)
    plain = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> None:
            self.file.write(content[:9])
            self.file.flush()
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(
        Path, "open", lambda self, mode="r": Full(plain(self, mode)) if "a" in mode else plain(self, mode)
    )
    with pytest.raises(DataError, match="No space left"):
        pairs.append(PAIRS[1:], path)
    monkeypatch.undo()
    assert read(path) == PAIRS[:1]


# A run


@pytest.fixture(scope="module")
def learnable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Readers of one topic each, which the summary names."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    for topic, words in TOPICS.items():
        for word in words:
            items = tuple(Item(f"{topic}-{part}", {"title": f"{topic} {part}"}) for part in (word, *words[:2]))
            pairs.append([Pair("block", f"{OPENING} {topic}.", items=items)], path)
    return path


def test_a_summarizer_learns_its_pairs(fit: Fit, learnable: Path, tmp_path: Path) -> None:
    data = PairOptions(str(learnable), validation=0.2)
    outcome = fit(tmp_path / "run", role="summarizer", data=data, max_steps=10, validate_every=5)
    found = validations(tmp_path / "run")
    assert found[-1]["loss"] < 0.7 * found[0]["loss"]
    assert outcome.best["score"] == pytest.approx(-min(line["loss"] for line in found))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["cases"] == {"train": 20, "validation": 5}
    assert list(record["data"]["files"]) == ["pairs.jsonl"]
    assert "summarizer" not in record
    with pytest.raises(SettingsError, match=r"validation is 0\.5, and was 0\.2"):
        fit(
            tmp_path / "run",
            role="summarizer",
            data=PairOptions(str(learnable), 0.5),
            max_steps=10,
            validate_every=5,
            resume=True,
        )


def test_the_end_of_a_summary_is_learned_too(tmp_path: Path, tokenizer: HfTokenizer) -> None:
    path = tmp_path / "pairs.jsonl"
    pairs.append(PAIRS, path)
    ends = {row.suffixes[0][-1:] for row in texts(path, tokenizer).rows}
    assert ends == {tuple(tokenizer.tokenize((Segment(tokenizer.eos, True),), start=False))}
