"""What a person means by `user/repo[:TYPE][@revision]`, and which files of a repository that can be.

Invariant: only safetensors, GGUF, JSON and Markdown under plain names are ever meant. If several files fit a type, the
error names them. Nothing here knows what the hub or its cache holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from trsr_lite.errors import ModelError
from trsr_lite.io.files import granted
from trsr_lite.models.bundle import MANIFEST

FETCHED = (".safetensors", ".gguf", ".npz", ".json", ".md")

_REFERENCE = re.compile(
    r"(?P<repository>[\w.-]+/[\w.-]+)(?::(?P<type>\w[\w.-]*))?(?:@(?P<revision>\w[\w./-]*))?", re.ASCII
)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_TYPE = re.compile(r"(?<![^\W_])(?:(?:IQ|TQ|Q)\d\w*|BF16|F16|F32|MXFP4\w*)", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """A repository of models on the hub, with the wanted GGUF type and the branch, tag or commit."""

    repository: str
    type: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        kind = f":{self.type}" if self.type else ""
        return f"{self.repository}{kind}{f'@{self.revision}' if self.revision else ''}"


def parse(text: str) -> Reference | None:
    """What `user/repo[:TYPE][@revision]` refers to; None where it is a local path or cannot be a repository."""
    found = _REFERENCE.fullmatch(text)
    if found is None or ".." in text or "\\" in text or text.startswith((".", "/", "~")):
        return None
    if found["repository"].lower().endswith(FETCHED) or not is_valid(found["repository"]):
        return None
    with granted(text):
        return None if Path(text).exists() else Reference(**found.groupdict())


def is_valid(repository: str) -> bool:
    """Whether the hub could have a repository of this name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined, unused-ignore]

    try:
        validate_repo_id(repository)
    except HFValidationError:
        return False
    return repository.count("/") == 1


def may_be_fetched(name: str) -> bool:
    """Whether a file of this name is of a kind that is ever fetched."""
    return re.fullmatch(r"[^/\\:\x00-\x1f]+", name) is not None and name.endswith(FETCHED)


def suitable(names: Iterable[str], kind: str | None) -> list[str]:
    """The GGUF files, of a type where one is asked for: `Q6_K` is `Q6_K.gguf` rather than `Q6_K_L.gguf`.

    A whole name without its ending is the type of that file alone. What sees pictures for a model is no model.
    """
    files = sorted(name for name in names if re.fullmatch(r"(?!mmproj).*\.gguf", name, re.IGNORECASE))
    if kind is None:
        return files
    kind = re.escape(kind)
    for pattern in (rf"^{kind}\.gguf$", rf"(?<![^\W_]){kind}(?!\w)", rf"(?<![^\W_]){kind}(?![^\W_])"):
        found = [name for name in files if re.search(pattern, name, re.IGNORECASE)]
        if found:
            return found
    return []


def certain(names: Iterable[str], kind: str | None) -> list[str]:
    """Of some of a repository's names, those that are meant whatever others it has: by the whole name or the type."""
    files = suitable(names, None)
    if kind is None:
        return files
    return [name for name in files if kind.lower() in (PurePath(name).stem.lower(), _type(name).lower())]


def only(names: list[str], reference: Reference) -> str:
    """The one file that is meant."""
    if any(_SPLIT.search(name) for name in names) and (reference.type or all(map(_SPLIT.search, names))):
        raise ModelError(
            f"{reference}: {names[0]} is one part of a model in several files",
            hint="choose a type that is one file, or merge the parts with `llama-gguf-split --merge`",
        )
    names = [name for name in names if may_be_fetched(name) and not _SPLIT.search(name)]
    if not names:
        kind = f" of type {reference.type}" if reference.type else ""
        raise ModelError(f"{reference} has neither a {MANIFEST} nor a GGUF file{kind}", hint="see its files on the hub")
    if len(names) > 1:
        types = sorted(set(map(_type, names)))
        told = types if len(types) == len(names) else [PurePath(name).stem for name in names]
        raise ModelError(
            f"{reference} has {len(names)} GGUF files that fit: {', '.join(names if reference.type else told)}",
            hint=f"name one, such as `{Reference(reference.repository, told[0], reference.revision)}`",
        )
    return names[0]


def _type(name: str) -> str:
    found: list[str] = _TYPE.findall(name)
    return found[-1] if found else PurePath(name).stem
