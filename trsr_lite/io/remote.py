"""Files by path or by address: a local path, or anything that `pyarrow.fs` opens, such as `s3://bucket/users.parquet`.

Invariant: a file that is written here appears whole or not at all: it is written under a temporary name, then renamed.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trsr_lite.errors import DataError, SettingsError, TrsrError
from trsr_lite.io import files, parquet

TEMPORARY = ".tmp"
_OURS = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")  # and no other hidden file
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
            file = Path(self.address).open("rb") if self.is_local else self._remote_file()  # noqa: SIM115
        except IsADirectoryError:
            raise DataError(f"{self}: is a folder, not a file") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise DataError(f"{self}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
        with file:
            yield file

    def exists(self) -> bool:
        """Whether there is such a file."""
        with self._looking():
            if self.is_local:
                return Path(self.address).exists()
            system, path = self._remote()
            return bool(system.get_file_info(path).is_file)

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
            from pyarrow.fs import FileSelector

            system, path = self._remote()
            found = system.get_file_info(FileSelector(path, allow_not_found=True))
            return sorted(entry.base_name for entry in found)

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
            raise TrsrError(
                f"{self}: cannot be written: {error.strerror or error}", hint=files.advice(error, room)
            ) from error

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
            yield
        except OSError as error:
            raise DataError(f"{self}: cannot be read: {error.strerror or error}") from error

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
        system, path = self._remote()
        _, temporary = self._temporary._remote()
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            system.create_dir(path.rpartition("/")[0], recursive=True)
            with system.open_output_stream(temporary) as stream:
                shutil.copyfileobj(file, stream, 1 << 20)
        system.move(temporary, path)

    def _remove(self) -> None:
        if self.is_local:
            Path(self.address).unlink(missing_ok=True)
        else:
            system, path = self._remote()
            system.delete_file(path)

    def _remote(self) -> tuple[Any, str]:
        fs = parquet.module("pyarrow.fs", f"{self}: opening it")
        try:
            system, path = fs.FileSystem.from_uri(self.address)
        except (ValueError, OSError) as error:
            raise DataError(f"{self}: no such kind of address: {error}") from error
        return system, path

    def _remote_file(self) -> Any:
        system, path = self._remote()
        return io.BufferedReader(system.open_input_file(path), 1 << 20)
