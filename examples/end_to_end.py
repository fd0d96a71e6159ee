"""From logs to a recommendation, on this machine: train a short run, convert it, use the bundle.

    python examples/end_to_end.py WORK [--steps 12] [--lists 6] [--readers 60] [--type auto] [--llama-cpp DIR]

The logs are composed here: readers who each follow one or two topics. It takes some minutes on two cores, and shows
that everything fits together; a useful model needs real logs and more steps. A second call goes on in WORK.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

TOPICS = {
    "gardening": [
        "Pruning roses in late winter",
        "A hedge for small gardens",
        "Compost in ninety days",
        "Tomatoes on a sill",
    ],
    "cycling": [
        "A pass before breakfast",
        "Which chain lasts longest",
        "Night rides and good lamps",
        "A gravel race in mud",
    ],
    "astronomy": [
        "A comet for binoculars",
        "Mapping the quiet side of the moon",
        "First light of a mirror",
        "Dust storms on Mars",
    ],
    "baking": [
        "A rye loaf with patience",
        "Why croissants leak",
        "Sourdough in a cold kitchen",
        "Salt, and when to add it",
    ],
    "chess": [
        "An endgame of seven moves",
        "Openings for short evenings",
        "The club that plays by post",
        "A clock that was right",
    ],
}
READ = 8  # articles of each reader


def compose(folder: Path, readers: int) -> None:
    """Items and interactions of invented readers."""
    draw = random.Random(0)
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"id": f"{topic}-{number}", "title": f"{title}, part {number // len(titles) + 1}", "category": topic}
        for topic, titles in TOPICS.items()
        for number, title in enumerate(titles * 5)
    ]
    reads = []
    for reader in range(readers):
        loved = draw.sample(list(TOPICS), draw.choice([1, 2]))
        own = [item["id"] for item in items if item["category"] in loved]
        reads += [{"user_id": f"r{reader}", "item_id": item} for item in draw.sample(own, READ)]
    for name, records in (("items", items), ("interactions", reads)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def run(*arguments: str | Path) -> None:
    """One command of trsr-lite, shown before it runs."""
    print("$ trsr-lite", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "trsr_lite", *map(str, arguments)], check=True)


def main() -> None:
    """Everything, into one folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--lists", type=int, default=6, help="held-out lists that both are judged on")
    parser.add_argument("--readers", type=int, default=60)
    parser.add_argument("--type", default="auto", help="tensor type; `auto` is the fastest that keeps the ranking")
    parser.add_argument("--llama-cpp", help="a llama.cpp checkout, instead of fetching its converter")
    arguments = parser.parse_args()
    work, steps, lists = arguments.work, str(arguments.steps), str(arguments.lists)
    converter = ["--llama-cpp", arguments.llama_cpp] if arguments.llama_cpp else []
    if not (work / "logs").exists():
        compose(work / "logs", arguments.readers)
    data = ["--dataset", "jsonl", "--data", work / "logs", "--domain", "news", "--strategy", "none"]
    length = ["--max-steps", steps, "--validate-every", steps, "--validation-users", lists]
    kept = ["--resume"] if (work / "run" / "run.json").exists() else []
    run("train", *data, "--output", work / "run", *length, *kept)
    if not (work / "bundle").exists():
        kind = ["--recommender-type", arguments.type]
        # A few steps teach little: margins lie close together, and rounding swaps some. A real run keeps the defaults.
        limits = ["--lists", lists, "--min-tau-float", "0.95", "--min-tau", "0.9"]
        run("convert", work / "run", "--output", work / "bundle", *limits, *kind, *converter)
    user = Path(__file__).with_name("news_reader.json")
    run("recommend", "--user", user, "-m", work / "bundle")


if __name__ == "__main__":
    main()
