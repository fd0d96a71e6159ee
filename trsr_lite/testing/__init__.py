"""For tests: of this package, and of a program that embeds it.

    from trsr_lite.testing import FakeEngine, fake_recommender

    engine = FakeEngine(margin=lambda prompt: float("chess" in prompt))
    with fake_recommender(tmp_path, engine) as recommender:
        assert recommender.recommend(user).recommendations[0].item.id == "chess-book"
    assert len(engine.scored) == len(user.candidates)

Invariant: no other module of the package imports this one: what runs in production is never a test double.
"""

from trsr_lite.testing.fake_engine import SPECIAL, FakeEngine, by_length, last_words
from trsr_lite.testing.fake_recommender import fake_recommender
from trsr_lite.testing.waiting import wait_until, wait_until_queued, wait_until_running

__all__ = [
    "SPECIAL",
    "FakeEngine",
    "by_length",
    "fake_recommender",
    "last_words",
    "wait_until",
    "wait_until_queued",
    "wait_until_running",
]
