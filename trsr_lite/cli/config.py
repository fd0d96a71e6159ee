"""The config file and the log: what is set up before a command runs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trsr_lite.cli.flags import CONFIGURABLE
from trsr_lite.errors import SettingsError
from trsr_lite.options import refuse_unknown

LONGEST = 1 << 16  # bytes of a config file


def read_config(path: str | None) -> dict[str, Any]:
    """Option defaults from a flat TOML file; the user's own `config.toml` if `path` is None and it exists."""
    file = Path(path) if path else _default_file()
    if not path and not _is_there(file):
        return {}
    return read_options(file, CONFIGURABLE)


def of_command(file: Path, command: click.Command) -> dict[str, str]:
    """Options of one command from a flat TOML file, as they would be typed. A name may have `_` for `-`."""
    names = [str(parameter.name) for parameter in command.params]
    return read_options(file, {spelled: name for name in names for spelled in (name, name.replace("_", "-"))})


def read_options(file: Path, known: Mapping[str, str]) -> dict[str, str]:
    """Values by parameter, as a person would type them, of a flat TOML file with names that are `known`.

    Raises `SettingsError` for another name; its hint suggests the nearest.
    """
    data = _load(file)
    refuse_unknown(data, known, where=f"{file}: ")
    for name, value in data.items():
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value)):
            raise SettingsError(
                f"{file}: {name!r} holds other values; an option is one value, or a list of them",
                hint="write `name = value`, without `[sections]`",
            )
    return {known[name]: _as_typed(value) for name, value in data.items()}


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except PermissionError:  # of somebody else's home: a config file of this user is not there
        return False


def _load(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        if file.stat().st_size > LONGEST:
            raise SettingsError(f"{file}: has more than {LONGEST >> 10} KiB, which no file of options needs")
        data: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{file}: there is no such config file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: is not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from error
    except RecursionError as error:
        raise SettingsError(f"{file}: cannot be read: its values are nested too deeply") from error
    except (OSError, ValueError) as error:  # a whole number of too many digits is no fault of TOML
        raise SettingsError(f"{file}: cannot be read: {error}") from error
    return data


def _as_typed(value: Any) -> str:
    """A value as a person would type it on the command line, so that the option checks it."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_as_typed, value)) if isinstance(value, list) else str(value)


def set_up_logging(verbose: bool) -> None:
    """Warnings of the package to stderr, one line each; with `verbose`, everything, llama.cpp's log included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s" if verbose else "warning: %(message)s"))
    log = logging.getLogger("trsr_lite")
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING)
    logging.getLogger("trsr_lite.llama").setLevel(logging.DEBUG if verbose else logging.CRITICAL)


def _default_file() -> Path:
    import platformdirs

    return Path(platformdirs.user_config_dir("trsr-lite", False)) / "config.toml"
