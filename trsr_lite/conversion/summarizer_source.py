"""The bundle's model that writes summaries, from wherever it comes: one GGUF, or an adapter for a base that is there.

Invariant: what is quantized already stays as it is. The file that wrote the training summaries is kept byte for byte
where it is at hand: the recommender was trained on its summaries.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from trsr_lite.conversion import gguf, merge
from trsr_lite.conversion.convert_options import FLOATS, ROOM, ConvertOptions
from trsr_lite.conversion.llama_cpp_scripts import Converter
from trsr_lite.conversion.staging import remove
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle, default, reference, resolve
from trsr_lite.models.bundle import ModelFile
from trsr_lite.settings import Settings
from trsr_lite.training import base_model, lora, run_dir
from trsr_lite.training.tokenizer import HfTokenizer
from trsr_lite.training.train_options import TrainOptions


@dataclass(frozen=True)
class Source:
    """Where a summarizer comes from: found before anything is made.

    Attributes
    ----------
    identity: everything that what is written depends on, as JSON holds it.
    write: makes the GGUF at a path, and returns its tensor type; None if it is the recommender's base.
    adapter: makes the summarizer's own adapter at a path; None if it has none.
    room: bytes that making it takes for a while.
    """

    identity: list[str]
    write: Callable[[Path], str] | None = None
    adapter: Callable[[Path], None] | None = None
    room: Callable[[], int] = lambda: 0


def of_run(
    record: Mapping[str, Any],
    trained: TrainOptions,
    options: ConvertOptions,
    converter: Converter,
    shared: Path,
    *,
    data_dir: Path | None,
    offline: bool,
) -> Source:
    """The source for a recommender that was trained: on the base in `shared` where it can be, else by itself."""
    given, name = options.summarizer, options.summarizer or trained.summarizer
    if given is None and name == default.NAME:
        _check_default(record)
    if options.adapter_only:
        if own := adapter_on(name, record["base"]):
            return Source(
                [file_digest(path) for path in sorted(own.iterdir())],
                adapter=lambda place: gguf.convert_adapter(converter, own, shared, place),
            )
        unasked = Settings.stored(record["config"]["settings"]).strategy == "none"
        if given is None and (unasked or name == trained.base):  # if nothing summarizes, the base stands in
            own_adapter = default.copy_summarizer_adapter if name == trained.base == default.NAME else None
            return Source([name], adapter=own_adapter)
    wrote = None if given else record.get("summarizer")  # nothing did where the strategy is none
    return find(name, options.summarizer_type, converter, wrote=wrote, data_dir=data_dir, offline=offline)


def find(
    name: str,
    file_type: str,
    converter: Converter,
    *,
    wrote: str | None = None,
    data_dir: Path | None = None,
    offline: bool = False,
) -> Source:
    """The source of a run of `--role summarizer`, or of whatever a recommender is loaded from, or a base.

    `wrote` is the identity of the model that wrote the training summaries, if this must be that one: it is then copied
    as it is. Raises `ModelError` where there is no such model, or it is another by now.
    """
    if run_dir.is_run(name):
        record, options = run_dir.finished(Path(name))
        files = [file_digest(path) for path in sorted(_trained(name, options).iterdir())]

        def merged(whole: Path) -> None:
            merge.merge_run(Path(name), whole, offline=offline)

        return Source(
            [*files, str(record["base"]), file_type],
            lambda place: _converted(merged, place, file_type, converter),
            room=lambda: (
                ROOM * base_model.parameters(base_model.of_run(record, options, offline=offline), offline=offline)
            ),
        )
    if name == default.NAME:
        return _embedded(file_type, prepared(name, data_dir, wrote), offline=offline)
    if file := _served(name, offline=offline):
        if wrote not in (None, file.identity):
            raise ModelError(
                f"{name}: is not what wrote the training summaries any more: its content hash is {file.identity}, and "
                f"was {wrote}",
                hint="bring it back, or name another with `--summarizer`: its summaries are not those of the training",
            )
        return _copied(file, None if wrote else file_type)
    located = base_model.locate(name, offline=offline)
    weights = sorted(Path(located.path).glob("*.safetensors"))

    def saved(whole: Path) -> None:
        merge.save(base_model.load(located, torch.float32, offline=offline), located, whole, offline=offline)

    return Source(
        [file_digest(*weights) if weights else located.path, file_type],
        lambda place: _converted(saved, place, file_type, converter),
        room=lambda: ROOM * base_model.parameters(located, offline=offline),
    )


def _copied(file: ModelFile, file_type: str | None) -> Source:
    gguf.tensor_types(file.path)  # what is no GGUF is said before anything is made
    return Source(
        [file.identity, str(file_type)],
        lambda place: copy(file.path, place, file_type),
        _copying(file.adapter.path) if file.adapter else None,
        room=lambda: file.size,
    )


def _copying(source: Path) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        shutil.copyfile(source, place)

    return write


def _embedded(file_type: str, kept: ModelFile | None, *, offline: bool) -> Source:
    """The default; its source is quantized already, and all that it is prepared as has the same weights."""
    path = kept.path if kept else default.locate(offline=offline)
    return Source(
        [file_digest(path), file_digest(*sorted(default.ADAPTERS.iterdir()))],
        lambda place: copy(path, place, None if kept else file_type),
        default.copy_summarizer_adapter,
        room=lambda: path.stat().st_size,
    )


def _check_default(record: Mapping[str, Any]) -> None:
    """Raise `ModelError` where the default is another by now: its adapter, for its file differs between machines."""
    shipped = orjson.loads((default.ADAPTERS / bundle.MANIFEST).read_bytes())["summarizer"]["adapter"]["digest"]
    if record.get("summarizer_adapter", shipped) != shipped:
        raise ModelError(
            f"{default.NAME}: is not what wrote the training summaries any more: its adapter is {shipped}, and was "
            f"{record['summarizer_adapter']}",
            hint="convert with the trsr-lite of the training, or name another with `--summarizer`",
        )


def _served(name: str, *, offline: bool) -> ModelFile | None:
    """What a recommender of this name would summarize with; None where the name is a base's: a folder or a hub id."""
    path = Path(name)
    if path.is_dir() and not (path / bundle.MANIFEST).is_file() and (path / "config.json").is_file():
        return None
    try:
        found = resolve.locate(name, file_digest, offline=offline)
    except ModelError as error:
        if reference.parse(name) is None:
            raise
        try:  # of a base there is a tokenizer
            HfTokenizer.load(base_model.locate(name, offline=offline), offline=offline)
        except ModelError:
            raise error from None
        return None
    return bundle.load(found, file_digest).summarizer


