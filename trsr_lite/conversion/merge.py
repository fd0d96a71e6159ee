"""An adapter merged into its base, in float32.

Invariant: the base is the one the adapter was trained on, unquantized. The result is a plain Hugging Face model with
its tokenizer, which llama.cpp's converter reads.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from trsr_lite.errors import ModelError
from trsr_lite.io import files
from trsr_lite.io.shape import Maybe, Whole, mismatch
from trsr_lite.training import base_files, base_model, lora, run_dir
from trsr_lite.training.base_model import TOKENIZER_FILES, Base
from trsr_lite.training.tokenizer import HfTokenizer
from trsr_lite.training.train_options import LAYERS, OTHER_LAYERS, TrainOptions

ALLOWED = frozenset((*LAYERS, *OTHER_LAYERS))
ADAPTER = {"r": Whole(1, 1 << 16), "lora_alpha": float, "peft_type": Maybe(str)}


def merge_run(run: Path, target: Path, *, offline: bool) -> None:
    """Write the merged model of a run to `target`, which appears whole."""
    record, options = run_dir.finished(run)
    located = base_model.of_run(record, options, offline=offline)
    place = files.beside(target)
    shutil.rmtree(place, ignore_errors=True)
    try:
        merge(run, located, options, place, known=record["base"], offline=offline)
        if target.is_dir():
            shutil.rmtree(target)
        place.rename(target)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def merge(
    run: Path, located: Base, options: TrainOptions, target: Path, *, known: dict[str, str], offline: bool
) -> None:
    """Write the merged model of a run to `target`; `known` is the base's identity as the run recorded it."""
    trained = run / lora.place(options)
    if options.full:
        model = base_model.load(Base(str(trained), str(trained)), torch.float32, offline=True)
    else:
        check_adapter(trained)
        model = base_model.load(located, torch.float32, offline=offline)
        base_model.check_same(located, model, known)
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(trained)).merge_and_unload(safe_merge=True)
    save(model, located, target, revision=known.get("revision"), offline=offline)


def save(model: Any, located: Base, target: Path, *, revision: str | None = None, offline: bool) -> None:
    """Write a model in float32, with the tokenizer of its base as it is: llama.cpp knows it by what it does."""
    model.config.tie_word_embeddings = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    model.save_pretrained(target)
    if located.gguf:
        HfTokenizer.load(located, offline=offline).tokenizer.save_pretrained(target)
        return
    source = _tokenizer_folder(located, revision, offline=offline)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _tokenizer_folder(located: Base, revision: str | None, *, offline: bool) -> Path:
    if Path(located.path).is_dir():
        return Path(located.path)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                located.path,
                revision=revision or located.revision,
                allow_patterns=list(TOKENIZER_FILES),
                local_files_only=offline,
            )
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{located.name}: its tokenizer cannot be fetched: {str(error).splitlines()[0]}") from error


def check_adapter(trained: Path) -> None:
    """Raise `ModelError` where an adapter has parts that no GGUF can carry, or is a pickle."""
    base_files.check(trained)
    path = trained / "adapter_config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if fault := mismatch(config, ADAPTER):
        raise ModelError(f"{path}: is no adapter's configuration: {fault}")
    targets = config.get("target_modules") or []
    if fault := None if isinstance(targets, str) else mismatch(targets, [str], "target_modules"):
        raise ModelError(f"{path}: is no adapter's configuration: {fault}")
    foreign = [name for name in ([targets] if isinstance(targets, str) else targets) if name not in ALLOWED]
    saved = config.get("modules_to_save")
    if foreign or saved or config.get("trainable_token_indices"):
        parts = foreign or (saved if isinstance(saved, list) else [saved or "new tokens"])
        raise ModelError(
            f"{trained}: the adapter changes {', '.join(map(str, parts))}, which cannot be converted",
            hint=f"train it on {', '.join(LAYERS)} only",
        )
    if config.get("peft_type") != "LORA" or config.get("use_dora") or config.get("bias", "none") != "none":
        raise ModelError(f"{trained}: a {config.get('peft_type')} adapter of a kind that cannot be converted")
