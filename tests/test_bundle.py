"""Bundles: read back as written, and whatever is missing, changed, newer or outside is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trsr_lite import ModelError, Settings
from trsr_lite import bundle as bundles
from trsr_lite.bundle import MANIFEST, SCHEMA, Bundle, ModelFile
from trsr_lite.prompts import PROMPT_VERSION
from trsr_lite.scoring import Calibration

REMOVED = object()


def no_digest(path: Path) -> str:
    raise AssertionError(f"the hash of {path} was asked for")


def full_bundle(folder: Path) -> Bundle:
    files = {}
    for role, content in (("summarizer", b"summarizer weights"), ("recommender", b"weights")):
        path = folder / f"{role}.gguf"
        path.write_bytes(content)
        files[role] = ModelFile(path, f"b2:{role}", len(content), "Q8_0")
    return Bundle(
        name="full",
        **files,
        settings=Settings(domain="news", attributes=("title", "category"), fan_in=3),
        trained=True,
        answers=(7, 9),
        calibration=Calibration(2.0, -0.5),
        noise_floor=0.25,
        measured={"recall@10": 0.5},
    )


def changed(folder: Path, **changes: Any) -> Path:
    """A bundle whose manifest has these entries instead; `role__name` is an entry of a model file."""
    bundle = full_bundle(folder)
    manifest = bundle.to_dict()
    for name, value in changes.items():
        role, _, inner = name.partition("__")
        place, key = (manifest[role], inner) if inner else (manifest, role)
        if value is REMOVED:
            del place[key]
        else:
            place[key] = value
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def refused(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        bundles.load(path, no_digest)
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value)
    return caught.value


def test_a_bundle_is_read_back_as_written_and_no_file_is_hashed(tmp_path: Path) -> None:
    bundle = full_bundle(tmp_path)
    bundle.write(tmp_path)
    assert bundles.load(tmp_path, no_digest) == bundle


def test_one_file_may_serve_both_roles(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    file = ModelFile(path, "b2:1", 7)
    Bundle("one", file, file).write(tmp_path)
    bundle = bundles.load(tmp_path, no_digest)
    assert bundle.summarizer == bundle.recommender == file


def test_a_manifest_names_its_versions_and_files_without_folders(tmp_path: Path) -> None:
    full_bundle(tmp_path).write(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert (manifest["schema"], manifest["prompt_version"]) == (SCHEMA, PROMPT_VERSION)
    assert manifest["recommender"] == {
        "file": "recommender.gguf",
        "digest": "b2:recommender",
        "size": 7,
        "type": "Q8_0",
    }
    assert str(tmp_path) not in (tmp_path / MANIFEST).read_text()


def test_a_bundle_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    full_bundle(tmp_path / "old").write(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert bundles.load(tmp_path / "new", no_digest).recommender.path == tmp_path / "new" / "recommender.gguf"


def test_a_bare_gguf_is_a_bundle_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "some-model.gguf"
    path.write_bytes(b"weights")
    bundle = bundles.load(path, lambda file: f"b2:{file.name}")
    assert bundle == Bundle(
        "some-model",
        ModelFile(path, "b2:some-model.gguf", 7),
        ModelFile(path, "b2:some-model.gguf", 7),
    )
    assert (bundle.settings, bundle.trained, bundle.answers) == (Settings(), None, None)


def test_what_is_not_there_is_refused_with_a_way_out(tmp_path: Path) -> None:
    error = refused(tmp_path / "absent")
    assert error.hint is not None and "smollm2" in error.hint


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "it has no manifest.json" in str(refused(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"not json"])
def test_a_manifest_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    assert MANIFEST in str(refused(tmp_path))


@pytest.mark.parametrize("content", ["[]", "5", '"text"', "null", "{}"])
def test_a_manifest_of_another_shape_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert "incomplete or of the wrong shape" in str(refused(tmp_path))


@pytest.mark.parametrize("name", [*Bundle.__dataclass_fields__, "schema", "prompt_version", "recommender__size"])
def test_a_manifest_that_lacks_an_entry_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    assert name.rpartition("__")[2] in str(refused(changed(tmp_path, **{name: REMOVED})))


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "one"},
        {"settings": 5},
        {"answers": [7]},
        {"answers": 7},
        {"calibration": {"temperature": 1.0, "slope": 2.0}},
        {"summarizer": "summarizer.gguf"},
        {"summarizer__file": 5},
        {"answers": "ab"},
        {"answers": ["a", "b"]},
        {"noise_floor": "x"},
        {"noise_floor": None},
        {"calibration": {"temperature": "x", "bias": 0.0}},
    ],
    ids=str,
)
def test_an_entry_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert "incomplete or of the wrong shape" in str(refused(changed(tmp_path, **changes)))


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    error = refused(changed(tmp_path, schema=SCHEMA + 1))
    assert f"schema {SCHEMA + 1}" in str(error)
    assert error.hint is not None and "upgrade" in error.hint


def test_a_trained_bundle_of_another_prompt_version_is_refused(tmp_path: Path) -> None:
    error = refused(changed(tmp_path, prompt_version="0.1"))
    assert "prompt version 0.1" in str(error) and f"has {PROMPT_VERSION}" in str(error)


@pytest.mark.parametrize("trained", [False, None])
def test_an_untrained_bundle_depends_on_no_prompt_version(tmp_path: Path, trained: bool | None) -> None:
    assert bundles.load(changed(tmp_path, prompt_version="0.1", trained=trained), no_digest).trained is trained


@pytest.mark.parametrize("role", ["summarizer", "recommender"])
def test_a_missing_file_is_named(tmp_path: Path, role: str) -> None:
    changed(tmp_path)
    (tmp_path / f"{role}.gguf").unlink()
    assert f"{role}.gguf: missing" in str(refused(tmp_path))


@pytest.mark.parametrize("role", ["summarizer", "recommender"])
def test_a_file_of_another_size_is_named(tmp_path: Path, role: str) -> None:
    changed(tmp_path)
    (tmp_path / f"{role}.gguf").write_bytes(b"cut")
    error = refused(tmp_path)
    assert f"{role}.gguf: 3 bytes" in str(error)
    assert error.hint is not None and "damaged" in error.hint


@pytest.mark.parametrize("role", ["summarizer", "recommender"])
@pytest.mark.parametrize("name", ["../outside.gguf", "sub/inside.gguf", "{absolute}", "", ".", ".."])
def test_a_file_outside_the_bundle_is_refused(tmp_path: Path, role: str, name: str) -> None:
    folder = tmp_path / "bundle"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "outside.gguf", folder / "sub" / "inside.gguf"):
        path.write_bytes(b"weights")
    name = name.format(absolute=tmp_path / "outside.gguf")
    error = refused(changed(folder, **{f"{role}__file": name, f"{role}__size": 7}))
    assert f"{name!r} is not inside the bundle" in str(error)


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    error = refused(changed(tmp_path, settings={"fan_inn": 3}))
    assert "'fan_inn'" in str(error)
    assert error.hint is not None and "fan_in" in error.hint


def test_a_setting_that_cannot_be_is_a_model_error(tmp_path: Path) -> None:
    assert "fan_in is 1" in str(refused(changed(tmp_path, settings={"fan_in": 1})))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"fan_in": 2.5}, "fan_in is 2.5"), ({"attributes": "title"}, "attributes is 'title'")],
    ids=["fan_in", "attributes"],
)
def test_a_setting_of_another_kind_is_a_model_error(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    assert message in str(refused(changed(tmp_path, settings=settings)))


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_calibration_that_cannot_be_is_a_model_error(tmp_path: Path, temperature: float) -> None:
    error = refused(changed(tmp_path, calibration={"temperature": temperature, "bias": 0.0}))
    assert f"temperature {temperature}" in str(error)


@pytest.mark.parametrize(("trained", "words"), [(True, None), (False, "untrained base"), (None, "bare GGUF")])
def test_a_person_is_told_what_the_ranking_is_worth(tmp_path: Path, trained: bool | None, words: str | None) -> None:
    hint = bundles.load(changed(tmp_path, trained=trained), no_digest).hint
    assert hint is None if words is None else hint is not None and words in hint
