"""Files at addresses: whole or absent, whatever the store; and whatever its library raises, one line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from trsr_lite import DataError, SettingsError, TrsrError
from trsr_lite.batch import users
from trsr_lite.io import lock, remote
from trsr_lite.io.remote import RemotePath


class Torn(MemoryFileSystem):
    """A store in memory that can rename, and breaks off where `at` says, with an error of no known kind."""

    protocol = "torn"
    store: dict[str, Any] = {}  # noqa: RUF012 - as its parent has it
    pseudo_dirs = [""]  # noqa: RUF012
    at: str | None = None

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        """Half of it is written where the connection breaks."""
        if self.at == "put_file":
            self.pipe_file(rpath, Path(lpath).read_bytes()[:3])
        self._break("put_file")
        super().put_file(lpath, rpath, **options)

    def mv(self, path1: str, path2: str, **options: Any) -> None:
        """As a store that renames."""
        self._break("mv")
        self.store[self._strip_protocol(path2)] = self.store.pop(self._strip_protocol(path1))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Of a file."""
        self._break("info")
        return dict(super().info(path, **options))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        """Of a folder."""
        self._break("ls")
        return super().ls(path, detail=detail, **options)

    def rm_file(self, path: str) -> None:
        """Of a file."""
        self._break("rm_file")
        super().rm_file(path)

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """A file that breaks at its second block."""
        self._break("open")
        return Breaking(super().open(path, mode, **options).read()) if self.at == "read" else super().open(path, mode)

    def _break(self, where: str) -> None:
        if type(self).at == where:
            raise KeyError("the service\nwas not there")  # as a foreign library may


class Breaking(io.BytesIO):
    """A file of a connection that breaks."""

    def read(self, size: int | None = -1) -> bytes:
        """The first block, then an error."""
        if self.tell():
            raise RuntimeError("connection reset")
        return super().read(size)


@pytest.fixture(params=["memory", "torn", "file"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePath]:
    """An empty folder of a store without a rename, of one with it, and of this machine by its address."""
    fsspec.register_implementation("torn", Torn, clobber=True)
    monkeypatch.setattr(Torn, "at", None)
    for kind in (MemoryFileSystem, Torn):
        monkeypatch.setattr(kind, "store", {})
        monkeypatch.setattr(kind, "pseudo_dirs", [""])
    yield RemotePath((tmp_path / "far").as_uri() if request.param == "file" else f"{request.param}://bucket/far")


@pytest.fixture
def torn(place: RemotePath, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], RemotePath]:
    """Breaks the store off at a step from now on; returns a file of it."""

    def at(step: str | None) -> RemotePath:
        monkeypatch.setattr(Torn, "at", step)
        return RemotePath("torn://bucket/far/a.txt")

    return at


def test_a_file_is_read_as_it_was_written(place: RemotePath) -> None:
    assert not (place / "a.txt").exists() and place.listing() == []
    for content in (b"one\ntwo\n", b"", bytes(3_000_000)):
        (place / "a.txt").write(content)
        assert (place / "a.txt").read() == content
    (place / "b.txt").write(b"2")
    assert place.listing() == ["a.txt", "b.txt"]
    assert (place / "a.txt").exists() and not place.exists()


def test_a_file_can_be_read_from_any_place(place: RemotePath) -> None:
    (place / "a.txt").write(b"0123456789\nabc\n")
    with (place / "a.txt").open() as file:
        file.seek(4)
        assert file.readline() == b"456789\n"
        assert file.seek(-4, os.SEEK_END) == file.tell() == 11
        assert file.read() == b"abc\n"


def test_a_writer_that_fails_leaves_what_was_there(place: RemotePath) -> None:
    (place / "a.txt").write(b"before")
    with pytest.raises(RuntimeError), (place / "a.txt").writing() as file:
        file.write(b"half")
        raise RuntimeError
    assert (place / "a.txt").read() == b"before" and place.listing() == ["a.txt"]


def test_a_listing_shows_what_another_has_just_written(place: RemotePath) -> None:
    (place / "a.txt").write(b"1")
    assert place.listing() == ["a.txt"]
    (RemotePath(str(place)) / "b.txt").write(b"2")
    assert place.listing() == ["a.txt", "b.txt"]


def test_what_is_missing_is_said_in_one_line(place: RemotePath) -> None:
    with pytest.raises(DataError, match=r"a\.txt: cannot be read: No such file"):
        (place / "a.txt").read()


def test_a_file_is_no_folder(place: RemotePath) -> None:
    place.write(b"a file")
    with pytest.raises(SettingsError, match="far: is a file, not a folder"):
        place.listing()


