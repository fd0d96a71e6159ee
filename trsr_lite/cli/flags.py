"""Command-line flags from the fields of a dataclass, and the flags that several commands share.

Invariant: a flag's name, kind, bounds, choices and help are those of its field (see `trsr_lite.options`). Only what was
given is passed on, so that a default is applied in one place. `TRSR_LITE_<NAME>` and the config file set what is
`shared`, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from trsr_lite import options
from trsr_lite.cli.manual import HeadedOption
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.options import Option
from trsr_lite.settings import RankOptions, Settings

if TYPE_CHECKING:
    _NamesType = click.ParamType[tuple[str, ...]]
    _NumberType = click.ParamType[float]
    _AnyType = click.ParamType[Any]
else:
    _NamesType = _NumberType = _AnyType = click.ParamType  # generic from click 8.4 on only

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CONFIGURABLE: dict[str, str] = {}
"""Names that a config file may set, and the parameter of each."""

DEFAULT_MODEL = os.environ.get("TRSR_LITE_DEFAULT_MODEL", "smollm2")
"""A program that brings its own model says so there: what its user has chosen in any other way comes first."""

SETTING_NAMES = ("strategy", "domain", "attributes", "prompt_tokens")
RANKING_NAMES = ("signals", "rerank")  # settings of commands that rank
SHORT = 4  # choices that stand in the flag's own line; more stand in its help


class Names(_NamesType):
    """Words separated by commas, as a tuple."""

    name = "a,b,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """What stands between commas."""
        return tuple(part.strip() for part in value.split(",") if part.strip())


class Parsed(_AnyType):
    """A text that an option reads in a way of its own."""

    name = "text"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the option makes of it; raises what it raises."""
        return self.parse(value)


class Number(_NumberType):
    """A number within the bounds of its option."""

    name = "n"

    def __init__(self, kind: type[int] | type[float], of: Option) -> None:
        self.kind, self.of = kind, of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error where it is none, or out of bounds."""
        try:
            number = self.kind(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {'integer' if self.kind is int else 'number'}.", param, ctx)
        if fault := self.of.fault(number):
            self.fail(f"{number} {fault}.", param, ctx)
        return number


def flag(*names: str, shared: bool = False, **attributes: Any) -> Callable[[F], F]:
    """A flag of a command; one that is `shared` can be set by `TRSR_LITE_<NAME>` and the config file too."""
    if shared:
        name = next(name for name in names if name.startswith("--")).lstrip("-")
        CONFIGURABLE[name] = names[-1].lstrip("-").replace("-", "_")
        own = f"TRSR_LITE_{name.upper().replace('-', '_')}"
        attributes["envvar"] = [own, *attributes.get("envvar", ())]
    return click.option(*names, cls=HeadedOption, **attributes)


def fields(
    kind: type,
    *names: str,
    skip: Collection[str] = (),
    unset: Mapping[str, str] | str | None = None,
    heading: str | None = None,
    shared: bool = False,
    required: bool = True,
) -> Callable[[F], F]:
    """One flag for each field of a dataclass, or for those of these names.

    `unset` is what holds without the flag, where that is not the field's default; `heading` is another than its own.
    With `required` False, a field without a default may be missing too.
    """
    # Made at once, not when a command is decorated: the config file knows shared names before any command is loaded.
    made: list[Callable[[F], F]] = []
    above = ""
    for name, known in options.known_options(kind).items():
        above = options.of(known).heading or above
        if name not in skip and (not names or name in names):
            instead = unset.get(name) if isinstance(unset, Mapping) else unset
            made.append(_flag(known, instead, heading or above, shared, required))
    return together(*made)


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several flags as one decorator, in this order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def _flag(known: Field[Any], unset: str | None, heading: str, shared: bool, required: bool) -> Callable[[F], F]:
    one, kind = options.of(known), str(known.type)
    spelled = f"--{one.flag or known.name.replace('_', '-')}"
    names = [*([one.short] if one.short else []), spelled, known.name]
    required = required and known.default is MISSING
    more: dict[str, Any] = {"shared": shared, "heading": heading, "help": one.help}
    if kind == "bool":
        if known.default is True:
            names[-2] = f"{spelled}/--no-{spelled.removeprefix('--')}"
        return flag(*names, is_flag=True, default=None, **more)
    listed = len(one.choices) > SHORT
    default = _default(known) if unset is None else unset
    more["help"] += f" Choose from {', '.join(one.choices)}." * listed + f"  [default: {default}]" * bool(default)
    if one.repeat:
        return flag(
            *names, multiple=True, metavar=one.metavar, callback=lambda _ctx, _param, given: given or None, **more
        )
    return flag(*names, type=_type(kind, one), metavar=one.metavar, required=required, **more)


def _default(known: Field[Any]) -> str:
    value = known.default
    if value in (None, (), MISSING):
        return options.of(known).unset
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(kind: str, one: Option) -> click.ParamType[Any]:
    if one.parse is not None:
        return Parsed(one.parse)
    if kind.startswith("tuple"):
        return Names()
    if one.choices:
        return click.Choice(one.choices)
    numbers: dict[str, type[int] | type[float]] = {"int": int, "float": float}
    name = kind.partition(" | ")[0]
    return Number(numbers[name], one) if name in numbers else click.STRING


# Flags that several commands share


def typed(name: str) -> bool:
    """Whether a flag was typed: the environment and a config file may serve several commands."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def given(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The flags that have a value."""
    return {name: value for name, value in chosen.items() if value is not None}


