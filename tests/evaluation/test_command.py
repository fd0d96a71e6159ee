"""`trsr-lite evaluate` on a tiny model: what it ranks, what it prints where, and how errors end."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Run, runner
from trsr_lite import cli
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets import origin
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import StoreError
from trsr_lite.evaluation import lists
from trsr_lite.evaluation.evaluate_options import ALL_BASELINES
from trsr_lite.io.digests import file_digest
from trsr_lite.models.bundle import Bundle, load
from trsr_lite.prompts.templates import DOMAINS

ITEMS, USERS = 40, 44
METRICS = [f"{name}@{k}" for k in (3, 5, 10) for name in ("recall", "mrr", "ndcg")] + ["auc"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `trsr-lite evaluate …` in this process, without summaries and simple systems unless they are asked for."""
    monkeypatch.setenv("TRSR_LITE_THREADS", "1")
    monkeypatch.setenv("TRSR_LITE_STRATEGY", "none")
    return runner(capsys, "evaluate", "--baselines", "")  # a later `--baselines` wins


def write_data(folder: Path, length: int = 6) -> Path:
    """A data set of users who read at random."""
    folder.mkdir()
    items = [{"id": f"n{number}", "title": f"Story {number}", "topic": "golf"} for number in range(ITEMS)]
    for number in range(5):
        del items[number]["topic"]
    (folder / "items.jsonl").write_text("".join(f"{json.dumps(item)}\n" for item in items))
    rows = [
        {"user_id": f"u{user}", "item_id": f"n{number}"}
        for user in range(USERS)
        for number in random.Random(user).sample(range(ITEMS), length)
    ]
    (folder / "interactions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data") / "read")


