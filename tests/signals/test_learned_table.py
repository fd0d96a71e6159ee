"""A learned table gives back what was learned, to its rounding, and nothing of a damaged file."""

from pathlib import Path

import numpy as np
import pytest

from trsr_lite.errors import ModelError
from trsr_lite.signals import learned_table
from trsr_lite.signals.learned_table import LearnedTable
from trsr_lite.signals.token_weights import FLAT, rank_weights

COUNT, KNOWN = 60, np.array([0, 3, 4, 17, 59])
VECTORS = np.random.default_rng(4).normal(size=(COUNT, 10)).astype(np.float32)


def made() -> LearnedTable:
    return LearnedTable.of(VECTORS, KNOWN, "b2:some")


def test_vectors_come_back_to_half_a_step() -> None:
    table = made()
    found = table.directions(KNOWN)
    assert found.dtype == np.float32 and found.shape == (5, 10) and table.dimensions == 10
    steps = table.scales.astype(np.float32)[:, None]
    assert (np.abs(found) <= learned_table.STEPS * steps).all()
    covered = np.clip(VECTORS[KNOWN], -learned_table.STEPS * steps, learned_table.STEPS * steps)
    assert (covered == VECTORS[KNOWN]).mean() > 0.8
    assert (np.abs(found - covered) <= 0.5001 * steps).all()


def test_no_other_covering_would_round_better() -> None:
    def error(table: LearnedTable) -> np.ndarray:
        return np.square(table.directions(KNOWN) - VECTORS[KNOWN]).sum(axis=1)

    best = error(made())
    for ratio in learned_table.RATIOS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(learned_table, "RATIOS", (ratio,))
            assert (best <= error(made()) + 1e-6).all()


def test_a_token_that_was_not_learned_has_zeros() -> None:
    found = made().directions(np.array([1, 3, 58]))
    assert not found[[0, 2]].any() and found[1].any()


def test_a_row_of_zeros_stays_one() -> None:
    found = LearnedTable.of(np.zeros((4, 2), np.float32), np.array([2]), "").directions(np.array([2]))
    assert found.tolist() == [[0, 0]]


def test_the_file_gives_back_the_table_and_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "a.npz", tmp_path / "b.npz"
    learned_table.save(made(), one)
    found = learned_table.load(one)
    learned_table.save(found, other)
    assert one.read_bytes() == other.read_bytes()
    assert found.tokenizer == "b2:some" and found.count == COUNT
    everything = np.arange(COUNT)
    np.testing.assert_array_equal(found.directions(everything), made().directions(everything))


@pytest.mark.parametrize("place", [0.05, 0.2, 0.4, 0.6, 0.8, 0.99])
def test_a_changed_byte_or_a_cut_is_refused_in_one_line(place: float, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    learned_table.save(made(), file)
    content = file.read_bytes()
    cut = int(len(content) * place)
    for broken in (content[:cut], content[:cut] + bytes([content[cut] ^ 255]) + content[cut + 1 :]):
        file.write_bytes(broken)
        try:
            found = learned_table.load(file)
        except ModelError as error:
            assert str(error) == f"{file}: damaged, or no token vectors at all" and error.hint
        else:  # a byte that carries nothing, such as a flag of the archive
            assert found.directions(KNOWN).tolist() == made().directions(KNOWN).tolist()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no vectors"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ModelError, match="damaged, or no token vectors"):
        learned_table.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "change", [{"tokens": np.array([3, 0, 4, 17, 59])}, {"tokens": np.array([0, 3, 4, 17, 60])}, {"count": 20},
               {"scales": np.array([1, 1, 1, 1, np.nan], np.float16)}, {"scales": np.ones(4, np.float16)}]
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        LearnedTable(**{**vars(made()), **change})  # type: ignore[arg-type]


def test_frequent_tokens_count_less_than_rare_ones() -> None:
    weights = rank_weights(49_152)
    assert weights.dtype == np.float32 and (np.diff(weights) >= 0).all()
    assert 0 < weights[FLAT] < 0.15 and 0.6 < weights[-1] < 1
