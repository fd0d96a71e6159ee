"""The texts that the composed users read, buy and install: one file for each domain.

    ## area/topic
    Title :: description :: subject
    Title :: brand :: description :: subject          (products)

The subject is what a text is about in a few words; summaries are written from it, and no model is shown it as such.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "texts"
FILES = {"news": "news.txt", "product": "products.txt", "item": "software.txt"}
# What a person would call a topic whose own name says too little.
NAMES = {
    "travel/cities": "city trips",
    "travel/beaches": "beach holidays",
    "office/chairs": "office chairs",
    "office/mailing": "mailing supplies",
    "office/tape and glue": "tape and glue",
    "kitchen/coffee": "coffee gear",
    "kitchen/tea": "tea",
    "home/cleaning": "cleaning supplies",
    "computers/storage": "data storage",
    "outdoor/cycling": "bicycle gear",
    "outdoor/fishing": "fishing tackle",
    "sports/yoga": "yoga gear",
    "sports/weights": "weight training",
    "pets/dogs": "dog supplies",
    "pets/cats": "cat supplies",
    "garden/pots": "plant pots",
    "education/schools": "schools",
    "politics/courts": "court rulings",
    "politics/parliament": "parliament",
    "finance/jobs": "the job market",
    "finance/retail": "retail business",
    "weather/snow": "winter weather",
    "video/video": "video",
}


@dataclass(frozen=True)
class Text:
    """One item to be; `number` is its place among all texts."""

    number: int
    domain: str
    area: str
    topic: str
    title: str
    brand: str
    description: str
    subject: str


def read() -> list[Text]:
    """Every text of every domain."""
    found: list[Text] = []
    for domain, name in FILES.items():
        area = topic = ""
        for line in (FOLDER / name).read_text(encoding="utf-8").splitlines():
            if line.startswith("## "):
                area, _, topic = line[3:].replace("-", " ").partition("/")
                topic = NAMES.get(f"{area}/{topic}", topic)
            elif line:
                title, *brand, description, subject = line.split(" :: ")
                found.append(Text(len(found), domain, area, topic, title, "".join(brand), description, subject))
    return found
