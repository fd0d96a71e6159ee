"""From logs to a recommendation, on this machine: train a short run, convert it, use the bundle.

    python examples/end_to_end.py WORK [--steps 12]

The logs are composed here: readers who each follow one or two topics. It takes about ten minutes on two cores, and
shows that everything fits together; a useful model needs real logs and more steps.
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
READERS, READ = 60, 8


def compose(folder: Path) -> None:
    """Items and interactions of invented readers."""
    draw, folder = random.Random(0), folder
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        {"id": f"{topic}-{number}", "title": f"{title}, part {number // len(titles) + 1}", "category": topic}
        for topic, titles in TOPICS.items()
        for number, title in enumerate(titles * 5)
    ]
    reads = []
    for reader in range(READERS):
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
    arguments = parser.parse_args()
    work, steps = arguments.work, str(arguments.steps)
    compose(work / "logs")
    train = ["--dataset", "jsonl", "--data", work / "logs", "--domain", "news", "--strategy", "none"]
    run("train", *train, "--output", work / "run", "--max-steps", steps, "--validate-every", steps, "--force")
    run("convert", work / "run", "--output", work / "bundle", "--lists", "6", "--force")
    user = Path(__file__).with_name("news_reader.json")
    run("recommend", "--user", user, "-m", work / "bundle")


if __name__ == "__main__":
    main()
