"""Writes what the default model is trained and measured on.

    python examples/default_model/compose.py WORK

`WORK/train` and `WORK/held_out` are data sets for `trsr-lite train` and `evaluate` (`--dataset jsonl --negatives
impressions`), the second of people and topics that the first does not have; `WORK/pairs.jsonl` is for `trsr-lite train
--role summarizer`, `WORK/held_out_pairs.jsonl` for measuring it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from filecmp import cmp
from pathlib import Path

import click
import numpy as np
import orjson
from people import Person, World, attributes
from references import Interest, of_block, of_notes, sentence
from taste import Taste
from texts import Text, read

from trsr_lite import Item, Settings
from trsr_lite.prompts import templates
from trsr_lite.summaries import plan
from trsr_lite.training import pairs
from trsr_lite.training.pairs import Pair

SEED = 6  # also of the two runs
TRAINING, HELD_OUT = 3700, 300  # people
WRITTEN_OF = 2000  # the training people that pairs are taken from
STRANGE, FAMILIAR = 8, 3  # of what is shown, besides a text of an interest
STRANGE_HELD_OUT = 17
PAIRS = {"block": 900, "merge": 500, "update": 200}
HELD_OUT_PAIRS = {"block": 60, "merge": 25, "update": 15}


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
def main(work: Path) -> None:
    """Write data sets and pairs into WORK, whose runs must not have learned from others."""
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        _compose(folder)
        files = [path.relative_to(folder) for path in sorted(folder.rglob("*.jsonl"))]
        changed = [file for file in files if (work / file).exists() and not cmp(folder / file, work / file, False)]
        if changed and any(work.glob("*/run.json")):
            raise SystemExit(f"{work}: its runs learned from another {changed[0]}: delete it, or name another folder")
        for file in files:
            (work / file).parent.mkdir(exist_ok=True)
            (folder / file).replace(work / file)


def _compose(work: Path) -> None:
    texts = read()
    taste = Taste(texts)
    for name, held_out, count, strange in (
        ("train", False, TRAINING, STRANGE),
        ("held_out", True, HELD_OUT, STRANGE_HELD_OUT),
    ):
        world = World(texts, held_out=held_out)
        people = [world.person(number, strange, FAMILIAR, SEED + held_out) for number in range(count)]
        _write_lists(people, taste, work / name)
        wanted = HELD_OUT_PAIRS if held_out else PAIRS
        pairs.append(
            _chosen(people[:WRITTEN_OF], wanted), work / ("held_out_pairs.jsonl" if held_out else "pairs.jsonl")
        )


def _write_lists(people: Sequence[Person], taste: Taste, folder: Path) -> None:
    """What each shown text is worth is kept; what is worth most is clicked."""
    folder.mkdir(parents=True, exist_ok=True)
    items: dict[str, bytes] = {}
    lines = []
    for person in people:
        for text in (*person.history, *person.shown):
            items[_id(text, person.view)] = orjson.dumps(_item(text, person.view))
        history, shown = ([_id(text, person.view) for text in texts] for texts in (person.history, person.shown))
        relevance = dict(zip(shown, taste.worth(person.history, person.shown).round(4).tolist(), strict=True))
        lists = {"history": history, "clicked": [max(shown, key=relevance.__getitem__)], "shown": shown}
        lines.append(orjson.dumps({"user_id": person.name, "domain": person.noun, **lists, "relevance": relevance}))
    (folder / "items.jsonl").write_bytes(b"\n".join([*items.values(), b""]))
    (folder / "impressions.jsonl").write_bytes(b"\n".join([*lines, b""]))


def _chosen(people: Sequence[Person], wanted: dict[str, int]) -> list[Pair]:
    """As many pairs of each kind as wanted, spread over the people."""
    rng = np.random.default_rng(SEED)
    found: dict[str, list[Pair]] = {kind: [] for kind in wanted}
    for person in people:
        for pair in _pairs(person):
            found[pair.kind].append(pair)
    chosen = []
    for kind, count in wanted.items():
        order = rng.permutation(len(found[kind]))[:count]
        chosen += [found[kind][place] for place in sorted(order.tolist())]
    return chosen


def _pairs(person: Person) -> Iterator[Pair]:
    """The pairs of both strategies, from the very plan that summarizing follows."""
    by_id = {_id(text, person.view): text for text in person.history}
    history = [Item.from_dict(_item(text, person.view)) for text in person.history]
    opening = templates.opening(person.noun)
    for strategy in ("hierarchical", "recurrent"):
        planned = plan.plan(history, Settings(strategy=strategy, domain=person.noun), "")
        known: dict[str, list[Interest]] = {}
        for node in planned.nodes:
            notes = [known[child.key] for child in node.children]
            block = of_block([by_id[item.id] for item in node.items]) if node.items else []
            known[node.key] = of_notes([*notes, block] if block else notes) if notes else block
            if strategy == "hierarchical" or node.kind == "update":
                texts = tuple(sentence(opening, note) for note in notes)
                yield Pair(node.kind, sentence(opening, known[node.key]), node.items, texts, person.noun)


def _item(text: Text, view: int) -> dict[str, str]:
    return {"id": _id(text, view), **attributes(text, view)}


def _id(text: Text, view: int) -> str:
    return f"t{text.number}-{view}"


if __name__ == "__main__":
    main()
