"""An option is a field of a dataclass, written once: its default, what it may be, and its help.

    @dataclass(frozen=True)
    class AdapterOptions:
        rank: int = option("LoRA rank.", default=16, at_least=1)

        def __post_init__(self) -> None:
            check(self)

`check` and `make` judge values by it, and `cli.flags` makes command-line options of it. `--config` and keywords are
read by its name. Invariant: a field's kind is its annotation and nothing else; a message names the field and its value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

from trsr_lite.errors import SettingsError

SHOWN = 500  # characters of a value in a message
NAME = 64  # characters of an unknown name that are looked at: comparing takes memory for each
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "tuple[str, ...]": ((tuple, list), "a list of names"),
    "list[Any]": ((list,), "a list"),
    "Mapping[str, Any]": ((dict,), "an object"),
}
_KEY = "option"  # of a field's metadata

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """What an option is, beside its name, its kind and its default.

    Attributes
    ----------
    help: one or two sentences.
    choices: the words that it may be; of a list, each of its names.
    at_least, at_most: bounds that it may reach.
    above, below: bounds that it may not reach.
    unset: what holds where the default is None, such as "no limit".
    heading: the group that help shows it in; without one, that of the field before it.
    metavar: what help shows for its value.
    flag: its name on the command line, where that is not the field's, such as `--retrieve`.
    short: a second name there, such as `-k`.
    repeat: whether a list is given there by several flags instead of one with commas.
    parse: what reads the text of the flag, where it may be more than itself, such as the name of a file.
    """

    help: str
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    unset: str = ""
    heading: str = ""
    metavar: str | None = None
    flag: str | None = None
    short: str | None = None
    repeat: bool = False
    parse: Callable[[str], Any] | None = None

    def fault(self, value: Any) -> str | None:
        """Why a value of the right kind cannot be, as the end of a sentence; None where it can."""
        for name in value if isinstance(value, (tuple, list)) else [value]:
            if self.choices and name not in self.choices:
                return f"must be one of {', '.join(self.choices)}"
        fits = (  # NaN does not
            (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )
        return None if fits else f"must be {self._bounds()}"

    def _bounds(self) -> str:
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least:g} to {self.at_most:g}"
        words = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)


def option(help: str, *, default: Any = MISSING, **more: Any) -> Any:  # noqa: A002 - as click calls it
    """A field of an options dataclass; without a `default` it must be given. `more` are fields of `Option`."""
    return field(default=default, metadata={_KEY: Option(help, **more)})


def again(kind: type, name: str, *, default: Any = MISSING) -> Any:
    """A field that is the same option as the field `name` of another dataclass, with its default or another one."""
    known = known_options(kind)[name]
    return field(default=known.default if default is MISSING else default, metadata=known.metadata)


def known_options(kind: type) -> dict[str, Field[Any]]:
    """The fields of a dataclass that are options, by name; `of` gives the `Option` of one."""
    return {one.name: one for one in fields(kind) if _KEY in one.metadata}


def of(known: Field[Any]) -> Option:
    """The option that a field is."""
    found: Option = known.metadata[_KEY]
    return found


def check(options: Any) -> None:
    """Raise `SettingsError` for the first option of a dataclass that cannot be; None is allowed where annotated."""
    for known in known_options(type(options)).values():
        value: Any = getattr(options, known.name)
        kind, _, optional = str(known.type).partition(" | ")
        if value is None and optional:
            continue
        types, described = KINDS[kind]
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not fits:
            raise SettingsError(f"{known.name} is {_shown(value)}, which is not {described}")
        if kind.startswith("tuple") and not all(isinstance(name, str) and name for name in value):
            raise SettingsError(f"{known.name} are {_shown(value)}; each must be a name")
        if fault := of(known).fault(value):
            raise SettingsError(f"{known.name} is {_shown(value)}; it {fault}")


def make(kind: type[T], values: Mapping[str, Any], what: str = "option") -> T:
    """A dataclass from keywords or parsed JSON, where a list stands for a tuple.

    Raises `SettingsError` for a name that is missing, or for one that is unknown: it suggests the nearest. `what` is
    what a name is called then.
    """
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    refuse_unknown(values, known, what)
    for name, one in known.items():
        if name not in values and one.default is MISSING and one.default_factory is MISSING:
            raise SettingsError(f"the {what} {name!r} is missing")
    return kind(**{name: _as_kind(value, known[name]) for name, value in values.items()})


def refuse_unknown(names: Iterable[str], known: Collection[str], what: str = "option", *, where: str = "") -> None:
    """Raise `SettingsError` for the first name that is not known; its hint suggests the nearest."""
    for name in names:
        if name not in known:
            typed = str(name)[:NAME]
            near = nearest(typed, known)
            hint = f"did you mean `{near}`?" if near else None
            raise SettingsError(f"{where}there is no {what} {typed!r}", hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like one that is not, or None where none is like it."""
    import difflib

    return next(iter(difflib.get_close_matches(name, list(known), 1)), None)


def one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise `SettingsError` unless `value` is one of the allowed words."""
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


def _as_kind(value: Any, known: Field[Any]) -> Any:
    """JSON and TOML have lists where a field is a tuple."""
    return tuple(value) if isinstance(value, list) and str(known.type).startswith("tuple") else value


def _shown(value: Any) -> str:
    """A value for a message, whatever a program has sent."""
    try:
        return repr(value)[:SHOWN]
    except RecursionError:
        return "nested too deeply"
