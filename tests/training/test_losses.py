"""The losses, against sums written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trsr_lite.training.losses import Objective, margins
from trsr_lite.training.packing import PackedRow, pack

ANSWERS = (3, 1)
TWO_ROWS = pack(
    [PackedRow((1,), ((1,), (1,), (1,)), (0, 1, 0)), PackedRow((1,), ((1,), (1,), (1,), (1,)), (1, 0, 1, 0))]
)
LOGITS = torch.tensor(
    [[float((7 * row + 3 * column * column) % 11) / 4 for column in range(5)] for row in range(7)], requires_grad=True
)
MARGINS = [row[3] - row[1] for row in LOGITS.tolist()]
LABELS = [0, 1, 0, 1, 0, 1, 0]


def softmax_loss(index: int, over: list[int]) -> float:
    return -math.log(math.exp(MARGINS[index]) / sum(math.exp(MARGINS[other]) for other in over))


LISTWISE = softmax_loss(1, [0, 1, 2]) + (softmax_loss(3, [3, 4, 5, 6]) + softmax_loss(5, [3, 4, 5, 6])) / 2


def answer_loss(index: int) -> float:
    row = LOGITS[index].tolist()
    return math.log(sum(map(math.exp, row))) - row[ANSWERS[0] if LABELS[index] else ANSWERS[1]]


ANSWER = sum(map(answer_loss, range(3))) / 3 + sum(map(answer_loss, range(3, 7))) / 4


def test_a_margin_is_yes_minus_no() -> None:
    assert margins(LOGITS, ANSWERS).tolist() == pytest.approx(MARGINS)


def test_listwise_wants_positives_to_share_the_softmax_of_their_row() -> None:
    assert Objective(ANSWERS, listwise=1.0)(LOGITS, TWO_ROWS).item() == pytest.approx(LISTWISE, rel=1e-5)


def test_listwise_shares_by_relevance_where_it_is_known_and_answers_stay_clicks() -> None:
    rows = [
        PackedRow((1,), ((1,), (1,), (1,)), (0, 1, 0), relevance=(3.0, 5.0, 0.0)),
        PackedRow((1,), ((1,),) * 4, (1, 0, 1, 0)),
    ]
    graded = pack(rows)
    expected = (3 * softmax_loss(0, [0, 1, 2]) + 5 * softmax_loss(1, [0, 1, 2])) / 8
    expected += LISTWISE - softmax_loss(1, [0, 1, 2])
    assert Objective(ANSWERS, listwise=1.0)(LOGITS, graded).item() == pytest.approx(expected, rel=1e-5)
    assert Objective(ANSWERS, answer=1.0)(LOGITS, graded).item() == pytest.approx(ANSWER, rel=1e-5)


def test_answer_is_cross_entropy_over_the_vocabulary_averaged_in_each_row() -> None:
    assert Objective(ANSWERS, answer=1.0)(LOGITS, TWO_ROWS).item() == pytest.approx(ANSWER, rel=1e-5)


def test_both_is_their_weighted_sum() -> None:
    found = Objective(ANSWERS, listwise=1.0, answer=0.2)(LOGITS, TWO_ROWS).item()
    assert found == pytest.approx(LISTWISE + 0.2 * ANSWER, rel=1e-5)


def test_a_row_that_shows_no_user_wants_its_candidates_equal_and_is_asked_no_answer() -> None:
    rows = [PackedRow((1,), ((1,), (1,), (1,)), (0, 0, 0)), PackedRow((1,), ((1,), (1,), (1,), (1,)), (1, 0, 1, 0))]
    part, usual = pack(rows), pack(rows[1:])
    equal = torch.zeros_like(LOGITS)
    found = Objective(ANSWERS, listwise=1.0)(LOGITS, part) - Objective(ANSWERS, listwise=1.0)(LOGITS[3:], usual)
    expected = sum(softmax_loss(index, [0, 1, 2]) for index in range(3)) / 3
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert expected > math.log(3)  # what equal margins cost, the least possible
    least = Objective(ANSWERS, listwise=1.0)(equal, part) - Objective(ANSWERS, listwise=1.0)(equal[3:], usual)
    assert least.item() == pytest.approx(math.log(3))
    answer = Objective(ANSWERS, answer=1.0)
    assert answer(LOGITS, part).item() == pytest.approx(answer(LOGITS[3:], usual).item())


def test_text_is_cross_entropy_with_the_weights_of_the_pack() -> None:
    part = pack([PackedRow((1, 2), ((3, 4), (2,)), (1, 0))], ANSWERS, whole_text=True)
    # Positions: prefix 1 -> 2, counted for two prompts; then 2 -> 3, 3 -> 4, 4 -> yes; and 2 -> 2, 2 -> no.
    logits = torch.arange((2 + 6) * 5, dtype=torch.float32).reshape(8, 5) % 7 / 3
    wanted, weights = [2, 3, 4, 3, 2, 1], [2, 1, 1, 1, 1, 1]
    expected = 0.0
    for row, token, weight in zip(logits[2:].tolist(), wanted, weights, strict=True):
        expected += weight / 7 * (math.log(sum(map(math.exp, row))) - row[token])
    assert Objective(ANSWERS, text=1.0)(logits, part).item() == pytest.approx(expected, rel=1e-5)


def test_a_row_counts_once_however_many_candidates_it_has() -> None:
    level = torch.zeros(7, 5)
    assert Objective(ANSWERS, answer=1.0)(level, TWO_ROWS).item() == pytest.approx(2 * math.log(5))


def test_the_loss_is_float32_and_stays_a_number_for_wide_logits() -> None:
    wide = (torch.tensor([[0.0, 3e4, 0.0, -3e4, 0.0]] * 7)).bfloat16()
    found = Objective(ANSWERS, listwise=1.0, answer=1.0)(wide, TWO_ROWS)
    assert found.dtype == torch.float32
    assert torch.isfinite(found)
