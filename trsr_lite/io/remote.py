"""Files by path or by address: a local path, or anything that fsspec opens, such as `s3://bucket/users.parquet`.

Invariant: a file that is written here appears whole or not at all: it is written under a temporary name, then renamed.
Stores that show an object only when all of it is there need no such name. Whatever a store's library raises ends as one
line.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl

from trsr_lite.errors import DataError, SettingsError, TrsrError
from trsr_lite.io import files

TEMPORARY = ".tmp"
_OURS = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # and no other hidden file
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # scheme -> extra of this package
BLOCK = 1 << 20  # bytes that are read at once
_ROOM = "what is there is kept: make room, then run the same command with `--resume`"


@dataclass(frozen=True)
class RemotePath:
    """A file or folder."""

    address: str

    @property
    def is_local(self) -> bool:
        """Whether this is a path of this machine."""
        return "://" not in self.address

    @property
    def name(self) -> str:
        """The last part."""
        return self._path.rstrip("/").rsplit("/", 1)[-1]

    def __truediv__(self, name: str) -> RemotePath:
        return self._with(f"{self._path.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.address

    def absolute(self) -> RemotePath:
        """The same place for a process that was started in another folder."""
        return RemotePath(str(Path(self.address).resolve())) if self.is_local else self

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file, for reading; raises `DataError` where it cannot be."""
        try:
            file = Path(self.address).open("rb") if self.is_local else self._stream()  # noqa: SIM115
        except IsADirectoryError:
            raise DataError(f"{self}: is a folder, not a file") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise DataError(f"{self}: cannot be read: {_said(error)}") from error
        with file:
            yield file

    def exists(self) -> bool:
        """Whether there is such a file."""
        with self._looking():
            if self.is_local:
                return Path(self.address).exists()
            system, path = self._remote()
            try:
                return bool(system.info(path)["type"] == "file")
            except FileNotFoundError:
                return False

    def read(self) -> bytes:
        """The whole content."""
        with self.open() as file:
            return file.read()

    def listing(self) -> list[str]:
        """Names in the folder, sorted; none where it does not exist."""
        with self._looking():
            if self.is_local:
                folder = Path(self.address)
                if folder.exists() and not folder.is_dir():
                    raise SettingsError(f"{self}: is a file, not a folder", hint="name another folder")
                return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
            system, path = self._remote()
            try:
                found = {entry["name"].rstrip("/"): entry["type"] for entry in system.ls(path, detail=True)}
            except FileNotFoundError:
                return []
            if found.pop(path.rstrip("/"), None) == "file" and not found:
                raise SettingsError(f"{self}: is a file, not a folder", hint="name another folder")
            return sorted(name.rpartition("/")[2] for name in found)

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """A file to write, which gets its name when the block ends without an error."""
        with self.mapped(), self._local_file() if self.is_local else self._sent_file() as file:
            yield file

    def write(self, content: bytes) -> None:
        """Write the file whole."""
        with self.writing() as file:
            file.write(content)

    @contextlib.contextmanager
    def mapped(self, room: str = _ROOM) -> Iterator[None]:
        """What the system refuses within this block becomes `TrsrError`; `room` is the hint for a disk that is full."""
        try:
            yield
        except OSError as error:
            raise TrsrError(f"{self}: cannot be written: {_said(error)}", hint=files.advice(error, room)) from error

    def remove_temporary(self) -> None:
        """Delete what writers that were killed have left in this folder."""
        with self.mapped():
            for name in self.listing():
                if _OURS.fullmatch(name):
                    (self / name)._remove()

    # Inside

    @property
    def _temporary(self) -> RemotePath:
        folder, _, name = self._path.rpartition("/")
        return self._with(f"{folder}/.{name}.{secrets.token_hex(4)}{TEMPORARY}")

    @property
    def _path(self) -> str:
        """Without what an address may ask for behind a question mark, such as a region."""
        return self.address if self.is_local else self.address.partition("?")[0]

    def _with(self, path: str) -> RemotePath:
        return RemotePath(f"{path}{self.address[len(self._path) :]}")

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        try:
            with _foreign():
                yield
        except OSError as error:
            raise DataError(f"{self}: cannot be read: {_said(error)}") from error

    @contextlib.contextmanager
    def _local_file(self) -> Iterator[BinaryIO]:
        target, temporary = Path(self.address), Path(self._temporary.address)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _sent_file(self) -> Iterator[BinaryIO]:
        """A local file that is sent at the end: a stream to a store commits whatever it has when it is closed."""
        from fsspec import AbstractFileSystem

        system, path = self._remote()
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole"
            with whole.open("wb") as file:
                yield file
            with _foreign():
                if type(system).mv is AbstractFileSystem.mv:  # no rename of its own, but objects that come whole
                    system.put_file(str(whole), path)
                else:
                    _, temporary = self._temporary._remote()
                    system.makedirs(path.rpartition("/")[0], exist_ok=True)
                    system.put_file(str(whole), temporary)
                    system.mv(temporary, path)

    def _remove(self) -> None:
        if self.is_local:
            Path(self.address).unlink(missing_ok=True)
        else:
            system, path = self._remote()
            with _foreign():
                system.rm_file(path)

    def _remote(self) -> tuple[Any, str]:
        """The file system and the path in it. Listings are not cached: other workers write there too."""
        from fsspec.core import url_to_fs

        scheme, _, rest = self.address.partition("://")
        asks = scheme not in ("http", "https")  # there a question mark is part of the path
        place, query = (self._path, rest.partition("?")[2]) if asks else (self.address, "")
        with _foreign():
            try:
                system, path = url_to_fs(place, use_listings_cache=False, **_options(query))
            except ImportError as error:
                hint = f"pip install 'trsr-lite[{EXTRAS[scheme]}]'" if scheme in EXTRAS else None
                raise SettingsError(f"{self}: {error}", hint=hint) from error
            except ValueError as error:
                raise DataError(f"{self}: no such kind of address: {error}") from error
        return system, path

    def _stream(self) -> io.BufferedReader:
        system, path = self._remote()
        with _foreign():
            return io.BufferedReader(_Stream(system.open(path, "rb"), self), BLOCK)


class _Stream(io.RawIOBase):
    """A file of a store, which raises `DataError` where it cannot be read on."""

    def __init__(self, file: Any, place: RemotePath) -> None:
        self._file, self._place = file, place

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """Whether the store can."""
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        """As of every file."""
        with self._place._looking():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of every file."""
        with self._place._looking():
            return int(self._file.seek(offset, whence))

    def close(self) -> None:
        """Give it back."""
        if not self.closed:
            self._file.close()
        super().close()


def _options(query: str) -> dict[str, Any]:
    """What an address asks of its store, as fsspec calls it; `region`, `scheme` and `endpoint_override` too."""
    words = {"true": True, "false": False}
    options: dict[str, Any] = {name: words.get(value, value) for name, value in parse_qsl(query)}
    region, scheme, host = (options.pop(name, None) for name in ("region", "scheme", "endpoint_override"))
    if region:
        options["client_kwargs"] = {"region_name": region}
    if host:
        options["endpoint_url"] = f"{scheme or 'https'}://{host}"
    return options


@contextlib.contextmanager
def _foreign() -> Iterator[None]:
    """Every library of a store raises its own; within this block they become `OSError`."""
    try:
        yield
    except (OSError, TrsrError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _said(error: OSError | ValueError) -> str:
    """What it says, in one line."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    bare = isinstance(error, FileNotFoundError) and " " not in text  # of some stores, the name alone
    return os.strerror(errno.ENOENT) if bare else text