def prepared(name: str, data_dir: Path | None, identity: str | None) -> ModelFile | None:
    """The embedded default as prepared on this machine, if it has this identity: that of the training summaries.

    Its texts, and so their place in the cache, are then those of the training; else its source will do.
    """
    if name != default.NAME or data_dir is None or identity is None:
        return None
    place = default.folder(data_dir)
    if not (place / bundle.MANIFEST).is_file():
        return None
    file = bundle.load(place, file_digest).summarizer
    return file if file.identity == identity else None


def adapter_on(name: str, known: Mapping[str, str]) -> Path | None:
    """The adapter (a folder of peft) of a run that was trained on the very base `known`, else None."""
    if not run_dir.is_run(name):
        return None
    record, options = run_dir.finished(Path(name))
    own = record["base"]
    if options.full or (
        base_model.difference(known, own) and base_model.difference(own, known)
    ):  # an older one knows less
        return None
    return _trained(name, options)


def _trained(name: str, options: TrainOptions) -> Path:
    """What a run of a summarizer has trained, if it can be converted."""
    if options.role != "summarizer":
        raise SettingsError(
            f"{name}: was trained to rank, not to summarize",
            hint="give a run of `--role summarizer`, a bundle, a .gguf file or a base",
        )
    trained = Path(name) / lora.place(options)
    if not options.full:
        merge.check_adapter(trained)
    return trained


def copy(source: Path, place: Path, file_type: str | None) -> str:
    """Write a GGUF to `place`: quantized if it is not, or as it is for `None`. Returns the type of most tensors."""
    types = gguf.tensor_types(source)
    low = [name for name in types if name not in FLOATS]
    most = low[0] if low else next(iter(types))  # norms and biases are F32 in every file
    if low or file_type in (None, most):
        shutil.copyfile(source, place)
        return most
    gguf.quantize(source, place, str(file_type))
    return str(file_type)


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
