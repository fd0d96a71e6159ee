"""How a run becomes a bundle, and what its ranking must keep on the way.

Invariant: each default is written here; a threshold that is loosened is written into the bundle's report.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from trsr_lite.engine.interface import FILE_TYPES
from trsr_lite.options import check, option

FLOATS = ("F16", "BF16", "F32")
STRICT = ("F16", "F32")  # judged as the same numbers; BF16 rounds so much that it is judged as quantized
ROOM = 9  # bytes a weight takes for a while: in float32, in 16 bits, and as it will be
AUTO = "auto"
AUTO_TYPES = ("BF16", "F16", "Q8_0", "Q6_K", "IQ4_NL", "Q4_0")
_MODELS, _LIMITS = "Models", "Verification"


@dataclass(frozen=True)
class ConvertOptions:
    """What is converted to what, and the thresholds of verification."""

    recommender_type: str = option(
        "Tensor type of the recommender. `auto` takes the fastest here that passes verification.",
        default="Q8_0",
        choices=(*FILE_TYPES, AUTO),
        metavar="TYPE",
        heading=_MODELS,
    )
    summarizer: str | None = option(
        "Model that writes the summaries: a run of `--role summarizer`, a bundle, a .gguf file, a folder or user/repo.",
        default=None,
        unset="the run's own",
        metavar="MODEL",
    )
    summarizer_type: str = option(
        "Tensor type of the summarizer. One that is quantized, or that wrote the training summaries, stays as it is.",
        default="Q4_0",
        choices=tuple(FILE_TYPES),
        metavar="TYPE",
    )
    adapter_only: bool = option(
        "Keep base and adapter apart, so that one base in memory serves both roles.", default=False
    )
    lists: int = option("Most held-out lists to rank.", default=100, at_least=1, heading=_LIMITS)
    max_margin: float = option(
        "Largest allowed difference of a margin between the run and the float GGUF.", default=0.05
    )
    min_tau_float: float = option("Least mean Kendall tau between the run and the float GGUF.", default=0.995)
    min_tau: float = option("Least mean Kendall tau between the run and the quantized GGUF.", default=0.98)
    max_recall_loss: float = option(
        "Largest allowed loss of Recall@3 by quantizing; less than one list counts as one list.",
        default=0.01,
    )

    def __post_init__(self) -> None:
        check(self)

    def thresholds(self, lists: int) -> dict[str, float]:
        """What is allowed where so many lists are ranked; one list may always be lost."""
        found = {name: value for name, value in asdict(self).items() if name.startswith(("min_", "max_"))}
        return {**found, "max_recall_loss": max(self.max_recall_loss, 1 / lists)}
