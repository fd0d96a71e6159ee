"""Bundles: read back as written, and whatever is missing, changed, newer or outside is refused by name."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_gguf
from trsr_lite import FakeEngine, ModelError, Recommender, Settings, User
from trsr_lite.cli import run
from trsr_lite.conversion import model_card
from trsr_lite.io.digests import file_digest
from trsr_lite.models.bundle import MANIFEST, SCHEMA, Bundle, ModelFile, load
from trsr_lite.models.calibration import Calibration
from trsr_lite.models.pool import opener
from trsr_lite.prompts import fingerprint
from trsr_lite.prompts.templates import PROMPT_VERSION

REMOVED = object()
FACTS = ("measured", "base", "origin", "verified", "versions")


def full_bundle(folder: Path) -> Bundle:
    files = {}
    for role, content in (("summarizer", b"summarizer weights"), ("recommender", b"weights")):
        path = folder / f"{role}.gguf"
        path.write_bytes(content)
        files[role] = ModelFile(path, file_digest(path), len(content), "Q8_0")
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
        load(path, file_digest)
    assert caught.value.exit_code == 3
    assert str(path) in str(caught.value)
    return caught.value


def test_a_bundle_is_read_back_as_written_and_each_file_is_hashed(tmp_path: Path) -> None:
    bundle = full_bundle(tmp_path)
    bundle.write(tmp_path)
    hashed: list[str] = []

    def digest(path: Path) -> str:
        hashed.append(path.name)
        return file_digest(path)

    assert load(tmp_path, digest) == bundle
    assert sorted(hashed) == ["recommender.gguf", "summarizer.gguf"]


def test_one_file_may_serve_both_roles(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    file = ModelFile(path, file_digest(path), 7)
    Bundle("one", file, file).write(tmp_path)
    bundle = load(tmp_path, file_digest)
    assert bundle.summarizer == bundle.recommender == file


def test_a_manifest_names_its_versions_and_files_without_folders(tmp_path: Path) -> None:
    full_bundle(tmp_path).write(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert (manifest["schema"], manifest["prompt_version"]) == (SCHEMA, PROMPT_VERSION)
    assert manifest["recommender"] == {
        "file": "recommender.gguf",
        "digest": file_digest(tmp_path / "recommender.gguf"),
        "size": 7,
        "type": "Q8_0",
    }
    assert str(tmp_path) not in (tmp_path / MANIFEST).read_text()


def test_a_bundle_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    full_bundle(tmp_path / "old").write(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert load(tmp_path / "new", file_digest).recommender.path == tmp_path / "new" / "recommender.gguf"


def test_a_bare_gguf_is_a_bundle_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "some-model.gguf"
    path.write_bytes(b"weights")
    bundle = load(path, lambda file: f"b2:{file.name}")
    assert bundle == Bundle(
        "some-model",
        ModelFile(path, "b2:some-model.gguf", 7),
        ModelFile(path, "b2:some-model.gguf", 7),
    )
    assert (bundle.settings, bundle.trained, bundle.answers) == (Settings(), None, None)


def test_of_a_bare_gguf_no_domain_is_known(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(tiny), "--cache-dir", str(tmp_path)]) == 0
    shown = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.count("│") == 3]
    facts = {name.strip(): value.strip() for name, value in shown}
    assert (facts["domains"], facts["attributes"]) == ("unknown", "all")


def test_what_is_not_there_is_refused_with_a_way_out(tmp_path: Path) -> None:
    error = refused(tmp_path / "absent")
    assert error.hint is not None and "smollm2" in error.hint


def test_what_cannot_be_looked_at_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(refused(tmp_path / ("x" * 300)))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is text")
def test_a_path_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"mod\xe9")
    folder.mkdir()
    tiny_gguf.write_llama(folder / "tiny.gguf")
    with pytest.raises(ModelError, match=r"tiny\.gguf: its name is not UTF-8 text"):
        Recommender.load(folder / "tiny.gguf", cache_dir=tmp_path)


class OnBadDisk(io.BytesIO):
    def read(self, *_: object) -> bytes:
        raise OSError(5, "Input/output error")  # which names no file


@pytest.mark.parametrize("reason", ["Permission denied", "Input/output error"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    path = changed(tmp_path) / "summarizer.gguf"
    whole = Path.open

    def open_file(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.suffix != ".gguf":
            return whole(self, *arguments, **options)
        if reason == "Permission denied":
            raise PermissionError(13, reason, str(self))
        return OnBadDisk()

    monkeypatch.setattr(Path, "open", open_file)
    for place in (path, tmp_path):
        assert str(refused(place)) == f"{path}: cannot be read: {reason}"
    with pytest.raises(ModelError, match=rf"summarizer\.gguf: cannot be read: {reason}"):
        opener(None, file_digest)(ModelFile(path, "b2:1", 18), False, None)


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


# Not in manifests of the first versions.
NEWER = {"domains", "probes", "template", "base", "origin", "verified", "versions", "signals"}
NEEDED = [*(name for name in Bundle.__dataclass_fields__ if name not in NEWER), "schema", "prompt_version"]


@pytest.mark.parametrize("name", [*NEEDED, "recommender__size", "recommender__digest"])
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
        {"name": 5},
        {"domains": "news"},
        *({name: value} for name in FACTS for value in ("ab", [], None)),
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
    assert load(changed(tmp_path, prompt_version="0.1", trained=trained), file_digest).trained is trained


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
    hint = load(changed(tmp_path, trained=trained), file_digest).hint
    assert hint is None if words is None else hint is not None and words in hint


def test_a_manifest_of_before_conversion_is_still_read(tmp_path: Path) -> None:
    missing = dict.fromkeys(NEWER - {"signals"}, REMOVED)  # without signals the manifest has no such entry
    bundle = load(changed(tmp_path, **missing), file_digest)
    assert (bundle.probes, bundle.template, bundle.base) == (None, None, {})


@pytest.mark.parametrize("role", ["summarizer", "recommender"])
def test_a_file_that_was_tampered_with_is_named_with_both_hashes(tmp_path: Path, role: str) -> None:
    path = tmp_path / f"{role}.gguf"
    changed(tmp_path)
    before = file_digest(path)
    content = path.read_bytes()
    path.write_bytes(b"W" + content[1:])
    error = refused(tmp_path)
    assert before != file_digest(path)
    assert f"{role}.gguf: its content hash is {file_digest(path)}, but its manifest says {before}" in str(error)
    assert error.hint is not None and "get the bundle again" in error.hint


# Adapters


def with_adapter(folder: Path) -> Bundle:
    """One base for both roles, and an adapter for the recommender."""
    base, adapter = folder / "base.gguf", folder / "adapter.gguf"
    base.write_bytes(b"base weights")
    adapter.write_bytes(b"low rank")
    summarizer = ModelFile(base, file_digest(base), base.stat().st_size, "F16")
    lora = ModelFile(adapter, file_digest(adapter), adapter.stat().st_size, "F16", sha256="0" * 64)
    bundle = Bundle("adapted", summarizer, dataclasses.replace(summarizer, adapter=lora))
    bundle.write(folder)
    return bundle


def test_an_adapter_is_read_back_as_written(tmp_path: Path) -> None:
    bundle = with_adapter(tmp_path)
    assert load(tmp_path, file_digest) == bundle


def test_a_card_lists_every_file(tmp_path: Path) -> None:
    bundle = with_adapter(tmp_path)
    adapter = dataclasses.replace(bundle.recommender.adapter, path=tmp_path / "summaries.gguf")
    bundle = dataclasses.replace(
        bundle,
        summarizer=dataclasses.replace(bundle.summarizer, adapter=adapter),
        verified={"steps": {}, "reference": "torch", "lists": 3},
    )
    record = {
        "config": {"data": {"dataset": "jsonl", "negatives": "uniform"}, "options": {"objective": "both"}},
        "best": {"recall@3": 0.5, "recall@5": 0.5, "recall@10": 0.5},
        "base": {"name": "tiny", "digest": "b2:1"},
        "data": {"cases": {"train": 3}},
        "steps": 3,
    }
    text = model_card.text(bundle, record)
    files = {"base": "recommender", "adapter": "recommender's adapter", "summaries": "summarizer's adapter"}
    for name, role in files.items():
        assert f"- `{name}.gguf`: {role}, F16" in text


def test_an_adapter_makes_another_model_of_its_base(tmp_path: Path) -> None:
    bundle = with_adapter(tmp_path)
    plain, adapted = bundle.summarizer.identity, bundle.recommender.identity
    assert plain == bundle.summarizer.digest and adapted != plain and adapted.startswith("b2:")
    other = dataclasses.replace(bundle.recommender.adapter, digest="b2:other")
    assert dataclasses.replace(bundle.recommender, adapter=other).identity != adapted
    assert dataclasses.replace(bundle.recommender, digest="b2:other").identity != adapted


def test_an_adapter_that_is_missing_changed_or_outside_is_named(tmp_path: Path) -> None:
    with_adapter(tmp_path)
    path = tmp_path / "adapter.gguf"
    path.write_bytes(b"LOW RANK")
    assert "adapter.gguf: its content hash" in str(refused(tmp_path))
    path.write_bytes(b"low")
    assert "adapter.gguf: 3 bytes" in str(refused(tmp_path))
    path.unlink()
    assert "adapter.gguf: missing" in str(refused(tmp_path))
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["recommender"]["adapter"]["file"] = "../adapter.gguf"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert "not inside the bundle" in str(refused(tmp_path))


# Golden probes and templates


def test_a_trained_bundle_of_other_prompts_is_refused(tmp_path: Path) -> None:
    assert load(changed(tmp_path, template=fingerprint.template()), file_digest).template == fingerprint.template()
    error = refused(changed(tmp_path, template="b2:other"))
    assert f"trained on other prompts of version {PROMPT_VERSION}" in str(error)
    assert error.hint is not None and "train it again" in error.hint


def test_an_untrained_bundle_depends_on_no_template(tmp_path: Path) -> None:
    assert load(changed(tmp_path, template="b2:other", trained=False), file_digest).trained is False


def test_golden_tokens_are_read_back_and_must_be_numbers(tmp_path: Path) -> None:
    assert load(changed(tmp_path, probes=[[1, 2], [3]]), file_digest).probes == ((1, 2), (3,))
    assert "wrong shape" in str(refused(changed(tmp_path, probes=[["a"]])))
    assert "wrong shape" in str(refused(changed(tmp_path, probes=5)))


def test_another_tokenizer_is_refused_at_first_use(make_recommender: Any, news_user: User) -> None:
    golden = fingerprint.tokens(FakeEngine())
    assert make_recommender(probes=golden).recommend(news_user).recommendations
    wrong = (*golden[:3], (1, 2, 3), *golden[4:])
    with pytest.raises(ModelError, match=r"its tokenizer reads .*Caf.* differently than the manifest says") as caught:
        make_recommender(probes=wrong).recommend(news_user)
    assert caught.value.hint is not None and "does not belong to this bundle" in caught.value.hint
    with pytest.raises(ModelError, match=r"20 texts instead of 3"):
        make_recommender(probes=golden[:3]).recommend(news_user)
