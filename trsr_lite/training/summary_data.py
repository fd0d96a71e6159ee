"""What the summarizer learns from: pairs of a prompt and its summary.

Invariant: a row's prompt is that of `summarize`, and what is learned continues the opening that the prompt ends in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trsr_lite.datasets.report import Report
from trsr_lite.engine.interface import ChatTokenizer, Segment
from trsr_lite.errors import DataError
from trsr_lite.io.digests import file_digest
from trsr_lite.prompts import templates
from trsr_lite.settings import Settings
from trsr_lite.summaries.generate import framed
from trsr_lite.training import pairs, validation
from trsr_lite.training.packing import PackedRow
from trsr_lite.training.pairs import Pair


class SummaryData:
    """The `rows` of the pairs in a file, each once. A fraction of the prompts, chosen by the seed, is held out."""

    def __init__(
        self, path: Path, settings: Settings, tokenizer: ChatTokenizer, *, held_out: float, seed: int, most: int
    ) -> None:
        self.path, self.report = path, Report()
        rows = (_row(pair, where, settings, tokenizer, self.report) for where, pair in pairs.read(path))
        self.rows = list(dict.fromkeys(row for row in rows if row))
        prefixes = list(dict.fromkeys(row.prefix for row in self.rows))  # a prompt with two answers is in one part
        order = np.random.default_rng(seed).permutation(len(prefixes)).tolist()
        count = round(held_out * len(order))
        if not 0 < count < len(order):
            found = "; ".join([f"{len(order)} prompts, of which {count} would be held out", *self.report.lines()])
            hint = "give more pairs, or another `--validation`"
            raise DataError(f"{path}: both parts need at least one prompt: {found}", hint=hint)
        self.report.read("pair", len(self.rows))
        held = {prefixes[place] for place in order[:count]}
        self.train = [number for number, row in enumerate(self.rows) if row.prefix not in held]
        kept = {prefixes[place] for place in order[:count][:most]}
        self.validation = [row for row in self.rows if row.prefix in kept]

    def row(self, number: int, epoch: int) -> PackedRow:
        """The row of a pair."""
        return self.rows[number]

    def metrics(self, scores: Sequence[np.ndarray[Any, Any]]) -> dict[str, float]:
        """Validation metrics of the scores of `validation`."""
        return validation.text(scores)

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the data."""
        counts = {"train": len(self.train), "validation": len(self.rows) - len(self.train)}
        return {
            "files": {self.path.name: file_digest(self.path)},
            "cases": counts,
            "report": self.report.to_dict(),
        }


def _row(pair: Pair, where: str, settings: Settings, tokenizer: ChatTokenizer, report: Report) -> PackedRow | None:
    """The row of a pair; None for a summary that another vocabulary had fewer tokens for than may be generated."""
    message, opening = pairs.asked(pair, settings, tokenizer)
    text = templates.fold(pair.summary)
    if not text.startswith(opening):
        raise DataError(f"{where}: the summary must begin with {opening!r}", hint="or choose another `--domain`")
    has_template = bool(tokenizer.chat_template)
    end = Segment(tokenizer.eos if has_template else "\n", special=has_template)
    written = Segment(text[len(opening) :])
    tokens, alone = (tokenizer.tokenize(prompt, start=False) for prompt in ((written, end), (written,)))
    if len(alone) > settings.summary_tokens:  # the end is not written where all of them are
        report.leave_out("pair", f"a summary longer than the {settings.summary_tokens} `--summary-tokens`", where)
        return None
    prompt = tokenizer.tokenize(framed(message, opening, tokenizer))
    return PackedRow(tuple(prompt), (tuple(tokens),))
