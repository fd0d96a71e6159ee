"""Clicks to better weights, on this machine, without training a model: compose 200 people's clicks, tune, compare.

    python examples/tune.py WORK [--people 200]

People are composed of this project's own texts: each chose one of 21 items. The default's weights are tuned on their
clicks, and both rank the clicks of as many others, whose topics are other ones. It takes half a minute.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "default_model"))

import trsr_lite  # noqa: E402


def compose(file: Path, count: int, *, held_out: bool) -> Path:
    """What so many people had, what they were shown, and what they chose of it."""
    from people import World, attributes
    from texts import read

    world, lines = World(read(), held_out=held_out), []
    for number in range(count):
        person = world.person(number, 17, 3, 5)
        history, shown = (
            [{"id": f"t{text.number}-{person.view}", **attributes(text, person.view)} for text in texts]
            for texts in (person.history, person.shown)
        )
        lists = {"history": history, "candidates": sorted(shown, key=lambda one: one["id"])}
        lines.append(json.dumps({"user_id": person.name, **lists, "positives": [shown[0]["id"]]}))
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def main() -> None:
    """Compose, tune, and rank what nobody has tuned on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--data-dir", help="where the prepared default is kept")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    clicks = compose(args.work / "clicks.jsonl", args.people, held_out=False)
    others = compose(args.work / "others.jsonl", args.people, held_out=True)
    folders: dict[str, Any] = {"data_dir": args.data_dir, "cache_dir": args.work / "cache"}
    bundle = args.work / "tuned"
    tuned = trsr_lite.tune("smollm2", bundle, lists=str(clicks), force=True, **folders)
    print("weights:", ", ".join(f"{name} {weight:.2f}" for name, weight in tuned.weights.items()))
    for name, model in {"before": "smollm2", "after": bundle}.items():
        print(f"AUC on {args.people} other people's clicks {name}: {auc(model, others, folders):.3f}")


def auc(model: str | Path, lists: Path, folders: dict[str, Any]) -> float:
    """How often a model ranks what people chose above what they did not."""
    found = []
    with trsr_lite.Recommender.load(model, **folders) as recommender:
        for line in lists.read_text(encoding="utf-8").splitlines():
            user = json.loads(line)
            ranked = [entry.item.id in user["positives"] for entry in recommender.recommend(user)]
            found.append(1 - ranked.index(True) / (len(ranked) - 1))
    return sum(found) / len(found)


if __name__ == "__main__":
    main()
