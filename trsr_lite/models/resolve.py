"""Where a model is on this machine: the embedded default, a local path, or what the hub has of that name.

Invariant: what is found exists, and a bundle is loaded once. A local path wins over a hub reference or a known
name of the same spelling. Only the default's own name means the default. A damaged default is made again, once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from trsr_lite.errors import ModelError
from trsr_lite.io import folders
from trsr_lite.io.files import granted
from trsr_lite.models import bundle, hub, known, reference
from trsr_lite.models.bundle import WAYS, Bundle
from trsr_lite.models.hub import Found
from trsr_lite.results import OnProgress, Progress

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "smollm2"


Digest = Callable[[Path], str]
"""Computes, or remembers, a file's content hash."""


def load(
    model: str | Path,
    digest: Digest,
    *,
    data_dir: str | Path | None = None,
    offline: bool = False,
    progress: OnProgress | None = None,
) -> Bundle:
    """The bundle of `model`: prepared in `data_dir`, or fetched unless `offline`, where it must be.

    Raises `ModelError` where there is no such model, or where it is broken.
    """
    path, found = _find(model, digest, data_dir, offline=offline, progress=progress)
    return found or bundle.load(path, digest)


def locate(
    model: str | Path,
    digest: Digest,
    *,
    data_dir: str | Path | None = None,
    offline: bool = False,
    progress: OnProgress | None = None,
) -> Path:
    """The bundle folder or GGUF file of `model`, found as `load` does; raises `ModelError` where there is none."""
    return _find(model, digest, data_dir, offline=offline, progress=progress)[0]


def _find(
    model: str | Path, digest: Digest, data_dir: str | Path | None, *, offline: bool, progress: OnProgress | None
) -> Found:
    if str(model) == DEFAULT_MODEL:
        return _prepared(digest, data_dir, offline=offline, progress=progress)
    with granted(model):
        if Path(model).exists():
            return _named(Path(model)), None
    meant = reference.parse(known.reference(model) or model) if isinstance(model, str) else None
    if meant is None:
        near = known.like(str(model))
        hint = f"did you mean `{near}`?" if near else f"{WAYS}; `trsr-lite models` lists some, `smollm2` is the default"
        raise ModelError(f"{model}: there is no such model", hint=hint)
    return hub.find(meant, offline=offline, digest=digest, progress=progress)


def _named(path: Path) -> Path:
    """The path, where llama.cpp and reports can name it."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise ModelError(f"{path}: its name is not UTF-8 text", hint="give it, or its folder, another name") from None
    return path


def _prepared(digest: Digest, data_dir: str | Path | None, *, offline: bool, progress: OnProgress | None) -> Found:
    from trsr_lite.models import default

    prepare = functools.partial(
        default.prepare,
        folders.data(data_dir),
        offline=offline,
        on_step=(lambda step: progress(Progress(f"prepare: {step}", 0.0))) if progress else None,
    )
    folder = prepare()
    try:
        return folder, bundle.load(folder, digest)
    except ModelError as error:
        if isinstance(error.__cause__, OSError):  # what cannot be read may be whole
            raise
        logger.warning("%s; it is made again", error)
        return prepare(again=True), None
