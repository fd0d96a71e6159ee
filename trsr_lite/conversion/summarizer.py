"""The bundle's model that writes summaries, from wherever it comes: one GGUF, or an adapter for a base that is there.

Invariant: what is quantized already stays as it is; what wrote the training summaries is kept byte for byte where it
is at hand, so that a bundle's summaries are those the recommender was trained on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from trsr_lite import bundle, embedded
from trsr_lite.bundle import ModelFile
from trsr_lite.conversion import gguf, merge
from trsr_lite.conversion.converter import Converter
from trsr_lite.conversion.options import FLOATS
from trsr_lite.conversion.staging import remove
from trsr_lite.digests import file_digest
from trsr_lite.training import adapter, base, folder


def prepared(name: str, data_dir: Path | None, identity: str | None) -> ModelFile | None:
    """The embedded default as prepared on this machine, if it has this identity: that of the training summaries.

    Its texts, and so their place in the cache, are then those of the training; else its source will do.
    """
    if name != embedded.NAME or data_dir is None or identity is None:
        return None
    place = embedded.folder(data_dir)
    if not (place / bundle.MANIFEST).is_file():
        return None
    file = bundle.load(place, file_digest).summarizer
    return file if file.identity == identity else None


def is_run(name: str) -> bool:
    """Whether this is a folder of `trsr-lite train`."""
    return (Path(name) / folder.RUN).is_file()


def adapter_on(name: str, known: Mapping[str, str]) -> Path | None:
    """The adapter (a folder of peft) of a run that was trained on the very base `known`; None if it is no such run."""
    if not is_run(name):
        return None
    record, options = merge.finished(Path(name))
    if options.full or any(record["base"].get(key) != value for key, value in known.items() if key != "name"):
        return None
    trained = Path(name) / adapter.place(options)
    merge.check_adapter(trained)
    return trained


def write(name: str, place: Path, file_type: str, converter: Converter, *, offline: bool) -> str:
    """Write a run of `--role summarizer`, a GGUF, a folder or a hub model to `place`; returns its tensor type."""
    if is_run(name):
        return _converted(
            lambda whole: merge.merge_run(Path(name), whole, offline=offline), place, file_type, converter
        )
    located = base.locate(name, offline=offline)
    if located.gguf:
        return copy(Path(located.path) / located.gguf, place, file_type)

    def save(whole: Path) -> None:
        merge.save(base.load(located, torch.float32, offline=offline), located, whole, offline=offline)

    return _converted(save, place, file_type, converter)


def copy(source: Path, place: Path, file_type: str) -> str:
    """Write a GGUF to `place`, quantized if it is not; returns its tensor type."""
    types = gguf.tensor_types(source)
    low = [name for name in types if name not in FLOATS]
    if low or file_type in types:
        shutil.copyfile(source, place)
        return low[0] if low else file_type
    gguf.quantize(source, place, file_type)
    return file_type


def _converted(save: Callable[[Path], None], place: Path, file_type: str, converter: Converter) -> str:
    """What `save` writes as a Hugging Face folder, as a GGUF."""
    whole, floating = (place.with_name(f"{place.name}-{part}") for part in ("whole", "float"))
    for path in (whole, floating):
        remove(path)
    save(whole)
    gguf.convert(converter, whole, floating, "F16")
    shutil.rmtree(whole)
    if file_type == "F16":
        floating.rename(place)
    else:
        gguf.quantize(floating, place, file_type)
        floating.unlink()
    return file_type
