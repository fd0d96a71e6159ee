"""A catalog of 200,000 made-up items: building, size, memory, retrieval; and what it finds on real data.

    python -m benchmarks.catalog [--items 200000] [--data DIR [--summaries 250]]

Texts are made of words with the lengths and the skewed frequencies of a language. A catalog of 5 million items is
extrapolated from three sizes. `--data` measures how often the first 50 hold the item that a user really chose next, for
the weights of `trsr_lite.catalog.retrieval` and for others, beside popularity's first 50; `--summaries` writes those of
so many users with the default model, and measures what they add. Those data are not part of the repository.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest import mock

import orjson

from benchmarks.measure import report
from trsr_lite import Catalog, Item, Recommender, Retrieval
from trsr_lite.catalog import build as changes
from trsr_lite.catalog import retrieval
from trsr_lite.datasets import data_options
from trsr_lite.datasets import dataset as datasets
from trsr_lite.datasets.data_options import DataOptions

VOCABULARY, TITLE, DESCRIPTION = 50_000, 8, 40  # words
SIZES = (0.25, 0.5, 1.0)  # of the items asked for
LARGE = 5_000_000
QUERIES, HISTORY, COUNT = 400, 20, 50
REAL: dict[str, dict[str, Any]] = {
    "amazon-office": {"dataset": "amazon-m2", "data": "amazon-office", "min_items": 6},
    "mind": {"dataset": "mind", "data": "mind/train"},
}
VARIANTS: dict[str, dict[str, float]] = {
    "as it is": {},
    "newest item only": {"RECENT": 1},
    "5 newest items": {"RECENT": 5},
    "20 newest items": {"RECENT": 20},
    "no decay": {"DECAY": 1.0},
    "decay 0.9": {"DECAY": 0.9},
    "decay 0.6": {"DECAY": 0.6},
    "titles count once": {"TITLE": 1.0},
    "titles count 10 times": {"TITLE": 10.0},
    "5 words of a title": {"TERMS": 5},
    "10 words of a title": {"TERMS": 10},
    "40 words of a title": {"TERMS": 40},
    "places + 4": {"PLACE": 4.0},
    "places + 60": {"PLACE": 60.0},
    "1,000 index entries": {"POSTINGS": 1000},
    "100,000 index entries": {"POSTINGS": 100_000},
}
SUMMARY_WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)


def items(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Made-up items of about 320 bytes of text."""
    source = random.Random(seed)
    words = _vocabulary()
    weights = list(accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))  # Zipf and Mandelbrot
    for number in range(count):
        title, text = (" ".join(source.choices(words, cum_weights=weights, k=k)) for k in (TITLE, DESCRIPTION))
        yield {
            "id": f"P{number:09d}",
            "title": f"{title.capitalize()} {source.randint(100, 9999)}",
            "category": f"shelf {source.randint(1, 40)}",
            "brand": words[source.randint(300, 3000)].capitalize(),
            "description": f"{text.capitalize()}.",
            "time": source.randint(1_600_000_000, 1_700_000_000),
        }


def _vocabulary() -> list[str]:
    """Words, the most frequent first; as in a language those are short."""
    source, words = random.Random(1), dict[str, None]()
    while len(words) < VOCABULARY:
        syllables = 1 if len(words) < 80 else source.choice((2, 3, 3, 4))
        letters = [source.choice("bcdfghjklmnprstvwz") + source.choice("aeiou") for _ in range(syllables)]
        words.setdefault("".join(letters) + source.choice(("", "n", "s", "r", "t")))
    return list(words)


