"""Where a model is on this machine: the embedded default, a local path, or what the hub has of that name.

Invariant: what `locate` returns exists. A local path stands before a hub reference of the same spelling, and only the
default's own name means the default, which is made again, once, where it turns out to be damaged.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path

from trsr_lite.errors import ModelError
from trsr_lite.io.files import granted
from trsr_lite.models import bundle, hub, reference
from trsr_lite.models.bundle import WAYS
from trsr_lite.results import OnProgress, Progress

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "smollm2"


def locate(
    model: str | Path,
    digest: Callable[[Path], str],
    *,
    data_dir: str | Path | None = None,
    offline: bool = False,
    progress: OnProgress | None = None,
) -> Path:
    """The bundle folder or GGUF file of `model`; prepared in `data_dir`, or fetched unless `offline`, where it must be.

    `digest` computes (or remembers) a file's content hash. Raises `ModelError` where there is no such model.
    """
    if str(model) == DEFAULT_MODEL:
        return _prepared(digest, data_dir, offline=offline, progress=progress)
    with granted(model):
        if Path(model).exists():
            return _named(Path(model))
    meant = reference.parse(model) if isinstance(model, str) else None
    if meant is None:
        raise ModelError(
            f"{model}: there is no such model",
            hint=f"{WAYS}; `smollm2` is the embedded default",
        )
    return hub.pull(meant, offline=offline, digest=digest, progress=progress)


def _named(path: Path) -> Path:
    """The path, where llama.cpp and reports can name it."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise ModelError(f"{path}: its name is not UTF-8 text", hint="give it, or its folder, another name") from None
    return path


def _prepared(
    digest: Callable[[Path], str], data_dir: str | Path | None, *, offline: bool, progress: OnProgress | None
) -> Path:
    import platformdirs

    from trsr_lite.models import default

    prepare = functools.partial(
        default.prepare,
        Path(data_dir or platformdirs.user_data_dir("trsr-lite", False)),
        offline=offline,
        on_step=(lambda step: progress(Progress(f"prepare: {step}", 0.0))) if progress else None,
    )
    place = prepare()
    try:
        bundle.load(place, digest)
    except ModelError as error:
        if isinstance(error.__cause__, OSError):  # what cannot be read may be whole
            raise
        logger.warning("%s; it is made again", error)
        return prepare(again=True)
    return place
