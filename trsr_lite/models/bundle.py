"""A bundle: one folder that carries the models, the prompt settings, the answer ids and what is known of their quality.

Invariant: what `load` returns is complete and unchanged in size, and names only files inside its folder. If it was
trained, it was written for this prompt version. A bare GGUF file becomes a bundle of itself, with default settings.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.engine import headers
from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.files import granted
from trsr_lite.io.shape import Maybe, Whole, mismatch
from trsr_lite.models import bundle_signals
from trsr_lite.models.bundle_signals import BundleSignals
from trsr_lite.models.calibration import Calibration
from trsr_lite.prompts import fingerprint
from trsr_lite.prompts.templates import PROMPT_VERSION
from trsr_lite.settings import Settings

SCHEMA = 1
MANIFEST = "manifest.json"
WAYS = "give a bundle folder, a .gguf file, or `user/repo[:TYPE]` on the hub"
UNTRAINED = "this model is an untrained base: its ranking is close to chance until a trained bundle is given with `-m`"
_TOKEN = Whole(0, 1 << 31)
_PART = {"file": str, "digest": str, "size": Whole(), "type": Maybe(str), "sha256": Maybe(str)}
_ROLE = {**_PART, "adapter": Maybe({**_PART, "adapter": Maybe(_PART)})}
SHAPE = {
    "prompt_version": str,
    "trained": Maybe(bool),
    "template": Maybe(str),
    "name": str,
    "domains": Maybe([str], null=False),
    "settings": dict,
    "summarizer": _ROLE,
    "recommender": _ROLE,
    "answers": Maybe([_TOKEN]),
    "calibration": {"temperature": float, "bias": float},
    "noise_floor": float,
    "probes": Maybe([[_TOKEN]]),
    "signals": Maybe({"version": Whole(), "statistics": dict, "fusion": dict}),
    "measured": dict,
    **dict.fromkeys(("base", "origin", "verified", "versions"), Maybe(dict, null=False)),
}
"""What a manifest must look like."""
NO_MANIFEST = "a bare GGUF carries no manifest: prompt settings are the defaults and scores are not calibrated"


@dataclass(frozen=True)
class ModelFile:
    """One GGUF: where it is, its content hash (`b2:…`), its size in bytes and its tensor type.

    Of a model in several files (`…-00001-of-00003.gguf`) the path is that of the first; hash and size are of all.
    `adapter` is a LoRA GGUF that is applied to it at run time. Several roles may share a base that way. `sha256` is the
    hash by which a hub knows the file.
    """

    path: Path
    digest: str
    size: int
    type: str | None = None
    adapter: ModelFile | None = None
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """Content hash of what a model computes with: the file, and its adapter if it has one."""
        if self.adapter is None:
            return self.digest
        both = f"{self.digest}+{self.adapter.digest}".encode()
        return f"b2:{hashlib.blake2b(both, digest_size=20).hexdigest()}"


@dataclass(frozen=True)
class Bundle:
    """Everything that is needed to summarize and to rank.

    Attributes
    ----------
    trained: whether the recommender was fine-tuned; None where nothing is known (a bare GGUF).
    domains: the kinds of items it was trained on (see `Settings.domain`); empty where nothing is known.
    answers: token ids of (yes, no) that the recommender was made with, checked against its tokenizer; None if unknown.
    noise_floor: margin differences up to this can come from computing in batches.
    measured: figures from when it was made, for people.
    probes: the recommender's tokens of `probes.TEXTS`, checked against its tokenizer; None if unknown.
    template: digest of all prompt text it was made with.
    base: what it was tuned from: name, and digest or revision.
    origin: what it was trained on (`datasets.origin`); empty where nothing is known.
    verified: how its ranking compares with that of the model it was converted from.
    versions: of the programs that made it.
    signals: what it ranks by beside its model; None where it ranks by the model alone.
    """

    name: str
    summarizer: ModelFile
    recommender: ModelFile
    settings: Settings = field(default_factory=Settings)
    trained: bool | None = None
    domains: tuple[str, ...] = ()
    answers: tuple[int, int] | None = None
    calibration: Calibration = field(default_factory=Calibration)
    noise_floor: float = 0.0
    measured: Mapping[str, Any] = field(default_factory=dict)
    probes: tuple[tuple[int, ...], ...] | None = None
    template: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    verified: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    signals: BundleSignals | None = None

    @property
    def hint(self) -> str | None:
        """What a person should know before trusting the ranking."""
        return {True: None, False: UNTRAINED, None: NO_MANIFEST}[self.trained]

    def to_dict(self) -> dict[str, Any]:
        """The manifest."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "prompt_version": PROMPT_VERSION,
            "template": self.template,
            "trained": self.trained,
            "domains": list(self.domains),
            "base": dict(self.base),
            "origin": dict(self.origin),
            "settings": self.settings.to_dict(),
            "summarizer": entry(self.summarizer),
            "recommender": entry(self.recommender),
            "answers": list(self.answers) if self.answers else None,
            "calibration": asdict(self.calibration),
            "noise_floor": self.noise_floor,
            "measured": dict(self.measured),
            "verified": dict(self.verified),
            "versions": dict(self.versions),
            "probes": [list(tokens) for tokens in self.probes] if self.probes else None,
            **({"signals": self.signals.to_dict()} if self.signals else {}),
        }

    def write(self, folder: Path) -> None:
        """Write the manifest; the files must lie in `folder`."""
        options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        (folder / MANIFEST).write_bytes(orjson.dumps(self.to_dict(), option=options))


