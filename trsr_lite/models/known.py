"""Models that a person can choose by a short name.

Invariant: a name here is no local path and no hub reference by its form, so it takes nobody's place. What stands here
was read from the models' own pages or measured; a figure that nobody measured is absent.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from trsr_lite.options import nearest


@dataclass(frozen=True)
class KnownModel:
    """One model.

    Attributes
    ----------
    reference: where it is on the hub; None for the default, which comes with the package.
    base: the model on the hub that `train --base` takes.
    trained: whether it was trained to rank.
    size, ram: MiB of its files, and of memory with 4,096 tokens of context, about.
    time: the work of a token, as a multiple of the default's.
    recall: Recall@3 by kind of list, where it was measured.
    recipe: the name of its settings in `convert/recipes`.
    """

    name: str
    about: str
    base: str
    licence: str
    languages: str
    trained: bool
    size: int
    ram: int
    time: float
    reference: str | None = None
    recall: Mapping[str, float] = field(default_factory=dict)
    recipe: str | None = None

    @property
    def command(self) -> str:
        """What to type to use it."""
        return f"trsr-lite recommend -m {self.name} --user me.json" if self.trained else f"trsr-lite pull {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "recall": dict(self.recall), "command": self.command}


@cache
def models() -> Mapping[str, KnownModel]:
    """All of them by name, the default first."""
    text = (resources.files("trsr_lite.models") / "known.toml").read_text("utf-8")
    return {name: KnownModel(name=name, **fields) for name, fields in tomllib.loads(text).items()}


def reference(name: str) -> str | None:
    """Where a known model is on the hub; None for any other name, and for the default."""
    found = models().get(name.lower())
    return found.reference if found else None


def like(name: str) -> str | None:
    """The known name that is most like one that is not."""
    return nearest(name.lower(), models())
