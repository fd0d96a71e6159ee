"""`convert` and its steps, with keywords named as the flags of `trsr-lite convert`.

Invariant: an output that exists is replaced only on request, and only where it is what this step writes. Nothing heavy
is imported before it is needed; what is missing is one error that names the extra.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trsr_lite.conversion.convert_options import ConvertOptions
from trsr_lite.errors import SettingsError
from trsr_lite.io import files, folders
from trsr_lite.options import make

if TYPE_CHECKING:
    from trsr_lite.conversion.llama_cpp_scripts import Converter
    from trsr_lite.models.bundle import Bundle


def convert(
    run: str | Path,
    output: str | Path,
    *,
    force: bool = False,
    llama_cpp: str | Path | None = None,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    on_plan: Callable[[Sequence[str]], None] | None = None,
    on_step: Callable[[str], None] | None = None,
    **options: Any,
) -> Bundle:
    """Turn the training run `run` into the bundle `output`, as `trsr-lite convert` does; needs the extra `train`.

        bundle = trsr_lite.convert("runs/news", "news_bundle", recommender_type="auto")
        print(bundle.recommender.path, bundle.verified["lists"])

    It merges the adapter, writes GGUF, quantizes, and ranks the run's held-out lists with every file. A conversion
    that was stopped continues after its last finished step.

    Keywords
    --------
    run: folder of a finished run.
    output: folder of the bundle; it appears whole.
    force: replace an existing bundle.
    llama_cpp: a llama.cpp checkout whose converter is used; that of the installed version without it.
    offline: open no network connection.
    cache_dir: where llama.cpp's converter is kept; the system's cache folder without it.
    data_dir: where the prepared default model is kept; the system's data folder without it.
    on_plan: called once with the steps, in words.
    on_step: called with each step as it begins.
    **options: fields of `ConvertOptions`.

    Raises `VerificationError` where the ranking did not survive (its `report` holds every comparison), `SettingsError`
    for an unknown option (the hint names the nearest) and where the extra is missing, `ModelError` for a run or model
    that cannot be used.
    """
    wanted = make(ConvertOptions, options)
    conversion = module_of("convert").Conversion(
        Path(run),
        Path(output),
        lambda: find_converter(llama_cpp, cache_dir, offline=offline),
        wanted,
        force=force,
        offline=offline,
        data_dir=folders.data(data_dir),
        on_step=on_step,
    )
    if on_plan:
        on_plan(conversion.steps())
    bundle: Bundle = conversion.convert()
    return bundle


def verify(model: str | Path, run: str | Path, *, offline: bool = False, **options: Any) -> dict[str, Any]:
    """Compare the ranking of a bundle or `.gguf` file with that of its run; needs the extra `train`.

        report = trsr_lite.verify("news_bundle", "runs/news", lists=50)

    `options` are fields of `ConvertOptions`: `lists` and the thresholds. The report is that of
    `trsr-lite convert verify --json`. Raises `VerificationError` where the ranking did not survive.
    """
    wanted = make(ConvertOptions, options)
    report: dict[str, Any] = module_of("verify").prove(Path(model), Path(run), wanted, offline=offline)
    return report


def merge(run: str | Path, output: str | Path, *, force: bool = False, offline: bool = False) -> Path:
    """Merge the adapter of a run into its base, in float32, as a Hugging Face folder; returns the folder."""
    target, step = _free(Path(output), force, model_folder=True), module_of("merge")
    with files.checked(target):
        step.merge_run(Path(run), target, offline=offline)
    return target


def write_gguf(
    model: str | Path,
    output: str | Path,
    *,
    file_type: str = "F16",
    force: bool = False,
    llama_cpp: str | Path | None = None,
    cache_dir: str | Path | None = None,
    offline: bool = False,
) -> Path:
    """Write a Hugging Face folder as GGUF of a floating-point type, with llama.cpp's own converter."""
    target, step = _free(Path(output), force), module_of("gguf")
    step.check_folder(Path(model))
    converter = find_converter(llama_cpp, cache_dir, offline=offline)
    with files.checked(target):
        step.convert(converter, Path(model), target, file_type)
    return target


def quantize(model: str | Path, output: str | Path, file_type: str, *, force: bool = False) -> dict[str, int]:
    """Write a floating-point GGUF with another tensor type; returns how many tensors have which type."""
    target, step = _free(Path(output), force), module_of("gguf")
    with files.checked(target):
        step.quantize(Path(model), target, file_type)
    types: dict[str, int] = step.tensor_types(target)
    return types


def module_of(name: str) -> Any:
    """A module of this package, or how to get what it needs."""
    try:
        return importlib.import_module(f"trsr_lite.conversion.{name}")
    except ImportError as error:
        raise SettingsError(f"conversion needs {error.name}", hint="pip install 'trsr-lite[train]'") from error


def find_converter(folder: str | Path | None, cache_dir: str | Path | None, *, offline: bool) -> Converter:
    """llama.cpp's converter in `folder`, else the one that belongs to the installed library."""
    cache = folders.cache(cache_dir)
    found: Converter = module_of("llama_cpp_scripts").find(Path(folder) if folder else None, cache, offline=offline)
    return found


def _is_model(folder: Path) -> bool:
    """Whether a folder is what `merge` writes; `config.json` alone may be anybody's."""
    return all((folder / name).is_file() for name in ("config.json", "tokenizer_config.json")) and any(
        folder.glob("*.safetensors")
    )


def _free(target: Path, force: bool, *, model_folder: bool = False) -> Path:
    """An output that may be written; `force` replaces what this step writes, and nothing else."""
    with files.granted(target, "looked at", hint="name another"):
        if not target.exists():
            return target
        if not force:
            raise SettingsError(f"{target}: already exists", hint="replace it with `--force`, or name another")
        if not (_is_model(target) if model_folder else target.is_file()):
            what = "a model folder" if model_folder else "a file"
            raise SettingsError(f"{target}: is not {what}, so `--force` does not replace it", hint="name another")
        return target
