"""What a model was trained on, as a run and a bundle tell it: which files, and how their users were split.

Invariant: digests and options alone, no path and nothing of the data themselves, so that it can be shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SPLIT = ("dataset", "locale", "min_items", "max_items", "max_users", "validation", "test", "seed")


def of(options: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """Files by name with their digests, and what decides which users are held out.

    `options` are those of `DataOptions`. Users without an impression are no users of impressions.
    """
    split = {name: options.get(name) for name in SPLIT}
    return {"files": dict(files), "split": {**split, "impressions": options.get("negatives") == "impressions"}}