@pytest.fixture
def asked(data: Path, tiny: Path) -> list[str]:
    """22 lists of 5 candidates for the tiny model."""
    return f"--dataset jsonl --data {data} --test 0.5 --test-negatives 4 -m {tiny}".split()


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefix of every prompt that candidates were scored with."""
    found: list[str] = []
    margins = LlamaEngine.margins

    def spy(self: LlamaEngine, prefix: Any, *rest: Any, **more: Any) -> Any:
        found.append(self.decode(prefix))
        return margins(self, prefix, *rest, **more)

    monkeypatch.setattr(LlamaEngine, "margins", spy)
    return found


def outcomes(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    for figures in found["systems"].values():
        figures.pop("seconds_per_list", None)
    return found


def need_baselines() -> None:
    for package, name in (("sklearn", "scikit-learn"), ("bm25s", "bm25s")):
        pytest.importorskip(package, reason=f"needs {name}: `pip install 'trsr-lite[evaluate]'`")


# What is printed


def test_json_has_the_documented_schema_and_is_all_that_is_on_stdout(run: Run, asked: list[str]) -> None:
    need_baselines()
    outcome = run(*asked, "--baselines", "random,popularity,tfidf,bm25", "--json")
    found = outcome.json
    assert outcome.out.startswith("{\n") and outcome.out.endswith("}\n")
    assert list(found) == ["schema", "users", "lists", "systems", "groups", "comparisons", "notes", "model_adds"]
    assert (found["schema"], found["users"], found["lists"], found["notes"]) == (1, 22, 22, [])
    assert list(found["systems"]) == ["tiny", "random", "popularity", "tfidf", "bm25"]
    for name, figures in found["systems"].items():
        extra = ["label_mass", "calibration_error"] if name == "tiny" else []
        assert list(figures) == [*METRICS, *extra, "seconds_per_list", "failed"]
        for metric in [*METRICS, *extra[:1]]:
            assert list(figures[metric]) == ["value", "low", "high"]
            assert 0 <= figures[metric]["low"] <= figures[metric]["value"] <= figures[metric]["high"] <= 1
        assert all(list(figures[metric]) == ["value"] for metric in (*extra[1:], "seconds_per_list"))
        assert figures["failed"] == 0
        assert figures["recall@5"]["value"] == 1.0  # all five candidates
    assert {one["system"] for one in found["comparisons"]} == {"random", "popularity", "tfidf", "bm25"}
    for one in found["comparisons"]:
        assert list(one) == ["system", "against", "metric", "value", "low", "high", "p", "detectable", "others"]
        assert list(one["others"]) == ["ndcg@10", "auc"]
        assert all(list(other) == ["value", "low", "high", "p", "detectable"] for other in one["others"].values())
        assert (one["against"], one["metric"]) == ("tiny", "recall@3")
    assert sum(group["users"] for group in found["groups"].values()) == 22
    (added,) = found["model_adds"]
    assert list(added) == ["system", "fusion", "signals", "weights", "metrics"]
    assert (added["system"], list(added["metrics"])) == ("tiny", ["auc", "recall@3", "ndcg@10"])
    assert {"tokens", "words", "taste", "popularity"} <= set(added["signals"])
    for one in added["metrics"].values():
        assert list(one) == ["with", "without", "value", "low", "high", "p", "detectable"]


def test_the_table_shows_the_figures_of_the_json(run: Run, asked: list[str]) -> None:
    arguments = (*asked, "--test-negatives", "11", "--baselines", "random")
    found = run(*arguments, "--json").json
    code, out, err = run(*arguments)
    assert code == 0
    first, *lines = out.splitlines()
    assert first.strip() == "22 lists"
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if line.startswith("│")]
    assert [row[0] for row in rows] == ["tiny", "random", "random"]
    for row in rows[:2]:
        figures = found["systems"][row[0]]
        recall = figures["recall@3"]
        assert row[1] == f"{recall['value']:.3f} [{recall['low']:.2f}, {recall['high']:.2f}]"
        shown = [figures[name]["value"] for name in ("ndcg@10", "auc", "recall@5", "recall@10", "mrr@10")]
        assert row[2:] == [f"{value:.3f}" for value in shown]
    (compared,) = found["comparisons"]
    area = compared["others"]["auc"]
    assert rows[2][1::2] == [f"{one['value']:+.3f} [{one['low']:+.2f}, {one['high']:+.2f}]" for one in (compared, area)]
    assert rows[2][2::2] == [f"{one['p']:.3f}" for one in (compared, area)]
    assert "against tiny" in out
    last = max(index for index, line in enumerate(lines) if line.startswith("└"))
    said = f"Recall@3 {compared['detectable']:.3f}, AUC {area['detectable']:.3f}"
    assert " ".join(lines[last + 1 :]).startswith(f"smallest difference that these lists could show: {said}")
    assert [line.split()[0] for line in lines[-2:]] == ["warm", "cold"]
    area = found["model_adds"][0]["metrics"]["auc"]
    said = f"what tiny adds to the simple signals, fused: AUC {area['without']:.3f} to {area['with']:.3f}, "
    assert said in " ".join(out.split())
    assert "│" not in err and "22 lists" not in err
    assert "read 44 users" in err


def test_notes_are_shown_below_the_table(run: Run, asked: list[str]) -> None:
    code, out, _ = run(*asked, "--max-users", "3")
    assert code == 0
    assert out.splitlines()[0].strip() == "3 lists"
    text = " ".join(out.split())
    assert text.endswith("note: 3 lists are too few for intervals (at least 20): the figures may be chance")
    assert "[" not in "".join(line for line in out.splitlines() if line.startswith("│"))


def test_the_first_model_is_what_others_are_compared_with(
    run: Run, asked: list[str], tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.gguf").write_bytes(tiny.read_bytes())
    found = run(*asked, "-m", tmp_path / "other.gguf", "--json").json
    (one,) = found["comparisons"]
    assert (one["system"], one["against"], one["value"], one["p"]) == ("other", "tiny", 0.0, 1.0)
    assert found["systems"]["tiny"]["recall@3"] == found["systems"]["other"]["recall@3"]


# What is ranked


def test_every_held_out_user_is_ranked_once(run: Run, asked: list[str], data: Path, tmp_path: Path) -> None:
    assert run(*asked, "--output", tmp_path / "test").code == 0
    assert run(*asked, "--part", "validation", "--output", tmp_path / "validation").code == 0
    test, validation = ([one["user_id"] for one in outcomes(tmp_path / part)] for part in ("test", "validation"))
    assert (len(set(test)), len(set(validation))) == (len(test), len(validation)) == (22, 4)
    assert not set(test) & set(validation)
    rows = [json.loads(line) for line in (data / "interactions.jsonl").read_text().splitlines()]
    last = {row["user_id"]: row["item_id"] for row in rows}
    for one in outcomes(tmp_path / "test"):
        assert [name for name, label in zip(one["ids"], one["labels"], strict=True) if label] == [last[one["user_id"]]]
        assert len(one["ids"]) == len(one["scores"]) == 5


def test_the_seed_decides_the_lists(run: Run, asked: list[str], data: Path, tmp_path: Path) -> None:
    def users(name: str, *options: str) -> set[str]:
        assert run(*asked, "--max-users", "5", "--output", tmp_path / name, *options).code == 0
        return {one["user_id"] for one in outcomes(tmp_path / name)}

    assert users("a") == users("b") == users("c", "--seed", "0") != users("d", "--seed", "1")
    with datasets.load(DataOptions("jsonl", str(data), test=0.5, test_negatives=4, seed=1)) as dataset:
        expected = lists.of_dataset(dataset, "test", most=5, seed=1).examples.values()
    assert {one.user_id for one in expected} == users("d", "--seed", "1")


def test_a_bare_model_reads_the_lists_as_what_they_are(run: Run, tiny: Path, tmp_path: Path, scored: list[str]) -> None:
    arguments = ("--dataset", "mind", "--data", mind(tmp_path), "--test", "0.5", "--max-users", "1", "-m", tiny)
    assert run(*arguments).code == 0
    assert run(*arguments, "--domain", "product").code == 0
    assert [DOMAINS["news"].items in scored[0], DOMAINS["product"].items in scored[1]] == [True, True]


def test_a_trained_bundle_reads_the_lists_as_it_was_trained(
    run: Run, tiny: Path, tmp_path: Path, scored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    shutil.copy(tiny, bundle / "m.gguf")
    assert cli.run(["inspect", str(bundle / "m.gguf"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    del facts["models"]
    facts["settings"]["domain"] = "product"
    known = ["item", "news", "product"]
    for trained, domains, domain in ((True, [], "product"), (False, [], "news"), (True, known, "news")):
        (bundle / "manifest.json").write_text(json.dumps({**facts, "trained": trained, "domains": domains}))
        options = ("--dataset", "mind", "--data", mind(tmp_path), "--test", "0.5", "--max-users", "1", "-m", bundle)
        found = run(*options, "--json").json
        assert list(found["systems"]) == ["bundle"]
        assert DOMAINS[domain].items in scored[-1]


def test_a_model_sees_its_settings(run: Run, asked: list[str], scored: list[str]) -> None:
    assert run(*asked, "--max-users", "2", "--attributes", "topic,title").code == 0
    assert len(scored) == 2
    assert "topic: golf | Story" in scored[0]


def test_summaries_are_made_once_and_shown_to_the_model(
    run: Run, tiny: Path, tmp_path: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    generate = LlamaEngine.generate

    def spy(self: LlamaEngine, prompts: Any, **more: Any) -> Any:
        made.append(len(prompts))
        return generate(self, prompts, **more)

    monkeypatch.setattr(LlamaEngine, "generate", spy)
    folder = write_data(tmp_path / "long", length=12)
    arguments = ("--dataset", "jsonl", "--data", folder, "--test-negatives", "4", "-m", tiny)
    found = run(*arguments, "--strategy", "hierarchical", "--output", tmp_path / "kept", "--json")
    assert found.code == 0
    answers = outcomes(tmp_path / "kept")
    assert made == [4 * 2, 4]  # two blocks each, then their merges
    assert len(answers) == 4
    for one, prefix in zip(answers, scored, strict=True):
        assert one["summary"]
        assert one["summary"][:40] in prefix
    run(*arguments, "--strategy", "hierarchical", "--json")
    assert made == [4 * 2, 4]


def test_lists_of_ones_own_are_ranked(run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"{json.dumps(one)}\n" for one in own())
    (tmp_path / "lists.jsonl").write_text(text)
    found = run("--lists", tmp_path / "lists.jsonl", "-m", tiny, "--baselines", "random,popularity", "--json").json
    assert (found["users"], list(found["systems"]), found["groups"]) == (2, ["tiny", "random"], {})
    assert found["notes"][0] == "popularity is left out: there are no training users to count"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    again = run("--lists", "-", "-m", tiny, "--json").json
    assert again["systems"]["tiny"]["auc"] == found["systems"]["tiny"]["auc"]


def own() -> list[dict[str, Any]]:
    def item(name: str) -> dict[str, str]:
        return {"id": name, "title": f"Story {name}"}

    return [
        {"history": [item("a")], "candidates": [item("x"), item("y"), item("z")], "positives": ["y"]},
        {"user_id": 4, "history": [item("b")], "candidates": [item("x"), item("q")], "positives": ["x"]},
    ]


def mind(folder: Path) -> Path:
    """MIND with histories of 9 to 28 clicks."""
    news = (f"N{number}\tc\ts\tTitle {number}\t\t\t[]\t[]\n" for number in range(60))
    (folder / "news.tsv").write_text("".join(news))
    rows = (
        f"1\tU{user}\t\t{' '.join(f'N{number}' for number in random.Random(user).sample(range(60), 9 + user % 20))}\t\n"
        for user in range(60)
    )
    (folder / "behaviors.tsv").write_text("".join(rows))
    return folder


def amazon(folder: Path) -> Path:
    """Amazon-M2 with sessions of 9 to 28 products in the UK, and some in Germany."""
    header = ["id", "locale", "title", "price", "brand", "color", "size", "model", "material", "author", "desc"]
    products = [[f"B{number}", place, f"Title {number}", *[""] * 8] for place in ("UK", "DE") for number in range(60)]
    rows = []
    for user in range(60):
        names = [f"B{number}" for number in random.Random(user).sample(range(60), 9 + user % 20)]
        listed = "[" + " ".join(f"'{name}'" for name in names[:-1]) + "]"
        rows.append([listed, names[-1], "UK" if user % 4 else "DE"])
    for name, head, body in (("products", header, products), ("sessions", ["prev_items", "next_item", "locale"], rows)):
        with (folder / f"{name}_train.csv").open("w", newline="") as file:
            csv.writer(file).writerows([head, *body])
    return folder


@pytest.mark.parametrize(("dataset", "write", "least", "most"), [("mind", mind, 11, 26), ("amazon-m2", amazon, 10, 25)])
def test_the_preset_is_the_authors_protocol(
    run: Run, tiny: Path, tmp_path: Path, dataset: str, write: Callable[[Path], Path], least: int, most: int
) -> None:
    arguments = ("--dataset", dataset, "--data", write(tmp_path), "--preset", "paper", "--test", "0.4", "-m", tiny)
    found = run(*arguments, "--max-users", "6", "--output", tmp_path / "kept", "--json").json
    assert found["users"] == 6
    options = json.loads((tmp_path / "kept" / "evaluation.json").read_text())["lists"]["options"]
    assert (options["min_items"], options["max_items"]) == (least, most)
    assert (options["negatives"], options["test_negatives"]) == ("uniform", 20)
    assert options["locale"] == ("UK" if dataset == "amazon-m2" else None)
    assert {(len(one["ids"]), sum(one["labels"])) for one in outcomes(tmp_path / "kept")} == {(21, 1)}
    wider = run(*arguments, "--max-users", "6", "--test-negatives", "4", "--output", tmp_path / "less")
    assert wider.code == 0
    assert {len(one["ids"]) for one in outcomes(tmp_path / "less")} == {5}


# Kept answers


def test_a_second_call_computes_nothing(
    run: Run, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*asked, "--baselines", "random", "--output", tmp_path / "kept", "--json")
    first = run(*arguments).json

    opening = LlamaEngine.__init__

    def fail(*_: Any, **__: Any) -> Any:
        raise AssertionError("asked again")

    def open_vocabulary(self: LlamaEngine, *parts: Any, vocab_only: bool = False, **more: Any) -> None:
        assert vocab_only, "weights are loaded again"  # signals are computed anew, and need the tokenizer alone
        opening(self, *parts, vocab_only=vocab_only, **more)

    for name in ("margins", "generate"):
        monkeypatch.setattr(LlamaEngine, name, fail)
    monkeypatch.setattr(LlamaEngine, "__init__", open_vocabulary)
    assert run(*arguments).json == first  # the seconds too


def test_an_interrupted_evaluation_goes_on(
    run: Run, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scored: list[str]
) -> None:
    arguments = (*asked, "--exact", "--output", tmp_path / "kept", "--json")
    margins = LlamaEngine.margins

    def stop(self: LlamaEngine, *parts: Any, **more: Any) -> Any:
        if len(scored) == 9:
            raise KeyboardInterrupt
        return margins(self, *parts, **more)

    with monkeypatch.context() as patch:
        patch.setattr(LlamaEngine, "margins", stop)
        code, out, err = run(*arguments)
    assert (code, out, len(outcomes(tmp_path / "kept"))) == (130, "", 9)
    assert err.splitlines()[-1] == "Interrupted; answers are kept, and the same command goes on"
    scored.clear()
    found = run(*arguments).json
    assert len(scored) == 22 - 9
    assert timeless(found) == timeless(run(*asked, "--exact", "--json").json)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--output", "kept", "--force"], "answers are kept, and the same command without `--force` goes on"),
        ([], "finished summaries are kept, answers only with `--output DIR`"),
    ],
)
def test_ctrl_c_says_how_an_evaluation_would_go_on(
    run: Run, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], says: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LlamaEngine, "margins", stop)
    code, _, err = run(*asked, *options)
    assert (code, err.splitlines()[-1]) == (130, f"Interrupted; {says}")


def test_exact_is_the_same_twice_and_says_so(run: Run, asked: list[str], tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(*asked, "--exact", "--output", tmp_path / name).code == 0
    one, other = ([(each["ids"], each["scores"]) for each in outcomes(tmp_path / name)] for name in ("a", "b"))
    assert one == other
    found = run(*asked, "--exact", "--json").json
    assert list(found["systems"]) == ["tiny (exact)"]
    assert timeless(found) == timeless(run(*asked, "--exact", "--output", tmp_path / "a", "--json").json)


@pytest.mark.parametrize(
    "change",
    [("--test-negatives", "3"), ("--seed", "1"), ("--max-users", "5"), ("--attributes", "title")],
    ids=lambda change: change[0],
)
def test_another_evaluation_needs_force(run: Run, asked: list[str], tmp_path: Path, change: tuple[str, ...]) -> None:
    assert run(*asked, "--output", tmp_path / "kept").code == 0
    before = (tmp_path / "kept" / "outcomes.jsonl").read_bytes()
    code, out, err = run(*asked, *change, "--output", tmp_path / "kept")
    assert (code, out) == (2, "")
    assert f"Error: {tmp_path / 'kept'}: holds another evaluation" in err
    assert "`--force`" in err.splitlines()[-1]
    assert (tmp_path / "kept" / "outcomes.jsonl").read_bytes() == before
    assert run(*asked, *change, "--output", tmp_path / "kept", "--force").code == 0


def test_where_data_lie_and_how_they_are_named_is_no_other_evaluation(
    run: Run, asked: list[str], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def code(place: str, *options: str) -> int:
        named = [place if argument == str(data) else argument for argument in asked]
        return run(*named, "--baselines", "popularity", "--output", tmp_path / "kept", *options).code

    assert code(str(data)) == 0
    before = (tmp_path / "kept" / "outcomes.jsonl").read_bytes()
    shutil.copytree(data, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    for place in (f"{data}/", "moved", "./moved"):
        assert code(place) == 0
    for options in (["--strict"], ["--train-negatives", "3"]):
        assert code(str(data), *options) == 0
    assert (tmp_path / "kept" / "outcomes.jsonl").read_bytes() == before
    assert code(str(data), "--validation", "0.2") == 2  # others train, and count


def test_a_file_of_lists_may_be_named_otherwise(
    run: Run, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lists.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in own()))
    monkeypatch.chdir(tmp_path)
    kept = [
        (run("--lists", path, "-m", tiny, "--output", "kept").code, (tmp_path / "kept" / "outcomes.jsonl").read_bytes())
        for path in ("lists.jsonl", "./lists.jsonl", tmp_path / "lists.jsonl")
    ]
    assert kept == [(0, kept[0][1])] * 3


def test_a_folder_takes_answers_of_more_systems(run: Run, asked: list[str], tmp_path: Path) -> None:
    first = run(*asked, "--output", tmp_path / "kept", "--json").json
    before = (tmp_path / "kept" / "outcomes.jsonl").read_bytes()
    exact = run(*asked, "--exact", "--output", tmp_path / "kept", "--json").json
    after = (tmp_path / "kept" / "outcomes.jsonl").read_bytes()
    (name,) = set(exact["systems"]) - set(first["systems"])
    new = [json.loads(line)["system"] for line in after.removeprefix(before).splitlines()]
    assert new == [name] * first["lists"]
    assert run(*asked, "--output", tmp_path / "kept", "--json").json == first  # with the seconds of the first time
    assert (tmp_path / "kept" / "outcomes.jsonl").read_bytes() == after


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ((), None),
        (("--test-negatives", "4", "--max-users", "9"), None),
        (("--test", "0.4"), "it may have seen these users"),
        (("--seed", "1"), "it may have seen these users"),
        (("--part", "validation"), "its figures are flattered"),
    ],
    ids=lambda value: " ".join(value or ()) if isinstance(value, tuple) else "",
)
def test_a_bundle_that_may_have_seen_the_users_says_so(
    run: Run, data: Path, tiny: Path, tmp_path: Path, options: tuple[str, ...], warning: str | None
) -> None:
    """It knows the files and the split of its training, though not where they were."""
    with datasets.load(DataOptions("jsonl", str(data), test=0.5)) as dataset:
        known = origin.of(vars(dataset.options), dataset.digests)
    place = tmp_path / "mine"
    place.mkdir()
    file = load(Path(shutil.copy(tiny, place / "m.gguf")), file_digest).recommender
    Bundle("mine", file, file, trained=True, origin=known).write(place)
    asked = ("--dataset", "jsonl", "--data", data, "--test", "0.5", "-m", place, *options, "--json")
    notes = [note for note in run(*asked).json["notes"] if "users" in note and note.startswith("mine ")]
    assert [warning in note for note in notes] == [True] if warning else notes == []


def test_other_data_and_another_model_are_another_evaluation(
    run: Run, tiny: Path, tiny_sliding: Path, data: Path, tmp_path: Path
) -> None:
    folder, model = tmp_path / "read", tmp_path / "m.gguf"
    shutil.copytree(data, folder)
    shutil.copy(tiny, model)
    arguments = ("--dataset", "jsonl", "--data", folder, "--max-users", "2", "-m", model, "--output", tmp_path / "kept")
    assert run(*arguments).code == 0
    shutil.copy(tiny_sliding, model)
    assert "its m is another system" in run(*arguments).err
    shutil.copy(tiny, model)
    with (folder / "interactions.jsonl").open("a") as file:
        file.write('{"user_id": "new", "item_id": "n1"}\n')
    assert "its data differs" in run(*arguments).err


def test_a_changed_file_of_lists_and_another_seed_of_chance_are_another_evaluation(
    run: Run, tiny: Path, tmp_path: Path
) -> None:
    def code(made: list[dict[str, Any]], *options: str) -> int:
        (tmp_path / "lists.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in made))
        arguments = ("--lists", tmp_path / "lists.jsonl", "-m", tiny, "--baselines", "random", *options)
        return run(*arguments, "--output", tmp_path / "kept").code

    changed = own()
    changed[0]["positives"] = ["x"]
    assert code(own()) == 0
    assert code(changed) == 2
    assert code(own(), "--seed", "7") == 2
    assert code(own()) == 0


# Lists that a model cannot rank


def test_a_list_that_a_model_cannot_see_is_counted_and_said(run: Run, asked: list[str], tmp_path: Path) -> None:
    found = run(*asked, "--attributes", "topic", "--output", tmp_path / "kept", "--json").json
    failed = [one for one in outcomes(tmp_path / "kept") if one["error"]]
    assert 0 < len(failed) < 22
    assert found["systems"]["tiny"]["failed"] == len(failed)
    assert f"tiny could not rank {len(failed)} of 22 lists" in found["notes"][0]
    assert "it has none of the attributes topic" in found["notes"][0]


# Errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which lists?"),
        (["--data", "folder"], "which lists?"),
        (["--dataset", "jsonl"], "which data? `--data` is missing"),
        (["--preset", "paper"], "`--preset` needs `--dataset`"),
        (["--dataset", "jsonl", "--data", "x", "--preset", "paper"], "the paper has no values for 'jsonl'"),
        (
            ["--dataset", "jsonl", "--data", "x", "--lists", "f"],
            "`--lists` brings all data, so `--dataset` changes nothing",
        ),
        (["--data", "x", "--lists", "f"], "`--lists` brings all data, so `--data` changes nothing"),
        (["--lists", "f", "--max-users", "9"], "`--lists` brings all data, so `--max-users` changes nothing"),
        (["--lists", "f", "--test-negatives", "9"], "`--lists` brings all data, so `--test-negatives` changes nothing"),
        (["--dataset", "movielens", "--data", "x"], "movielens"),
        (["--dataset", "jsonl", "--data", "x", "--part", "train"], "train"),
        (["--dataset", "jsonl", "--data", "x", "--test", "2"], "Invalid value for '--test': 2.0 must be from 0 to 1"),
        (["--dataset", "jsonl", "--data", "x", "--max-users", "0"], "--max-users"),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2(run: Run, tiny: Path, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments, "-m", tiny)
    assert (code, out) == (2, "")
    assert said in err


def test_only_a_setting_that_was_typed_is_refused_as_idle_for_a_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    (tmp_path / "config.toml").write_text('domain = "news"\n')
    monkeypatch.setenv("TRSR_LITE_CONFIG", str(tmp_path / "config.toml"))
    asked = ("-m", tmp_path / "run", "--lists", tmp_path / "none")
    assert run(*asked).code == 4  # the lists are missing: the strategy of the environment is no hindrance either
    code, _, err = run(*asked, "--domain", "news")
    assert (code, "`--domain` changes nothing" in err) == (2, True)


def test_missing_data_are_exit_code_4(run: Run, tiny: Path, tmp_path: Path) -> None:
    for arguments in (("--dataset", "jsonl", "--data", tmp_path / "none"), ("--lists", tmp_path / "none")):
        code, out, err = run(*arguments, "-m", tiny)
        assert (code, out) == (4, "")
        assert str(tmp_path / "none") in err


def test_a_part_without_users_is_exit_code_4(run: Run, asked: list[str]) -> None:
    code, _, err = run(*asked, "--validation", "0", "--part", "validation")
    assert code == 4
    assert "no validation user is left" in err


def test_a_broken_list_is_exit_code_4_and_named(run: Run, tiny: Path, tmp_path: Path) -> None:
    broken = {**own()[0], "positives": ["nobody"]}
    (tmp_path / "f.jsonl").write_text(f"{json.dumps(own()[1])}\n{json.dumps(broken)}\n")
    code, out, err = run("--lists", tmp_path / "f.jsonl", "-m", tiny)
    assert (code, out) == (4, "")
    assert err == f"Error: {tmp_path / 'f.jsonl'}:2.positives: 'nobody' is not among the candidates\n"


@pytest.mark.parametrize("strategy", ["none", "hierarchical"])
def test_a_file_that_is_no_model_is_exit_code_3(run: Run, asked: list[str], tmp_path: Path, strategy: str) -> None:
    (tmp_path / "text.gguf").write_text("no model at all")
    code, out, err = run(*asked[:-2], "-m", tmp_path / "text.gguf", "--strategy", strategy)
    assert (code, out) == (3, "")
    assert "not a GGUF file" in err
    for name in ("none.gguf", "x" * 300):
        assert run(*asked[:-2], "-m", tmp_path / name).code == 3


def test_an_unknown_baseline_is_exit_code_2_with_those_that_are_known(run: Run, asked: list[str]) -> None:
    code, out, err = run(*asked, "--baselines", "random,sasrec")
    assert (code, out) == (2, "")
    assert err.splitlines()[-2:] == [
        "Error: there is no baseline 'sasrec'",
        f"hint: choose from {', '.join(ALL_BASELINES)}",
    ]


@pytest.mark.parametrize("twice", ["model", "baseline"])
def test_systems_of_one_name_are_exit_code_2(run: Run, asked: list[str], tiny: Path, twice: str) -> None:
    code, out, err = run(*asked, *(["-m", str(tiny)] if twice == "model" else ["--baselines", "random,random"]))
    assert (code, out) == (2, "")
    assert "each with its own name" in err


def test_a_missing_package_names_the_line_that_installs_it(
    run: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bm25s", None)
    code, out, err = run(*asked, "--baselines", "bm25")
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == "hint: pip install 'trsr-lite[evaluate]'"


@pytest.mark.parametrize(("name", "said"), [("file", "is a file, not a folder"), ("file/below", "cannot be written")])
def test_an_output_that_cannot_be_a_folder_is_refused(
    run: Run, asked: list[str], tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / "file").write_text("text")
    code, out, err = run(*asked, "--output", tmp_path / name)
    assert code in (1, 2) and out == ""
    assert f"{tmp_path / name}: {said}" in err


# Studies and other programs


def test_studies_are_printed_kept_and_reported(run: Run, asked: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    arguments = (*asked, "--ablations", "evidence,length", "--output", tmp_path / "kept", "--max-users", "4")
    page = tmp_path / "kept" / "report.html"  # in a folder that is not there yet
    code, out, err = run(*arguments, "--report", page)
    assert code == 0, err
    assert "evidence: What is it that helps" in " ".join(out.split())
    assert "length: What does a longer history bring?" in " ".join(out.split())
    text = page.read_text()
    assert "Study: evidence" in text and "Study: length" in text
    again = run(*arguments, "--json").json
    assert list(again["studies"]) == ["evidence", "length"]
    variants = [row["variant"] for row in again["studies"]["evidence"]["rows"]]
    assert variants == ["summary only", "recent only", "both"]
    lines = sum(len(outcomes(place)) for place in (tmp_path / "kept" / "studies").glob("*/*"))
    assert lines == 4 * (2 + 7)  # a model without summaries reads recent items only as it is


def test_an_unknown_study_is_a_usage_error_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    code, out, err = run("--dataset", "jsonl", "--data", tmp_path / "none", "--ablations", "lenght")
    assert (code, out) == (2, "")
    assert err.splitlines() == ["Error: there is no study 'lenght'", "hint: did you mean `length`?"]


def test_scores_of_another_program_are_a_system(run: Run, asked: list[str], data: Path, tmp_path: Path) -> None:
    with datasets.load(DataOptions("jsonl", str(data), test=0.5, test_negatives=4)) as dataset:
        examples = list(dataset.examples("test"))
    lines = [
        {"user_id": one.user_id, "scores": {item.id: own for item, own in zip(one.candidates, one.labels, strict=True)}}
        for one in examples[1:]
    ]
    (tmp_path / "sasrec.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = run(*asked, "--scores", tmp_path / "sasrec.jsonl", "--json").json
    assert list(found["systems"]) == ["tiny", "sasrec"]
    assert found["systems"]["sasrec"]["failed"] == 1
    assert found["systems"]["sasrec"]["recall@3"]["value"] == pytest.approx(21 / 22, abs=1e-4)


def test_the_model_of_the_environment_is_the_usual_one(
    run: Run, asked: list[str], tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = asked[: asked.index("-m")]
    monkeypatch.setenv("TRSR_LITE_MODEL", str(tiny))
    assert list(run(*without, "--max-users", "2", "--json").json["systems"]) == ["tiny"]
    monkeypatch.delenv("TRSR_LITE_MODEL")
    (tmp_path / "config.toml").write_text(f'model = "{tiny}"\n')
    monkeypatch.setenv("TRSR_LITE_CONFIG", str(tmp_path / "config.toml"))
    assert list(run(*without, "--max-users", "2", "--json").json["systems"]) == ["tiny"]


def test_threads_change_no_figure_of_an_exact_evaluation(
    run: Run, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRSR_LITE_STRATEGY")
    one, two = (run(*asked, "--max-users", "6", "--exact", "--threads", count, "--json").json for count in ("1", "2"))
    assert timeless(one) == timeless(two)


# The first stage


def test_retrieval_is_reported_apart_from_the_ranking(run: Run, asked: list[str], data: Path, tmp_path: Path) -> None:
    found = run(*asked, "--retrieve", str(ITEMS), "--json").json
    assert list(found["first_stage"]) == ["count", "items", "catalog", "popularity"]
    assert (found["first_stage"]["count"], found["first_stage"]["items"]) == (ITEMS, ITEMS)
    assert found["first_stage"]["catalog"]["value"] == 1.0  # every title says `Story`
    few = run(*asked, "--retrieve", "1", "--json").json["first_stage"]
    assert few["catalog"]["value"] < 1.0 and few["popularity"]["value"] < 1.0
    assert "first stage, the user's item among the first 1 of 40 items" in run(*asked, "--retrieve", "1").out


def test_a_catalog_of_other_items_finds_none_of_the_users(run: Run, asked: list[str], tmp_path: Path) -> None:
    from trsr_lite.catalog import build

    (tmp_path / "other.jsonl").write_text('{"id": "other", "title": "Story of another"}\n')
    build.build([tmp_path / "other.jsonl"], tmp_path / "other.catalog")
    found = run(*asked, "--retrieve", "5", "--catalog", tmp_path / "other.catalog", "--json").json["first_stage"]
    assert (found["items"], found["catalog"]["value"]) == (1, 0.0)


def test_a_first_stage_that_fails_takes_no_figure_with_it(
    run: Run, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib: `pip install 'trsr-lite[report]'`")
    from trsr_lite.catalog import build

    def fail(*_: object, **__: object) -> None:
        raise StoreError("items.catalog: no space left", hint="make room")

    monkeypatch.setattr(build, "build", fail)
    code, out, err = run(*asked, "--retrieve", "5", "--report", tmp_path / "report.html")
    assert code == 1
    assert "tiny" in out and "note: the first stage could not be measured: items.catalog: no space left" in out
    assert err.splitlines()[-2:] == ["Error: items.catalog: no space left", "hint: make room"]
    assert "could not be measured" in (tmp_path / "report.html").read_text()
    printed = json.loads(run(*asked, "--retrieve", "5", "--json").out)
    assert "first_stage" not in printed and printed["systems"]["tiny"]["recall@5"]["value"] == 1.0


def test_a_catalog_that_is_not_there_is_said_before_anything_is_ranked(
    run: Run, asked: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = run(*asked, "--retrieve", "5", "--catalog", tmp_path / "none.catalog", "--output", out)
    assert found.code == 4 and "there is no such catalog" in found.err and not out.exists()


def test_a_catalog_without_a_number_is_refused(run: Run, asked: list[str]) -> None:
    assert "`--catalog` needs `--retrieve N`" in run(*asked, "--catalog", "x").err
