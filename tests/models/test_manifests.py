"""Manifests, run records, adapters and config files of strangers: whatever is in them, one line at most."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.changes import places
from trsr_lite.cli import run as cli
from trsr_lite.cli.config import read_config
from trsr_lite.errors import ModelError, SettingsError, TrsrError
from trsr_lite.io.digests import file_digest
from trsr_lite.io.shape import Maybe, Whole, mismatch
from trsr_lite.models import bundle
from trsr_lite.models.bundle import Bundle, ModelFile

MANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
STRANGE: list[Any] = [
    None, True, -1, 0, 1 << 40, -(1 << 63), 10**30, 1e308, 0.5, "", "x", "\ud800", "\n", "../x", "/etc/passwd",
    [], [[]], [None], {}, {"file": "x"}, {"a": {"b": [1]}},
]  # fmt: skip


def changed(data: st.DataObject, value: Any) -> str:
    """The JSON text of a value, with one to three places replaced, removed, or nested deeply."""
    value = copy.deepcopy(value)
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(list(places(value)) or [("x",)]))
        try:
            inner = value
            for key in way:
                inner = inner[key]
            if data.draw(st.integers(0, 4)) == 0:
                del inner[last]
            else:
                inner[last] = copy.deepcopy(data.draw(st.sampled_from(STRANGE)))
        except (KeyError, IndexError, TypeError):  # a change before took the place away
            continue
    text = json.dumps(value)
    kind = data.draw(st.integers(0, 12))
    if kind == 0:
        return text.replace(": ", ": " + "[" * 5000, 1)
    if kind == 1:
        return "[" * 3000 + "]" * 3000
    return text[: data.draw(st.integers(0, len(text)))] if kind == 2 else text


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bundle")
    file = ModelFile(shutil.copy(tiny, place / "tiny.gguf"), file_digest(tiny), tiny.stat().st_size, "F32")
    Bundle("tiny", file, file, answers=(4, 5), probes=((1, 2), (3,)), trained=False).write(place)
    return place


@MANY
@given(data=st.data())
def test_a_manifest_is_read_or_refused_in_one_line(data: st.DataObject, folder: Path) -> None:
    manifest = folder / bundle.MANIFEST
    before = manifest.read_bytes()
    manifest.write_text(changed(data, json.loads(before)), encoding="utf-8", errors="surrogatepass")
    try:
        found = bundle.load(folder, file_digest)
        found.to_dict()
        assert all(isinstance(word, str) for word in found.domains) and 0 <= found.noise_floor < 1e309
        assert found.answers is None or all(0 <= one < 1 << 31 for one in found.answers)
    except ModelError as error:
        assert len(str(error).splitlines()) == 1 and len(str(error)) < 1000
    finally:
        manifest.write_bytes(before)


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"", b"null", b"[]", b"[" * 10**6, b"1" * 10**6, b'"x"', b"{}"])
def test_a_manifest_that_is_no_object_is_one_line(folder: Path, tmp_path: Path, content: bytes) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / bundle.MANIFEST).write_bytes(content)
    with pytest.raises(ModelError, match=r"manifest\.json: "):
        bundle.load(tmp_path / "copy", file_digest)


CONFIGS = {
    "nested lists": (b"top = " + b"[" * 60_000, "nested too deeply"),
    "nested tables": (b"[a" + b".a" * 30_000 + b"]\nx = 1", "cannot be read|there is no option|other values"),
    "a large file": (b"top = 1\n" + b"# " * 40_000, "has more than 64 KiB"),
    "a table": (b"[top]\nx = 1", "holds other values"),
    "a list of lists": (b'attributes = [["a"]]', "holds other values"),
    "no UTF-8": (b'domain = "caf\xe9"', r"is not UTF-8 text \(byte 13\)"),
    "a huge number": (b"top = 1" + b"0" * 10_000, "cannot be read"),
    "binary": (b"\x00\x01\x02", "cannot be read"),
    "an unknown name": (b"topp = 1", "there is no option 'topp'"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_file_is_read_or_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = CONFIGS[name]
    (path := tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        read_config(str(path))
    assert cli(["--config", str(path), "recommend", "--user", "x.json"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and len(said.splitlines()) <= 3


def test_numbers_out_of_range_in_a_config_file_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("top = 0", f"top = {1 << 70}", "threads = -3", "max-memory = -1", "top = nan", "top = 1979-05-27"):
        (path := tmp_path / "config.toml").write_text(line)
        assert cli(["--config", str(path), "recommend", "--user", "x.json"]) in (2, 4)
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("value", ["1", "true", "ON", "yes"])
def test_hf_hub_offline_means_offline(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("opens a connection"))
    assert cli(["pull", "somebody/something"]) == 3
    assert "somebody/something" in capsys.readouterr().err


def test_shapes_judge_values() -> None:
    shape = {"a": Whole(1, 9), "b": Maybe([float]), "c": {"d": str}}
    assert mismatch({"a": 3, "b": [1, 2.5], "c": {"d": "x", "more": 1}}, shape) is None
    assert mismatch({"a": 3, "c": {"d": "x"}}, shape) is None
    wrong = {
        "a is missing": {},
        "a is True, which cannot be": {"a": True},
        "a is 9, which cannot be": {"a": 9},
        "b is an object, which is not a list": {"a": 3, "b": {}},
        "an entry of b is inf, which is not a number": {"a": 3, "b": [1.0, float("inf")]},
        "d is None, which is not text": {"a": 3, "c": {"d": None}},
        "c is a list, which is not an object": {"a": 3, "c": []},
    }
    for message, value in wrong.items():
        assert mismatch(value, shape) == message
    assert mismatch(10**400, float, "x") and mismatch(10**5000, float, "x") and mismatch(1 << 63, int, "x")


def test_a_run_record_of_a_stranger_is_one_line(tmp_path: Path) -> None:
    from trsr_lite.training import run_dir

    for content in (b"[]", b"{}", b"null", b'{"schema": "2"}', b"[" * 10**5, b'{"schema": 1, "status": "finished"}'):
        (tmp_path / run_dir.RUN).write_bytes(content)
        with pytest.raises(TrsrError, match=r"run\.json: cannot be read"):
            run_dir.finished(tmp_path)
