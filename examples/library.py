"""The library in 15 lines: rank candidates for a user, with nothing leaving this machine."""

from pathlib import Path

from trsr_lite import Recommender, read_user

user = read_user(Path(__file__).with_name("shopper.json"))

with Recommender.load("smollm2", domain="product") as recommender:
    result = recommender.recommend(user, k=3)
    preference = recommender.summarize(user).summary

print(preference)
for entry in result:
    print(f"{entry.rank}. {entry.item.title} ({entry.score:.2f})")