def load(path: Path, digest: Callable[[Path], str]) -> Bundle:
    """The bundle in a folder, or around one GGUF file; `digest` computes (or remembers) a file's content hash."""
    with granted(path):
        if path.is_dir():
            return _read(path, functools.cache(digest))  # both roles may share a file
        if not path.exists():
            raise ModelError(
                f"{path}: there is no such model",
                hint="give a bundle folder or a .gguf file; `smollm2` is the embedded default",
            )
    file = ModelFile(path, *_content(path, digest))
    return Bundle(path.stem, file, file)


def is_as_known(file: ModelFile, digest: Callable[[Path], str]) -> bool:
    """Whether all of a model file is there, and has the content that it had."""
    return file.path.is_file() and _content(file.path, digest)[0] == file.digest


def _content(path: Path, digest: Callable[[Path], str]) -> tuple[str, int]:
    """Content hash and size of a GGUF: of all its parts, where it has several."""
    with granted(path):
        parts = headers.parts(path)
        size = sum(part.stat().st_size for part in parts)
        if len(parts) == 1:
            return digest(path), size
        together = " ".join(map(digest, parts)).encode()
        return f"b2:{hashlib.blake2b(together, digest_size=20).hexdigest()}", size


def _read(folder: Path, digest: Callable[[Path], str]) -> Bundle:
    manifest = folder / MANIFEST
    try:
        data = orjson.loads(manifest.read_bytes())
    except FileNotFoundError:
        if (folder / "run.json").is_file():
            hint = f"it is a run: `trsr-lite convert {folder} --output BUNDLE` makes a bundle of it"
        else:
            hint = WAYS
        raise ModelError(f"{folder}: not a bundle: it has no {MANIFEST}", hint=hint) from None
    except orjson.JSONDecodeError as error:
        raise ModelError(f"{manifest}: cannot be read: {error}") from error
    if fault := mismatch(data, {"schema": Whole(1)}) or (data["schema"] <= SCHEMA and mismatch(data, SHAPE)):
        raise ModelError(f"{manifest}: incomplete or of the wrong shape: {fault}", hint="get the bundle again")
    try:
        _check_versions(data, manifest)
        answers = data["answers"]
        if answers is not None and len(answers) != 2:
            raise ValueError(f"answers {answers!r}")
        return Bundle(
            name=data["name"],
            summarizer=_file(folder, data["summarizer"], digest),
            recommender=_file(folder, data["recommender"], digest),
            settings=Settings.stored(data["settings"]),
            trained=data["trained"],
            domains=tuple(data.get("domains") or ()),
            answers=(answers[0], answers[1]) if answers else None,
            calibration=Calibration(float(data["calibration"]["temperature"]), float(data["calibration"]["bias"])),
            noise_floor=max(0.0, float(data["noise_floor"])),
            measured=data.get("measured") or {},
            probes=tuple(map(tuple, data["probes"])) if data.get("probes") else None,
            template=data.get("template"),
            base=data.get("base") or {},
            origin=data.get("origin") or {},
            verified=data.get("verified") or {},
            versions=data.get("versions") or {},
            signals=bundle_signals.read(folder, data["signals"], digest) if data.get("signals") else None,
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ModelError(f"{manifest}: incomplete or of the wrong shape: {error!r}") from error
    except SettingsError as error:
        raise ModelError(f"{manifest}: {error}", hint=error.hint) from error


def _check_versions(data: Mapping[str, Any], manifest: Path) -> None:
    """Raise `ModelError` for a manifest of a later schema, and for a model that was trained on other prompts."""
    if data["schema"] > SCHEMA:
        raise ModelError(
            f"{manifest}: schema {data['schema']} is newer than this trsr-lite knows ({SCHEMA})",
            hint="upgrade trsr-lite",
        )
    if data["trained"] and data["prompt_version"] != PROMPT_VERSION:
        raise ModelError(
            f"{manifest}: trained on prompt version {data['prompt_version']}; this trsr-lite has {PROMPT_VERSION}",
            hint="use the trsr-lite version it was made with, or train it again",
        )
    if data["trained"] and data.get("template") not in (None, fingerprint.template()):
        raise ModelError(
            f"{manifest}: trained on other prompts of version {data['prompt_version']}",
            hint="use the trsr-lite version it was made with, or train it again",
        )


def entry(file: ModelFile) -> dict[str, Any]:
    """What a manifest says of a file."""
    facts = {"file": file.path.name, "digest": file.digest, "size": file.size, "type": file.type}
    if file.sha256:
        facts["sha256"] = file.sha256
    return {**facts, "adapter": entry(file.adapter)} if file.adapter else facts


def _file(folder: Path, entry: Mapping[str, Any], digest: Callable[[Path], str]) -> ModelFile:
    name = entry["file"]
    if Path(name).name != name or name in ("", ".", ".."):
        raise ModelError(f"{folder / MANIFEST}: file {name!r} is not inside the bundle")
    path = folder / name
    if not path.is_file():
        raise ModelError(f"{path}: missing from its bundle")
    parts = headers.parts(path)
    if (size := sum(part.stat().st_size for part in parts)) != entry["size"]:
        raise ModelError(
            f"{path}: {size} bytes, but its manifest says {entry['size']}",
            hint="the file is damaged or incomplete: get the bundle again",
        )
    if (found := _content(path, digest)[0]) != entry["digest"]:
        raise ModelError(
            f"{path}: its content hash is {found}, but its manifest says {entry['digest']}",
            hint="the file was changed or is damaged: get the bundle again",
        )
    adapter = _file(folder, entry["adapter"], digest) if entry.get("adapter") else None
    return ModelFile(path, entry["digest"], entry["size"], entry["type"], adapter, entry.get("sha256"))
