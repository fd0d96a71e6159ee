"""The files of a model folder that may be read: configuration, tokenizer and safetensors.

Invariant: no file that can run code when it is read is ever opened: no Python, no pickle. What a folder names
instead, such as a class of its own in `auto_map`, is not followed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path, PurePath
from typing import Any

from trsr_lite.errors import ModelError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.files import granted

WEIGHTS = ".safetensors"
TEXTS = (".json", ".jinja", ".model", ".tiktoken", ".txt")  # configuration and tokenizers
PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
CODE = ("auto_map", "custom_pipelines")  # keys that name Python of the folder, or of another repository
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json")  # where such a key is a token
LONGEST = 64 << 20  # bytes of a JSON file: those of known tokenizers have up to 35 MiB
INDEX = "model.safetensors.index.json"


def check(folder: Path) -> None:
    """Raise `ModelError` where the weights of a model or an adapter could only be read by running a pickle."""
    with granted(folder):
        names = sorted(path.name for path in folder.iterdir() if path.is_file())
    pickles = [name for name in names if name.lower().endswith(PICKLES)]
    if pickles and not any(name.endswith(WEIGHTS) for name in names):
        raise ModelError(
            f"{folder / pickles[0]}: is a pickle, which can run code when it is read",
            hint="get the model's safetensors; if it has none, convert it where that code can do no harm",
        )
    if INDEX in names:
        _check_index(folder / INDEX)


def copy(folder: Path, target: Path) -> None:
    """Make `target` a folder with what may be read of a model; weights are linked where that is possible."""
    check(folder)
    target.mkdir(parents=True)
    with granted(folder):
        for path in _readable(folder):
            if path.suffix == WEIGHTS:
                _link(path, target / path.name)
            elif path.suffix == ".json":
                _copy_json(path, target / path.name)
            else:
                shutil.copyfile(path, target / path.name)


def digest(folder: Path) -> str:
    """Content hash of all that may be read of a model, names included."""
    with granted(folder):
        content = "".join(f"{path.name}\n{file_digest(path)}\n" for path in _readable(folder))
    return f"b2:{hashlib.blake2b(content.encode(errors='surrogateescape'), digest_size=20).hexdigest()}"


def _readable(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.suffix in (WEIGHTS, *TEXTS) or path.name.startswith("tokenizer.model"))
    ]


def _check_index(path: Path) -> None:
    """Every file of weights that an index names lies beside it."""
    content = _json(path)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict):
        raise ModelError(f"{path}: has no weight_map")
    for name in sorted(set(map(str, named.values()))):
        if not name.endswith(WEIGHTS) or PurePath(name).name != name or "\\" in name:
            raise ModelError(f"{path}: names {name!r}, which is no safetensors file beside it")


def _copy_json(path: Path, target: Path) -> None:
    content = _json(path)
    plain = _without_code(content)
    if path.name in VOCABULARIES or plain == content:
        shutil.copyfile(path, target)  # to the byte, for all that hashes it
    else:
        target.write_text(json.dumps(plain, ensure_ascii=False, indent=2), encoding="utf-8")


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > LONGEST:
            raise ModelError(f"{path}: is larger than {LONGEST >> 20} MiB, which no configuration is")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error


def _without_code(value: Any) -> Any:
    """The value without what names code, at any depth: of a model of several parts, each has a configuration."""
    if isinstance(value, dict):
        return {name: _without_code(entry) for name, entry in value.items() if name not in CODE}
    return [_without_code(entry) for entry in value] if isinstance(value, list) else value


def _link(path: Path, target: Path) -> None:
    """The same file under another name: a symbolic link, a second name, or where neither can be made, a copy."""
    try:
        target.symlink_to(path.resolve())
    except (OSError, NotImplementedError):
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)
