"""A `Recommender` without models, for tests of programs that embed one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trsr_lite.models.bundle import Bundle, ModelFile
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.summaries.store import SummaryStore
from trsr_lite.testing.fake_engine import FakeEngine


def fake_recommender(cache_dir: str | Path, engine: FakeEngine | None = None, **changes: Any) -> Recommender:
    """A recommender that follows the script of `engine`, which records what it is asked, in both roles.

    Summaries are kept in `cache_dir`; `changes` replace single settings, as those of `Recommender.load` do.
    """
    script = engine or FakeEngine()
    summarizer, recommender = (ModelFile(Path(f"{role}.gguf"), f"fake:{role}", 1) for role in ("write", "rank"))
    bundle = Bundle("fake", summarizer, recommender, trained=True)

    def open_engine(file: ModelFile, _vocab_only: bool, _on_load: Any) -> FakeEngine:
        return dataclasses.replace(script, identity=file.identity, closed=False)

    return Recommender(bundle, SummaryStore(Path(cache_dir)), open_engine, settings=bundle.settings.updated(**changes))
