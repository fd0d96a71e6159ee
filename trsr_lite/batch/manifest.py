"""What was asked of a batch, kept beside its results as `batch.json`.

Invariant: a run goes on in a folder only where everything that its results depend on is unchanged. Otherwise the first
difference is named. The folder is given this file after its plan: a plan is whole where this stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from trsr_lite.batch import users
from trsr_lite.batch.batch_options import BatchOptions
from trsr_lite.batch.plan import PLAN, REJECTS, Counts, is_plan
from trsr_lite.errors import SettingsError
from trsr_lite.io.remote import RemotePath
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.recommender.recommender import Recommender
from trsr_lite.records import Item

SCHEMA = 2
MANIFEST = "batch.json"


def asked(
    options: BatchOptions,
    recommender: Recommender,
    candidates: Sequence[Item] | None,
    catalog: str | None,
    suffix: str,
) -> dict[str, Any]:
    """Everything that results depend on, as plain JSON values; `catalog` is its digest."""
    ranking: dict[str, Any] = {}
    if not options.summaries_only:
        ranking = {"k": options.k, "exact": options.exact, "candidates": _digest(candidates) if candidates else None}
        ranking |= {"catalog": catalog, "retrieve": asdict(options.retrieve) if catalog else None}
    return {
        "schema": SCHEMA,
        "users": {"name": RemotePath(options.users).name, "digest": users.digest(options.users)},
        "ranking": ranking,
        "model": model(recommender),
        "settings": recommender.settings.to_dict(),
        "output": {"format": suffix, "partition_users": options.partition_users},
        "sort_history": options.sort_history,
    }


def model(recommender: Recommender) -> dict[str, Any]:
    """What a recommender computes with; a worker's must be the driver's."""
    bundle = recommender.bundle
    return {
        "name": bundle.name,
        "summarizer": bundle.summarizer.identity,
        "recommender": bundle.recommender.identity,
        "prompt_version": PROMPT_VERSION,
        "calibration": asdict(bundle.calibration),
        "noise_floor": bundle.noise_floor,
        **({"signals": bundle.signals.identity} if bundle.signals else {}),
    }


def check(folder: RemotePath, head: Mapping[str, Any], *, resume: bool) -> Counts | None:
    """What a folder's plan counted, where its run may go on; None where it is new; else raises `SettingsError`."""
    known = read(folder)
    if known is None:
        names = [name for name in folder.listing() if not name.startswith(".")]
        foreign = names if not is_plan(folder) else [name for name in names if name not in (PLAN, REJECTS)]
        if foreign:  # beside a plan that was killed before this manifest, nothing else can be there
            raise SettingsError(f"{folder}: is not a batch: it holds {foreign[0]!r}", hint="name another folder")
        return None
    if not resume:
        raise SettingsError(f"{folder}: holds a batch already", hint="`--resume` continues it; or name another folder")
    counts = Counts(**known.pop("counts"))
    for name, before, now in _differences(known, orjson.loads(orjson.dumps(head)), ""):
        raise SettingsError(
            f"{folder}: cannot go on: {name} was {before!r} and is now {now!r}",
            hint="give what was given then, or name another folder",
        )
    return counts


def write(folder: RemotePath, head: Mapping[str, Any], counts: Counts) -> None:
    """Keep what was asked, and what the plan counted."""
    content = orjson.dumps({**head, "counts": vars(counts)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (folder / MANIFEST).write(content)


def read(folder: RemotePath) -> dict[str, Any] | None:
    """What `write` kept."""
    place = folder / MANIFEST
    if not place.exists():
        return None
    try:
        data = orjson.loads(place.read())
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"{place}: cannot be read: {error}", hint="name another folder") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise SettingsError(f"{place}: was written by another version of trsr-lite", hint="name another folder")
    return data


def _differences(before: Any, now: Any, name: str) -> Sequence[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in dict.fromkeys([*before, *now])
            for found in _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == now else [(name, before, now)]


def _digest(items: Sequence[Item]) -> str:
    content = orjson.dumps([[item.id, list(item.attributes.items())] for item in items])
    return f"b2:{hashlib.blake2b(content, digest_size=20).hexdigest()}"
