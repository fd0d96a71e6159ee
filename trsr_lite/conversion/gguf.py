"""GGUF files: made by llama.cpp's converter, quantized in process, and looked into.

Invariant: quantizing starts from floating-point tensors only.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trsr_lite.conversion import rank_padding
from trsr_lite.conversion.convert_options import FLOATS
from trsr_lite.conversion.llama_cpp_scripts import LORA_SCRIPT, MODEL_SCRIPT, Converter
from trsr_lite.engine import model
from trsr_lite.engine.interface import FILE_TYPES
from trsr_lite.engine.threads import default_threads
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.digests import file_digest, sha256
from trsr_lite.io.files import beside, granted
from trsr_lite.models.bundle import ModelFile
from trsr_lite.training import base_files


def check_folder(model: Path) -> None:
    """Raise `ModelError` unless `model` is a Hugging Face model folder."""
    with granted(model):
        if not (model / "config.json").is_file():
            raise ModelError(f"{model}: not a model folder: it has no config.json", hint="`convert merge` writes one")
    base_files.check(model)


def convert(converter: Converter, model: Path, target: Path, file_type: str) -> None:
    """Write a Hugging Face model folder as one GGUF of a floating-point type.

    The script sees a copy without code, which has the folder's name, because that becomes the model's.
    """
    with tempfile.TemporaryDirectory() as folder, _whole(target) as place:
        alone = Path(folder) / model.absolute().name
        base_files.copy(model, alone)
        converter.run(MODEL_SCRIPT, [alone, "--outfile", place, "--outtype", file_type.lower()])


def convert_adapter(converter: Converter, adapter: Path, base: Path, target: Path) -> None:
    """Write a LoRA adapter as GGUF, its rank padded; `base` is a folder with the base's configuration and tokenizer.

    The script sees the weights alone: from peft's card it would carry the base's place on this machine into the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "adapter"  # its name becomes the model's
        alone.mkdir()
        rank_padding.write(adapter, alone)
        plain = Path(folder) / "base"
        base_files.copy(base, plain)
        converter.run(LORA_SCRIPT, ["--base", plain, "--outfile", target, "--outtype", "f16", alone])


def quantize(source: Path, target: Path, file_type: str) -> None:
    """Write a floating-point GGUF with another tensor type."""
    if file_type not in FILE_TYPES:
        raise SettingsError(f"there is no tensor type {file_type!r}", hint=f"choose {', '.join(FILE_TYPES)}")
    types = tensor_types(source)
    low = [name for name in types if name not in FLOATS]
    if low:
        raise SettingsError(
            f"{source}: its tensors are {', '.join(low)} already; quantizing twice loses quality twice",
            hint=f"start from {', '.join(FLOATS)}, or keep the file as it is",
        )
    with _whole(target) as place:
        model.quantize(source, place, file_type, default_threads())


def tensor_types(path: Path) -> dict[str, int]:
    """Tensor type -> number of tensors, most frequent first. K-quants fall back where rows are not multiples of 256."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise SettingsError(f"conversion needs {error.name}", hint="pip install 'trsr-lite[train]'") from error
    model.check_gguf(path)
    try:
        reader = GGUFReader(path)
    except (ValueError, OSError, IndexError) as error:
        raise ModelError(f"{path}: not a GGUF that can be read: {error}") from error
    counts = Counter(tensor.tensor_type.name for tensor in reader.tensors)
    return dict(counts.most_common())


def entry(path: Path, file_type: str | None, adapter: ModelFile | None = None) -> ModelFile:
    """A file of a bundle with both of its hashes."""
    return ModelFile(path, file_digest(path), path.stat().st_size, file_type, adapter, sha256(path))


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A place beside `target`, in a folder made for it, which becomes the target if all goes well."""
    place = beside(target)
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield place
        place.replace(target)
    finally:
        place.unlink(missing_ok=True)
