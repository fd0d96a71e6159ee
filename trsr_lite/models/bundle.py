"""A bundle: one folder that carries the models, the prompt settings, the answer ids and what is known of their quality.

Invariant: what `load` returns is complete and unchanged in size, was written for this prompt version if it was trained,
and names only files inside its folder. A bare GGUF file becomes a bundle of itself, with default settings.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from trsr_lite.errors import ModelError, SettingsError
from trsr_lite.io.files import granted
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
NO_MANIFEST = "a bare GGUF carries no manifest: prompt settings are the defaults and scores are not calibrated"


@dataclass(frozen=True)
class ModelFile:
    """One GGUF: where it is, its content hash (`b2:…`), its size in bytes and its tensor type.

    `adapter` is a LoRA GGUF that is applied to it at run time; several roles may share a base that way. `sha256` is the
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
        file = ModelFile(path, digest(path), path.stat().st_size)
    return Bundle(path.stem, file, file)


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
    try:
        _check_versions(data, manifest)
        answers = data["answers"]
        if answers is not None and not (len(answers) == 2 and all(type(answer) is int for answer in answers)):
            raise ValueError(f"answers {answers!r}")
        if data["trained"] not in (True, False, None) or float(data["noise_floor"]) < 0:
            raise ValueError(f"trained {data['trained']!r}, noise_floor {data['noise_floor']!r}")
        if not isinstance(data["name"], str):
            raise ValueError(f"name {data['name']!r}")
        if not isinstance(data.get("domains", []), list):
            raise ValueError(f"domains {data['domains']!r}")
        for name in ("measured", "base", "origin", "verified", "versions"):
            if not isinstance(data.get(name, {}), dict):
                raise ValueError(f"{name} {data[name]!r}")
        return Bundle(
            name=data["name"],
            summarizer=_file(folder, data["summarizer"], digest),
            recommender=_file(folder, data["recommender"], digest),
            settings=Settings.from_dict(data["settings"]),
            trained=data["trained"],
            domains=tuple(map(str, data.get("domains", ()))),
            answers=(answers[0], answers[1]) if answers else None,
            calibration=Calibration(**data["calibration"]),
            noise_floor=float(data["noise_floor"]),
            measured=data["measured"],
            probes=tuple(tuple(map(int, tokens)) for tokens in data["probes"]) if data.get("probes") else None,
            template=data.get("template"),
            base=data.get("base", {}),
            origin=data.get("origin", {}),
            verified=data.get("verified", {}),
            versions=data.get("versions", {}),
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
    if path.stat().st_size != entry["size"]:
        raise ModelError(
            f"{path}: {path.stat().st_size} bytes, but its manifest says {entry['size']}",
            hint="the file is damaged or incomplete: get the bundle again",
        )
    if (found := digest(path)) != entry["digest"]:
        raise ModelError(
            f"{path}: its content hash is {found}, but its manifest says {entry['digest']}",
            hint="the file was changed or is damaged: get the bundle again",
        )
    adapter = _file(folder, entry["adapter"], digest) if entry.get("adapter") else None
    return ModelFile(path, entry["digest"], entry["size"], entry["type"], adapter, entry.get("sha256"))
