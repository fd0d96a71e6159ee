"""Content hashes of files."""

import hashlib
from pathlib import Path

import pytest

from trsr_lite.io import digests
from trsr_lite.io.digests import file_digest, sha256


def test_a_file_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"weights")
    other.write_bytes(b"weights")
    assert file_digest(one) == file_digest(other)
    assert file_digest(one).startswith("b2:")
    assert len(file_digest(one)) == 3 + 40


def test_several_files_hash_as_one_after_the_other(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("first", "second", "both")}
    for name, path in paths.items():
        path.write_bytes(name.encode() if name != "both" else b"firstsecond")
    assert file_digest(paths["first"], paths["second"]) == file_digest(paths["both"])
    assert file_digest(paths["second"], paths["first"]) != file_digest(paths["both"])


def test_a_file_longer_than_a_chunk_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK", 4)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert sha256(tmp_path / "file") == hashlib.sha256(b"0123456789").hexdigest()
