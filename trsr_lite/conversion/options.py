"""How a run becomes a bundle, and what its ranking must keep on the way.

Invariant: each default is written here; a threshold that is loosened is written into the bundle's report.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trsr_lite.engine.interface import FILE_TYPES
from trsr_lite.options import check

FLOATS = ("F16", "BF16", "F32")
STRICT = ("F16", "F32")  # judged as the same numbers; BF16 rounds so much that it is judged as quantized
ROOM = 9  # bytes a weight takes for a while: in float32, in 16 bits, and as it will be
AUTO = "auto"
AUTO_TYPES = ("BF16", "F16", "Q8_0", "Q6_K", "IQ4_NL", "Q4_0")
CHOICES = {"recommender_type": (*FILE_TYPES, AUTO), "summarizer_type": tuple(FILE_TYPES)}


@dataclass(frozen=True)
class ConvertOptions:
    """What is converted to what, and the thresholds of verification.

    Attributes
    ----------
    recommender_type: tensor type of the recommender, or `auto`: the fastest here that passes verification.
    summarizer: model that writes the summaries: the run's own without it, a run of `--role summarizer`, a bundle, a
        .gguf file, a folder or a hub id.
    summarizer_type: tensor type of the summarizer; one that is quantized already, or that wrote the training summaries,
        stays as it is.
    adapter_only: keep the base and the adapter apart: one base in memory serves both roles.
    lists: held-out lists that verification ranks, at most.
    max_margin: largest difference of a margin between the adapter in torch and the float GGUF.
    min_tau_float: least mean Kendall tau between the adapter in torch and the float GGUF.
    min_tau: least mean Kendall tau between the adapter in torch and the quantized GGUF.
    max_recall_loss: largest loss of Recall@3 by quantizing; less than one list counts as one list.
    """

    recommender_type: str = "Q8_0"
    summarizer: str | None = None
    summarizer_type: str = "Q4_0"
    adapter_only: bool = False
    lists: int = 100
    max_margin: float = 0.05
    min_tau_float: float = 0.995
    min_tau: float = 0.98
    max_recall_loss: float = 0.01

    def __post_init__(self) -> None:
        check(self, least={"lists": 1}, choices=CHOICES)

    def thresholds(self, lists: int) -> dict[str, float]:
        """What is allowed where so many lists are ranked; one list may always be lost."""
        found = {name: value for name, value in asdict(self).items() if name.startswith(("min_", "max_"))}
        return {**found, "max_recall_loss": max(self.max_recall_loss, 1 / lists)}
