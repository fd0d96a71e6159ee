"""What is learned: losses over the answer logits of packs.

Invariant: losses are computed in float32 from float32 logits and summed over rows. The caller divides by the rows of a
whole step, however they were packed or spread over devices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, log_softmax

from trsr_lite.training.packing import Pack


@dataclass(frozen=True)
class Objective:
    """`listwise`: softmax over the margins of one row's candidates. `answer`: cross-entropy of the yes/no token.

    `listwise` is ListNet's (Cao et al. 2007): cross-entropy between what each candidate is worth and that softmax. A
    row that shows no user has no right answer: `listwise` wants its candidates equal, `answer` leaves it out.

    Attributes
    ----------
    listwise, answer, text: weights; `text` is the paper's loss over every token of every prompt.
    answers: token ids of (yes, no).
    """

    answers: tuple[int, int]
    listwise: float = 0.0
    answer: float = 0.0
    text: float = 0.0

    def __call__(self, logits: torch.Tensor, pack: Pack) -> torch.Tensor:
        """The sum of the rows' losses, a scalar; `logits`: (C + N, vocabulary), candidates first, then texts."""
        logits = logits.float()
        answers, text = logits[: len(pack.ends)], logits[len(pack.ends) :]
        total = logits.new_zeros(())
        if self.listwise and pack.candidates:
            parts = margins(answers, self.answers).split(pack.candidates)
            logs = torch.cat([log_softmax(part, dim=0) for part in parts])
            total = total - self.listwise * pack.shares.to(logs.dtype) @ logs
        if self.answer and pack.candidates:
            yes, no = self.answers
            each = cross_entropy(answers, torch.where(pack.labels == 1, yes, no), reduction="none")
            parts = zip(each.split(pack.candidates), pack.labels.split(pack.candidates), strict=True)
            total = total + self.answer * sum(
                (part.mean() for part, labels in parts if labels.any()), logits.new_zeros(())
            )
        if self.text and len(pack.text_at):
            each = cross_entropy(text, pack.text_ids, reduction="none") * pack.text_weights
            total = total + self.text * each.sum()
        return total


def margins(logits: torch.Tensor, answers: tuple[int, int]) -> torch.Tensor:
    """logit(yes) − logit(no): (…, vocabulary) -> (…)."""
    return logits[..., answers[0]] - logits[..., answers[1]]