def test_names_that_look_like_patterns_are_names(place: RemotePath) -> None:
    for name in ("part[1]*.txt", "part1x.txt"):
        (place / name).write(name.encode())
    assert place.listing() == ["part1x.txt", "part[1]*.txt"]
    assert (place / "part[1]*.txt").read() == b"part[1]*.txt"


def test_only_what_a_killed_writer_left_is_removed(place: RemotePath) -> None:
    for name in (
        f".a.txt.01234567{remote.TEMPORARY}",
        ".hidden",
        f"mine{remote.TEMPORARY}",
        f".mine{remote.TEMPORARY}",
    ):
        (place / name).write(b"")
    place.remove_temporary()
    assert place.listing() == [".hidden", f".mine{remote.TEMPORARY}", f"mine{remote.TEMPORARY}"]


@pytest.mark.parametrize("step", ["put_file", "mv"])
def test_a_connection_that_breaks_while_a_file_is_sent_leaves_the_old_one(
    torn: Callable[[str | None], RemotePath], step: str
) -> None:
    torn(None).write(b"before")
    with pytest.raises(TrsrError, match=r"a\.txt: cannot be written: KeyError: .*the service.*was not there") as caught:
        torn(step).write(b"after")
    assert "\n" not in str(caught.value)
    assert torn(None).read() == b"before"
    RemotePath("torn://bucket/far").remove_temporary()
    assert RemotePath("torn://bucket/far").listing() == ["a.txt"]


STEPS: dict[str, tuple[Callable[[RemotePath], object], type[TrsrError]]] = {
    "info": (lambda file: file.exists(), DataError),
    "ls": (lambda file: RemotePath("torn://bucket/far").listing(), DataError),
    "open": (lambda file: file.read(), DataError),
    "read": (lambda file: file.read(), DataError),
    "rm_file": (lambda file: RemotePath("torn://bucket/far").remove_temporary(), TrsrError),
}


@pytest.mark.parametrize("step", STEPS)
def test_whatever_a_library_raises_is_one_line_with_the_address(
    torn: Callable[[str | None], RemotePath], step: str
) -> None:
    torn(None).write(bytes(3_000_000))
    RemotePath(f"torn://bucket/far/.a.01234567{remote.TEMPORARY}").write(b"")
    act, kind = STEPS[step]
    with pytest.raises(kind, match=r"^torn://bucket/far\S*: cannot be (read|written): ") as caught:
        act(torn(step))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "package", "hint"),
    [
        ("s3://bucket/a", "s3fs", "pip install 'trsr-lite[s3]'"),
        ("gs://bucket/a", "gcsfs", "pip install 'trsr-lite[gcs]'"),
        ("abfs://box/a", "adlfs", None),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, address: str, package: str, hint: str | None
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for act in (RemotePath.exists, RemotePath.read, RemotePath.listing, lambda place: place.write(b"")):
        with pytest.raises(SettingsError, match=rf"^{address}: .*[Ii]nstall {package}") as caught:
            act(RemotePath(address))
        assert caught.value.hint == hint


def test_an_unknown_kind_of_address_is_said() -> None:
    with pytest.raises(DataError, match=r"^gopher://there/a: no such kind of address: Protocol not known: gopher"):
        RemotePath("gopher://there/a").read()


def test_what_an_address_asks_for_stays_behind_its_parts() -> None:
    folder = RemotePath("s3://bucket/out?region=eu-west-1")
    assert str(folder / "batch.json") == "s3://bucket/out/batch.json?region=eu-west-1"
    assert (folder / "batch.json").name == "batch.json" and folder.name == "out"
    assert users.source("s3://bucket/users.jsonl?scheme=http").suffix == users.source("users.jsonl").suffix
    assert str(RemotePath("a?b") / "c") == "a?b/c"  # of this machine, that is a name like another


def test_what_an_address_asks_for_reaches_its_store(monkeypatch: pytest.MonkeyPatch, place: RemotePath) -> None:
    asked: dict[str, Any] = {}
    Torn.clear_instance_cache()
    monkeypatch.setattr(Torn, "__init__", lambda self, **options: asked.update(options))
    RemotePath("torn://b/a?region=eu&anon=true&scheme=http&endpoint_override=here:9000&profile=me").exists()
    assert asked == {
        "client_kwargs": {"region_name": "eu"},
        "endpoint_url": "http://here:9000",
        "anon": True,
        "profile": "me",
        "use_listings_cache": False,
    }
    Torn.clear_instance_cache()


def test_an_address_is_not_locked(place: RemotePath) -> None:
    with lock.held(place), lock.held(place):
        assert place.listing() == []
