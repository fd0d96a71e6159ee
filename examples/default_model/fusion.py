"""Learns what each signal counts in the default: `statistics.npz`, and the fusion in the manifest.

    python examples/default_model/fusion.py WORK --papers shared/data/acl/items.jsonl

Beside the papers lies `interactions.jsonl`, who wrote them. Statistics are those of all papers and of every composed
text, as news, products and software show it. The signals that need no model learn their proportions on authors: each
one's last paper against 20 others. How much the model counts beside them is learned on as many authors as composed
people, whose topics no adapter was trained on. WORK keeps the model's margins, so that a run that was stopped goes on;
computing them takes half an hour or so on two cores, all else a minute.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import orjson
from people import VIEWS, World, attributes
from texts import Text
from texts import read as texts

from trsr_lite import Item, Recommender
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.datasets.dataset import Example
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.evaluation.lists import EvalLists
from trsr_lite.io.digests import file_digest
from trsr_lite.metrics import ranking
from trsr_lite.models import bundle_signals, default
from trsr_lite.models.bundle import MANIFEST
from trsr_lite.prompts import fingerprint
from trsr_lite.signals import fitting, statistics_file
from trsr_lite.signals.fitting import JudgedList
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.signal import MODEL
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable

STATISTICS = "statistics.npz"
LISTS = {"authors": 100, "people": 100}  # lists that the model scores
STRANGE, FAMILIAR, SEED = 17, 3, 12  # what a composed person is shown beside one liked text
SIGNALS = ("tokens", "meaning", "recent", "words", "taste", "specific", "attributes")  # those that need no users
SOURCES = "authors of ACL papers (CC BY 4.0), and composed people for the model"


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
@click.option("--papers", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--until", type=float, default=None, help="Stop scoring after so many seconds; run it again to go on.")
def main(work: Path, papers: Path, until: float | None) -> None:
    """Write statistics and fusion into the package."""
    work.mkdir(parents=True, exist_ok=True)
    items, authors = read(papers.parent)
    examples = {"authors": authors[: LISTS["authors"]], "people": list(people(LISTS["people"]))}
    margins = Margins(work, until)
    scored = {name: [margins.of(one) for one in some] for name, some in examples.items()}
    base = default.locate(offline=False)
    tokenizer, rows = LlamaEngine(base, identity="", vocab_only=True), Rows(base)
    builder = StatisticsBuilder(tokenizer, rows)
    builder.add([*items, *composed()])
    made = builder.build()
    assert made.row_mean is not None
    ranker = SignalRanker(made, Fusion({}), tokenizer=tokenizer, table=TokenTable(rows, made.row_mean))
    simple = judged(ranker, authors)
    lists = {
        name: [
            replace(one, numbers={**one.numbers, MODEL: margin})
            for one, margin in zip(judged(ranker, examples[name]), scored[name], strict=True)
        ]
        for name in examples
    }
    learned = fitting.fit(simple, SIGNALS)
    facts = {"sources": SOURCES, "lists": len(authors), "lists_for_the_model": sum(map(len, lists.values()))}
    facts["digest"] = EvalLists(dict(enumerate([*authors, *examples["people"]])), (), None, {}).digest()
    fusion = fitting.beside(learned.fusion, [*lists["authors"], *lists["people"]], facts=facts).fusion
    ship(made, fusion)
    for name, some in lists.items():
        both, others = auc(fusion, some), auc(fusion, some, SIGNALS)
        click.echo(f"{len(some)} {name}: AUC {both:.3f}, without the model {others:.3f}")


def read(folder: Path) -> tuple[list[Item], list[Example]]:
    """All papers, and a list of each author."""
    options = DataOptions("jsonl", str(folder), min_items=3, validation=0.0, test=1.0, test_negatives=20)
    with dataset.load(options) as found:
        return list(found.items()), list(found.examples("test"))


def people(count: int) -> Iterator[Example]:
    """A list of each composed person, of topics that no adapter was trained on."""
    world = World(texts(), held_out=True)
    for number in range(count):
        person = world.person(number, STRANGE, FAMILIAR, SEED)
        order = np.random.default_rng(number).permutation(len(person.shown)).tolist()
        history, shown = ([item(one, person.view) for one in some] for some in (person.history, person.shown))
        labels = tuple(int(place == 0) for place in order)
        candidates = tuple(shown[place] for place in order)
        yield Example(f"composed {person.name}", tuple(history), candidates, labels)


def composed() -> Iterator[Item]:
    """Every composed text in each of the ways in which an item shows it."""
    return (item(text, view) for text in texts() for view in range(len(VIEWS)))


def item(text: Text, view: int) -> Item:
    """A composed text as an item."""
    return Item(f"t{text.number}-{view}", attributes(text, view))


def judged(ranker: SignalRanker, examples: Sequence[Example]) -> list[JudgedList]:
    """What the simple signals say of each list."""
    return [JudgedList(ranker.numbers(one.history, one.candidates), one.labels, one.user_id) for one in examples]


def auc(fusion: Fusion, lists: Sequence[JudgedList], names: Sequence[str] = (MODEL, *SIGNALS)) -> float:
    """Mean AUC by the signals of these names."""
    numbers = [{name: one for name, one in each.numbers.items() if name in names} for each in lists]
    scores = [fusion.scores(own, len(one.labels)) for own, one in zip(numbers, lists, strict=True)]
    return float(np.mean([ranking.auc(score, one.labels) for score, one in zip(scores, lists, strict=True)]))


class Margins:
    """The default's margins of lists, and those that it said before in `work`."""

    def __init__(self, work: Path, seconds: float | None) -> None:
        self._file, self._end = work / "margins.jsonl", None if seconds is None else time.monotonic() + seconds
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        self._known: dict[str, list[float]] = {one["list"]: one["margins"] for one in map(orjson.loads, lines)}
        self._recommender: Recommender | None = None
        self._work = work

    def of(self, example: Example) -> np.ndarray:
        """(candidates,) margins, with strategy `none`."""
        key = list_key(example)
        if key not in self._known:
            if self._end is not None and time.monotonic() > self._end:
                raise SystemExit(f"{self._file}: {len(self._known)} lists: run the same command again")
            self._known[key] = self._scored(example)
            with self._file.open("ab") as file:
                file.write(orjson.dumps({"list": key, "margins": self._known[key]}) + b"\n")
        return np.array(self._known[key], np.float32)

    def _scored(self, example: Example) -> list[float]:
        if self._recommender is None:
            self._recommender = Recommender.load(
                default.NAME,
                cache_dir=self._work / "cache",
                data_dir=self._work / "data",
                strategy="none",
                signals=(MODEL,),
            )
        user = {"history": [_record(one) for one in example.history]}
        found = self._recommender.recommend(user, [_record(one) for one in example.candidates])
        by_id = {entry.item.id: entry.margin for entry in found}
        return [by_id[one.id] for one in example.candidates]


def list_key(example: Example) -> str:
    """Content hash of what the model sees: history and candidates, its adapter, and the prompts."""
    adapter = file_digest(default.ADAPTERS / "recommender.gguf")
    content = [
        adapter,
        fingerprint.template(),
        [[_record(one) for one in some] for some in (example.history, example.candidates)],
    ]
    return hashlib.blake2b(orjson.dumps(content), digest_size=12).hexdigest()


def _record(one: Item) -> dict[str, Any]:
    return {"id": one.id, **one.attributes}


def ship(statistics: Statistics, fusion: Fusion) -> None:
    """Write both; token vectors come with the package anyway, and join the statistics where it is prepared."""
    path = default.ADAPTERS / STATISTICS
    statistics_file.save(replace(statistics, learned=None), path)
    manifest = orjson.loads((default.ADAPTERS / MANIFEST).read_bytes())
    manifest["signals"] = bundle_signals.make(path, fusion, file_digest).to_dict()
    (default.ADAPTERS / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    weights = ", ".join(f"{name} {one.weight:.2f}" for name, one in fusion.weights.items())
    click.echo(f"{path}: {path.stat().st_size:,} bytes; weights: {weights}")


if __name__ == "__main__":
    main()