def build(source: Path, target: Path) -> dict[str, float]:
    """Seconds, processor seconds and peak memory of building, in a process of its own."""
    code = (
        "import json, resource, sys, time\nfrom trsr_lite.catalog.build import build\nstart = time.perf_counter()\n"
        "done = build([sys.argv[1]], sys.argv[2], force=True)\n"
        "use = resource.getrusage(resource.RUSAGE_SELF)\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "print(json.dumps({'seconds': time.perf_counter() - start, 'processor': time.process_time(),\n"
        "    'memory': use.ru_maxrss * unit, 'items': done.new}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, source, target], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ask(path: Path, queries: int, options: Retrieval) -> dict[str, list[float]]:
    """Seconds, and processor seconds, of each retrieval for a history of made-up items and a summary of their words."""
    source, seconds = random.Random(2), {"seconds": list[float](), "processor": list[float]()}
    with Catalog(path) as catalog:
        known = len(catalog)
        for number in range(queries + 10):
            history = [_item(catalog, source.randrange(known)) for _ in range(HISTORY)]
            summary = " ".join(item.title for item in history[:4])
            start, own = time.perf_counter(), time.process_time()
            found = catalog.retrieve(history, summary, options)
            spent = time.perf_counter() - start, time.process_time() - own
            assert len(found) == options.count
            if number >= 10:
                seconds["seconds"].append(spent[0])
                seconds["processor"].append(spent[1])
    return seconds


def _item(catalog: Catalog, number: int) -> Item:
    found = catalog.get(f"P{number:09d}")
    assert found is not None
    return found


def percentile(values: Sequence[float], part: float) -> float:
    return sorted(values)[math.ceil(part * len(values)) - 1]


def made_up(count: int, queries: int, folder: Path) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Three sizes, and what follows for a large one."""
    sizes: list[dict[str, Any]] = []
    for part in SIZES:
        source, target = folder / "items.jsonl", folder / "items.catalog"
        with source.open("wb") as out:
            out.writelines(orjson.dumps(item) + b"\n" for item in items(int(count * part)))
        found: dict[str, Any] = build(source, target)
        with Catalog(target) as catalog:
            info = catalog.info()
        found["text_bytes"], found["file_bytes"] = info["text_bytes"], info["file_bytes"]
        found["json_bytes"] = source.stat().st_size
        found["retrieve"] = ask(target, queries, Retrieval(COUNT))
        found["diverse"] = ask(target, queries // 4, Retrieval(COUNT, diversity=0.3))
        sizes.append(found)
    last = sizes[-1]
    p95 = percentile(last["retrieve"]["seconds"], 0.95)
    large = {name: _line([(one["items"], one[name]) for one in sizes], LARGE) for name in ("seconds", "file_bytes")}
    # What is read of the index is bounded; trees get deeper, with the logarithm of what is in them.
    times = [(math.log(one["items"]), percentile(one["retrieve"]["seconds"], 0.95)) for one in sizes]
    large["p95"] = _line(times, math.log(LARGE))
    rows = [
        (f"items/s, building {count:,} items", f"{last['items'] / last['seconds']:,.0f}", ">= 20,000"),
        ("… by processor time", f"{last['items'] / last['processor']:,.0f}", ""),
        ("file / text of attributes", f"{last['file_bytes'] / last['text_bytes']:.2f}x", "<= 2x"),
        ("file / JSON Lines", f"{last['file_bytes'] / last['json_bytes']:.2f}x", ""),
        ("peak memory of building", f"{last['memory'] / 2**20:.0f} MiB", "< 300 MB"),
        (f"retrieval of {COUNT}, median", f"{statistics.median(last['retrieve']['seconds']) * 1e3:.1f} ms", ""),
        ("… 95th percentile", f"{p95 * 1e3:.1f} ms", "< 30 ms"),
        ("… processor time", f"{percentile(last['retrieve']['processor'], 0.95) * 1e3:.1f} ms", ""),
        ("… with diversity", f"{percentile(last['diverse']['seconds'], 0.95) * 1e3:.1f} ms", ""),
        (f"{LARGE:,} items, extrapolated: build", f"{large['seconds'] / 60:.1f} min", ""),
        ("… file", f"{large['file_bytes'] / 1e9:.1f} GB", ""),
        ("… 95th percentile", f"{large['p95'] * 1e3:.0f} ms", ""),
    ]
    return rows, {"sizes": sizes, "large": large}


def _line(points: Sequence[tuple[float, float]], at: float) -> float:
    """The straight line of least squares through the points, at another place."""
    slope, start = statistics.linear_regression(*zip(*points, strict=True))
    return start + slope * at


def real(data: Path, folder: Path, summaries: int) -> tuple[list[tuple[str, str, str]], dict[str, Any]]:
    """Held-out items among the first 50, for every variant."""
    rows, found = [], dict[str, Any]()
    for name, options in REAL.items():
        wanted = DataOptions(**{**options, "data": str(data / options["data"])}, test=0.5, validation=0)
        with datasets.load(wanted) as dataset:
            every = list(dataset.items())
            source, path = folder / f"{name}.jsonl", folder / f"{name}.catalog"
            with source.open("wb") as out:
                out.writelines(orjson.dumps({"id": item.id, **item.attributes}) + b"\n" for item in every)
            changes.build([source], path)
            counts = dataset.counts()
            popular = sorted((item.id for item in every), key=lambda one: -counts.get(one, 0))
            asked = []
            for number in dataset.numbers("test"):
                example = dataset.example(number)
                asked.append((example.history, example.candidates[example.labels.index(1)].id))
        hits = {"popularity": [_popular(popular, history, own) for history, own in asked]}
        with Catalog(path) as catalog:
            for variant, values in VARIANTS.items():
                with mock.patch.multiple(retrieval, **values) if values else mock.patch.dict({}):
                    hits[variant] = [_holds(catalog.retrieve(history, None, COUNT), own) for history, own in asked]
            unfolded = Retrieval(COUNT, fold=False)
            hits["near-duplicates kept"] = [_holds(catalog.retrieve(h, None, unfolded), own) for h, own in asked]
            for diversity in (0.2, 0.5):
                mixed = Retrieval(COUNT, diversity=diversity)
                hits[f"diversity {diversity}"] = [_holds(catalog.retrieve(h, None, mixed), own) for h, own in asked]
            with_summaries = summarized(catalog, asked[:summaries], wanted.dataset) if summaries else {}
        means = {variant: statistics.mean(values) for variant, values in hits.items()}
        base = means["popularity"]
        times = f"{len(every):,} items, {len(asked)} users"
        rows.append((f"{name}: popularity's first {COUNT} ({times})", f"{base:.3f}", ""))
        for variant, value in list(means.items())[1:]:
            aim = ">= 2x" if variant == "as it is" and name == "amazon-office" else ""
            rows.append((f"{name}: {variant}", f"{value:.3f} ({value / base:.2f}x)", aim))
        for weight, value in with_summaries.items():
            rows.append((f"{name}: {min(summaries, len(asked))} users, summary counts {weight}", f"{value:.3f}", ""))
        found[name] = {"items": len(every), "users": len(asked), "recall": means, "summaries": with_summaries}
    return rows, found


def summarized(catalog: Catalog, asked: Sequence[tuple[Sequence[Item], str]], kind: str) -> dict[float, float]:
    """How often the item is found, by the weight of the search for the user's summary."""
    with Recommender.load(offline=True, domain=data_options.domain_of(kind)) as recommender:
        texts = [summary.text for summary in recommender.summaries([history for history, _ in asked])]
    found = {}
    for weight in SUMMARY_WEIGHTS:
        with mock.patch.object(retrieval, "SUMMARY", weight):
            hits = [
                _holds(catalog.retrieve(history, text, COUNT), own)
                for (history, own), text in zip(asked, texts, strict=True)
            ]
        found[weight] = statistics.mean(hits)
    return found


def _popular(popular: Sequence[str], history: Sequence[Item], own: str) -> bool:
    seen = {item.id for item in history}
    return own in [one for one in popular[: COUNT + len(seen)] if one not in seen][:COUNT]


def _holds(found: Sequence[Item], own: str) -> bool:
    return any(item.id == own for item in found)


ITEMS = 200_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--data", type=Path, help="a folder with `amazon-office` and `mind`")
    parser.add_argument("--only-data", action="store_true")
    parser.add_argument("--summaries", type=int, default=0, metavar="N", help="summarize N users of each data set")
    arguments = parser.parse_args()
    rows, content = [], dict[str, Any]()
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.only_data:
            rows, content = made_up(arguments.items, arguments.queries, Path(folder))
        if arguments.data:
            more, content["real"] = real(arguments.data, Path(folder), arguments.summaries)
            rows += more
    whole = arguments.data is not None and not arguments.only_data and arguments.items == ITEMS
    report("catalog", rows, content, whole=whole)


if __name__ == "__main__":
    main()
