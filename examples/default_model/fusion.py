"""Learns what each signal counts in the default: `statistics.npz`, and the fusion in the manifest.

    python examples/default_model/fusion.py --papers shared/data/acl/items.jsonl

Beside the papers lies `interactions.jsonl`, who wrote them. Statistics are those of all papers and of every composed
text, as news, products and software show it. Weights are learned on authors: each one's last paper against 20 others.
The model's margin is not among them, because it added nothing (`README.md`). Scores are calibrated on authors and as
many composed people: on authors alone, nine of ten candidates of a news reader would score above 0.7. It takes minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from people import VIEWS, World, attributes
from texts import read as texts

from trsr_lite import Item
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
from trsr_lite.signals import fitting, statistics_file
from trsr_lite.signals.fitting import Fit, JudgedList, calibrated
from trsr_lite.signals.fusion import Fusion
from trsr_lite.signals.ranker import SignalRanker
from trsr_lite.signals.statistics import Statistics
from trsr_lite.signals.statistics_builder import StatisticsBuilder
from trsr_lite.signals.token_table import TokenTable

STATISTICS = "statistics.npz"
SIGNALS = ("tokens", "meaning", "recent", "words", "taste", "specific", "attributes")  # those that need no users
SOURCE = "authors of ACL papers (CC BY 4.0)"
STRANGE, FAMILIAR, SEED = 17, 3, 12  # what a composed person is shown besides one liked text


@click.command()
@click.option("--papers", required=True, type=click.Path(exists=True, path_type=Path))
def main(papers: Path) -> None:
    """Write statistics and fusion into the package."""
    items, authors = read(papers.parent)
    base = default.locate(offline=False)
    tokenizer, rows = LlamaEngine(base, identity="", vocab_only=True), Rows(base)
    builder = StatisticsBuilder(tokenizer, rows)
    builder.add([*items, *composed()])
    made = builder.build()
    assert made.row_mean is not None
    ranker = SignalRanker(made, Fusion({}), tokenizer=tokenizer, table=TokenTable(rows, made.row_mean))
    judged = [JudgedList(ranker.numbers(one.history, one.candidates), one.labels, one.user_id) for one in authors]
    facts = {"lists": len(authors), "digest": EvalLists(dict(enumerate(authors)), (), None, {}).digest()}
    found = fitting.fit(judged, SIGNALS, facts={**facts, "source": SOURCE})
    ship(made, with_people(found, ranker, judged))
    figures = [ranking.auc(score, one.labels) for score, one in zip(found.scores, judged, strict=True)]
    click.echo(f"authors, by weights that never saw them: AUC {float(np.mean(figures)):.3f}")


def read(folder: Path) -> tuple[list[Item], list[Example]]:
    """All papers, and a list of each author."""
    options = DataOptions("jsonl", str(folder), min_items=3, validation=0.0, test=1.0, test_negatives=20)
    with dataset.load(options) as found:
        return list(found.items()), list(found.examples("test"))


def composed() -> Iterator[Item]:
    """Every composed text in each of the ways in which an item shows it."""
    for text in texts():
        for view in range(len(VIEWS)):
            yield Item(f"t{text.number}-{view}", attributes(text, view))


def with_people(found: Fit, ranker: SignalRanker, authors: Sequence[JudgedList]) -> Fusion:
    """The fusion, calibrated on authors and as many composed people with topics of their own."""
    world = World(texts(), held_out=True)
    scores, labels = list(found.scores), [one.labels for one in authors]
    for number in range(len(authors)):
        person = world.person(number, STRANGE, FAMILIAR, SEED)
        history, shown = (
            [Item(f"t{text.number}-{person.view}", attributes(text, person.view)) for text in some]
            for some in (person.history, person.shown)
        )
        scores.append(found.fusion.scores(ranker.numbers(history, shown), len(shown)))
        labels.append((1, *[0] * (len(shown) - 1)))
    return calibrated(found.fusion, scores, labels)


def ship(statistics: Statistics, fusion: Fusion) -> None:
    """Write both; token vectors come with the package anyway, and join the statistics where it is prepared."""
    path = default.ADAPTERS / STATISTICS
    statistics_file.save(replace(statistics, learned=None), path)
    manifest = json.loads((default.ADAPTERS / MANIFEST).read_text(encoding="utf-8"))
    manifest["signals"] = bundle_signals.make(path, fusion, file_digest).to_dict()
    (default.ADAPTERS / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    weights = ", ".join(f"{name} {one.weight:.2f}" for name, one in fusion.weights.items())
    click.echo(f"{path}: {path.stat().st_size:,} bytes; weights: {weights}")


if __name__ == "__main__":
    main()