def apart(chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flags that were typed, and those that the environment or a config file has set."""
    values = given(chosen)
    return (
        {name: value for name, value in values.items() if typed(name)},
        {name: value for name, value in values.items() if not typed(name)},
    )


def taken(kind: type[T], chosen: dict[str, Any]) -> T:
    """A dataclass of the flags that were made of it, which are taken out of `chosen`."""
    names = [name for name in options.known_options(kind) if name in chosen]
    return options.make(kind, given({name: chosen.pop(name) for name in names}))


def usual_model(context: click.Context) -> str:
    """The model of the environment or the config file, for a command that takes models in its own way."""
    return os.environ.get("TRSR_LITE_MODEL") or context.lookup_default("model") or DEFAULT_MODEL


def _columns(text: str) -> dict[str, str]:
    from trsr_lite.imports.read import columns

    return columns(text)


_MACHINE = "Machine"

user = together(
    flag(
        "--user",
        "user_file",
        required=True,
        metavar="FILE",
        help="User with `history` (oldest first), JSON or JSON Lines; or a table or export. `-` is stdin.",
    ),
    flag(
        "--map",
        "columns",
        type=Parsed(_columns),
        metavar="ROLE=NAME,…",
        help="Columns of a table: title, time, rating, id, or any attribute.  [default: by their names]",
    ),
    flag("--user-id", metavar="ID", help="Which user of a file with several."),
    flag("--sort-history", is_flag=True, help="Sort the history by time. Without it, an unsorted history is an error."),
)
candidates = flag(
    "--candidates",
    "candidate_file",
    metavar="FILE",
    help="Items to rank: JSON, JSON Lines, a table or an export.  [default: `candidates` of the user]",
)
model = flag(
    "-m",
    "--model",
    shared=True,
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    help="A bundle folder, a .gguf file, or user/repo[:TYPE] on the hub.",
)
settings = fields(
    Settings,
    *SETTING_NAMES,
    shared=True,
    unset={
        "strategy": "the model's",
        "domain": "the model's, else item",
        "attributes": "the model's, else all",
        "prompt_tokens": f"the model's, else {Settings.prompt_tokens}",
    },
)
ranking = fields(
    Settings,
    *RANKING_NAMES,
    shared=True,
    unset={"signals": "the model's, else all", "rerank": "the model's, else 0"},
)
top = fields(RankOptions, "k", shared=True)
exact = fields(RankOptions, "exact")
offline = flag(
    "--offline",
    shared=True,
    envvar=["HF_HUB_OFFLINE"],
    is_flag=True,
    help="Never open a network connection.",
    heading=_MACHINE,
)
machine = together(fields(EngineOptions, shared=True, heading=_MACHINE), offline)
unload_after = flag(
    "--unload-after",
    shared=True,
    type=Number(float, Option("", above=0)),
    metavar="SECONDS",
    help="Free models that are idle for this long.  [default: never]",
    heading=_MACHINE,
)
cache_dir = flag(
    "--cache-dir",
    shared=True,
    metavar="DIR",
    help="Where summaries are kept.  [default: the system's cache folder]",
    heading=_MACHINE,
)
cache_size = flag(
    "--cache-size",
    shared=True,
    type=Number(int, Option("", at_least=0)),
    metavar="MB",
    help="Most megabytes of the file of summaries and stored margins; 0 stores no margins.  [default: 256]",
    heading=_MACHINE,
)
data_dir = flag(
    "--data-dir",
    shared=True,
    metavar="DIR",
    help="Where the prepared default model is kept.  [default: the system's data folder]",
    heading=_MACHINE,
)
folders = together(cache_dir, data_dir)
as_json = flag("--json", "as_json", is_flag=True, help="Print JSON, with a schema number.")
