"""Options that several commands share: each is spelled, documented and read from the environment in one place."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from trsr_lite.cli.fields import Names
from trsr_lite.settings import DOMAINS, STRATEGIES, TOP, Settings

F = TypeVar("F", bound=Callable[..., Any])

CONFIGURABLE: dict[str, str] = {}
"""Names that a config file may set, and the parameter of each."""

DEFAULT_MODEL = os.environ.get("TRSR_LITE_DEFAULT_MODEL", "smollm2")
"""A program that brings its own model says so there: what its user has chosen in any other way comes first."""

SETTING_NAMES = ("strategy", "domain", "attributes", "prompt_tokens")


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """A click option that `TRSR_LITE_<NAME>` and the config file can set too."""
    name = next(name for name in names if name.startswith("--")).lstrip("-")
    CONFIGURABLE[name] = names[-1].lstrip("-").replace("-", "_")
    variable = f"TRSR_LITE_{name.upper().replace('-', '_')}"
    return click.option(*names, envvar=variable, show_envvar=False, **attributes)


def _all(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


_defaults = Settings()

user = _all(
    click.option(
        "--user", "user_file", required=True, metavar="FILE", help="The user: JSON or JSON Lines; `-` is stdin."
    ),
    click.option("--user-id", metavar="ID", help="Which user of a file with several."),
    click.option("--sort-history", is_flag=True, help="Order the history by time instead of requiring that order."),
)


def typed(name: str) -> bool:
    """Whether an option was typed: the environment and a config file may serve several commands."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def usual_model(context: click.Context) -> str:
    """The model of the environment or the config file, for a command that takes models in a way of its own."""
    return os.environ.get("TRSR_LITE_MODEL") or context.lookup_default("model") or DEFAULT_MODEL


candidates = click.option(
    "--candidates", "candidate_file", metavar="FILE", help="Items to rank: JSON or JSON Lines [default: the user's own]"
)
model = option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    help="A bundle folder, a .gguf file or user/repo[:TYPE].",
)
settings = _all(
    option("--strategy", type=click.Choice(STRATEGIES), help="How block summaries are combined [default: the model's]"),
    option("--domain", type=click.Choice(DOMAINS), help="What the items are [default: the model's, else item]"),
    option(
        "--attributes",
        type=Names(),
        help="Attributes the model sees, in order [default: the model's, else all]",
    ),
    option(
        "--prompt-tokens",
        type=click.IntRange(min=256),
        help=f"Budget of a whole prompt [default: the model's, else {_defaults.prompt_tokens}]",
    ),
)
offline = option("--offline", is_flag=True, help="Never open a network connection.")
machine = _all(
    option("--threads", type=click.IntRange(min=1), help="CPU threads [default: physical cores this process may use]"),
    option("--gpu-layers", type=int, help="Layers on the GPU, -1 for all [default: all where supported]"),
    option("--ctx-size", type=click.IntRange(min=256), help="Most tokens of context [default: what the work needs]"),
    offline,
)
unload_after = option(
    "--unload-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Free models that are idle for so long [default: never]",
)
cache_dir = option("--cache-dir", metavar="DIR", help="Where summaries are kept [default: the system's cache folder]")
data_dir = option(
    "--data-dir", metavar="DIR", help="Where the prepared default model is kept [default: the data folder]"
)
folders = _all(cache_dir, data_dir)
top = option("-k", "--top", "k", type=click.IntRange(min=1), default=TOP, show_default=True, help="How many to show.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON (with a schema number).")
