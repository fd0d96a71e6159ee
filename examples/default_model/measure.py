"""How good summaries are: before (the base alone) and after (with the trained adapter), on blocks nobody trained on.

    python examples/default_model/measure.py WORK [--data DIR …] [--show 10]

Blocks come from `WORK/held_out_pairs.jsonl`, where the reference is known, and from data sets in MIND's or Amazon-M2's
layout. It reports means: the share of content words that stand in the block (grounded), the share of the reference's
topics that are named, the share of repeated word pairs, words, and how many summaries repeat a word of the instruction
that no item has (echoed).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from trsr_lite import EngineOptions, Settings
from trsr_lite.datasets import dataset
from trsr_lite.datasets.data_options import DataOptions, domain_of
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.io.digests import file_digest
from trsr_lite.models.bundle import ModelFile, load
from trsr_lite.prompts import chat, templates
from trsr_lite.summaries import generate
from trsr_lite.summaries.blocks import split
from trsr_lite.training import pairs
from trsr_lite.training.pairs import Pair

BLOCKS = 40  # of each data set
SETTINGS = Settings(item_tokens=40)  # the default model's
SMALL = frozenset(
    """a about all also an and are as at be by both for from has have how i in interest interested interests is it its
    like likes more most of on one or other range such summary than that the their them these they this to topics
    various well what which with""".split()
)
INSTRUCTION = frozenset(["summarize", "sentence", "below", "earlier", "notes", "combine"])


def metrics(pair: Pair, text: str) -> dict[str, float]:
    """Figures of one summary; `named` only where the pair has a reference."""
    opening = words(templates.opening(pair.domain or "item"))
    own = [word for word in words(text) if word not in opening]
    content = [word for word in own if word not in SMALL]
    shown = {stem(word) for item in pair.items for value in item.attributes.values() for word in words(value)}
    shown |= {stem(word) for note in pair.notes for word in words(note)}
    twos = list(itertools.pairwise(own))
    found = {
        "grounded": sum(stem(word) in shown for word in content) / max(len(content), 1),
        "repeated": 1 - len(set(twos)) / max(len(twos), 1),
        "words": float(len(own)),
        "echoed": float(any(word in INSTRUCTION and stem(word) not in shown for word in own)),
    }
    if pair.summary:
        reference = pair.summary.removeprefix(templates.opening(pair.domain or "item")).strip()
        topics = re.split(r", | and ", re.sub(r" \([^)]*\)", "", reference))
        stems = {stem(word) for word in own}
        named = [any(stem(word) in stems for word in words(topic) if word not in SMALL) for topic in topics]
        found["named"] = sum(named) / max(len(named), 1)
    return found


def words(text: str) -> list[str]:
    """Words in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def stem(word: str) -> str:
    """A word without its commonest endings."""
    return re.sub(r"(ing|ed|es|s|er|ers)$", "", word) if len(word) > 4 else word


def blocks_of(folder: Path) -> Iterator[Pair]:
    """First blocks of real histories; there is no reference for them."""
    kind = "mind" if (folder / "news.tsv").is_file() else "amazon-m2"
    with dataset.load(DataOptions(kind, str(folder), min_items=6)) as found:
        for example in found.examples("test"):
            yield Pair("block", "", split(example.history, **SETTINGS.cut).complete[0], domain=domain_of(kind))


def summaries(file: ModelFile, asked: Sequence[Pair]) -> list[str]:
    """What a summarizer writes for every pair."""
    engine = LlamaEngine(
        file.path, identity="", adapter=file.adapter.path if file.adapter else None, options=EngineOptions()
    )
    try:
        messages = [pairs.asked(pair, SETTINGS, engine) for pair in asked]
        tokens = [engine.tokenize(generate.framed(*message, engine)) for message in messages]
        texts = engine.generate(tokens, max_tokens=SETTINGS.summary_tokens, no_repeat_ngram=SETTINGS.no_repeat_ngram)
    finally:
        engine.close()
    return [
        templates.finish(opening, chat.without_thoughts(text))
        for (_, opening), text in zip(messages, texts, strict=True)
    ]


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
@click.option("--data", "folders", multiple=True, type=click.Path(path_type=Path), help="Data sets, read in place.")
@click.option("--show", default=0, help="So many summaries before and after.")
def main(work: Path, folders: Sequence[Path], show: int) -> None:
    """Measure the summarizer of the bundle WORK/summaries against its base."""
    after = load(work / "summaries", file_digest).summarizer
    before = ModelFile(after.path, after.digest, after.size)
    sets: dict[str, list[Pair]] = {"composed": [pair for _, pair in pairs.read(work / "held_out_pairs.jsonl")]}
    for folder in folders:
        sets[folder.name] = list(blocks_of(folder))[:BLOCKS]
    report: dict[str, Any] = {}
    for name, asked in sets.items():
        texts = {system: summaries(file, asked) for system, file in (("before", before), ("after", after))}
        report[name] = {}
        for system, found in texts.items():
            values = [metrics(pair, text) for pair, text in zip(asked, found, strict=True)]
            report[name][system] = {
                key: round(sum(value[key] for value in values) / len(values), 3) for key in values[0]
            }
        for pair, *pair_texts in list(zip(asked, *texts.values(), strict=True))[:show]:
            click.echo("\n".join(f"  - {' | '.join(item.attributes.values())[:150]}" for item in pair.items), err=True)
            click.echo("\n".join(f"  note {note}" for note in pair.notes), err=True)
            click.echo(f"before: {pair_texts[0]}\nafter:  {pair_texts[1]}\n", err=True)
    click.echo(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
