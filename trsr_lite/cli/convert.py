"""`trsr-lite convert`: a run to a bundle, or one step of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from trsr_lite.cli import fields, options
from trsr_lite.conversion.options import CHOICES, ConvertOptions
from trsr_lite.engine.interface import FILE_TYPES
from trsr_lite.errors import SettingsError, VerificationError
from trsr_lite.io import files

WHOLE = "bundle"
WHAT = ("recommender_type", "summarizer", "summarizer_type", "adapter_only")  # all but the limits of verification


class StepGroup(click.Group):
    """`convert RUN …` is `convert bundle RUN …`; a step is named first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command before anything that is not a step."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [WHOLE, *args]
        return super().parse_args(ctx, args)


@click.group("convert", cls=StepGroup)
def command() -> None:
    """Turn a training run into a bundle: merge, GGUF, quantize, verify.

    `trsr-lite convert RUN --output BUNDLE` does everything; each step is a command of its own, too.
    """


llama_cpp = click.option(
    "--llama-cpp", metavar="DIR", help="A llama.cpp checkout whose converter is used [default: the installed version's]"
)
output = click.option("--output", required=True, metavar="PATH", help="What is written.")
force = click.option("--force", is_flag=True, help="Replace an existing output.")


@command.command(WHOLE)
@click.argument("run")
@output
@force
@fields.options(ConvertOptions, choices=CHOICES)
@llama_cpp
@options.folders
@options.offline
@options.as_json
def whole(run: str, output: str, force: bool, llama_cpp: str | None, as_json: bool, **chosen: Any) -> None:
    """Convert RUN to a bundle and verify it; finished steps are kept if it is stopped."""
    import platformdirs

    from trsr_lite.cli import session, tables

    folders = {name: chosen.pop(name) for name in ("cache_dir", "data_dir", "offline")}
    convert, asked = _library("convert"), _given(chosen)
    with (
        session.interruptible("finished steps are kept, and the same command goes on"),
        session.reporting(log=True),
    ):
        conversion = convert.Conversion(
            Path(run),
            Path(output),
            lambda: _converter(llama_cpp, folders),
            asked,
            force=force,
            offline=folders["offline"],
            data_dir=Path(folders["data_dir"] or platformdirs.user_data_dir("trsr-lite", False)),
            on_step=lambda step: click.echo(f"… {step}", err=True),
        )
        for number, step in enumerate(conversion.steps(), 1):
            click.echo(f"{number}. {step}", err=True)
        with _failed_report(as_json):
            bundle = conversion.convert()
    if as_json:
        tables.print_json(bundle.to_dict())
    else:
        tables.print_conversion(bundle, tables.console())


@command.command("merge")
@click.argument("run")
@output
@force
@options.offline
def merge(run: str, output: str, force: bool, offline: bool) -> None:
    """Merge the adapter of RUN into its base, in float32, as a Hugging Face folder."""
    target = _free(output, force, model_folder=True)
    merging = _library("merge")
    with files.checked(target):
        merging.merge_run(Path(run), target, offline=offline)
    click.echo(target)


@command.command("gguf")
@click.argument("model")
@output
@force
@click.option(
    "--type",
    "file_type",
    type=click.Choice(["F16", "BF16", "F32"]),
    default="F16",
    show_default=True,
    help="Floating-point type of the tensors.",
)
@llama_cpp
@options.folders
@options.offline
def gguf(model: str, output: str, force: bool, file_type: str, llama_cpp: str | None, **folders: Any) -> None:
    """Write the Hugging Face folder MODEL as GGUF with llama.cpp's own converter."""
    target, step = _free(output, force), _library("gguf")
    step.check_folder(Path(model))
    converter = _converter(llama_cpp, folders)
    with files.checked(target):
        step.convert(converter, Path(model), target, file_type)
    click.echo(target)


@command.command("quantize")
@click.argument("model")
@output
@force
@click.option("--type", "file_type", type=click.Choice(FILE_TYPES), required=True, help="Tensor type, such as Q8_0.")
def quantize(model: str, output: str, force: bool, file_type: str) -> None:
    """Write the floating-point GGUF MODEL with another tensor type, and show the types of its tensors."""
    from trsr_lite.cli import tables

    target, step = _free(output, force), _library("gguf")
    with files.checked(target):
        step.quantize(Path(model), target, file_type)
    tables.print_facts(str(target), step.tensor_types(target).items(), tables.console())


@command.command("verify")
@click.argument("model")
@click.option("--run", required=True, metavar="RUN", help="The run that MODEL was made from.")
@fields.options(ConvertOptions, choices=CHOICES, skip=WHAT)
@options.offline
@options.as_json
def verify(model: str, run: str, offline: bool, as_json: bool, **limits: Any) -> None:
    """Compare the ranking of MODEL (a bundle or a .gguf file) with that of RUN; exit 5 if it did not survive."""
    verification = _library("verify")
    with _failed_report(as_json):
        report = verification.prove(Path(model), Path(run), _given(limits), offline=offline)
    _print_report(report, as_json)


@contextmanager
def _failed_report(as_json: bool) -> Iterator[None]:
    """Where the ranking did not survive, its comparisons come before the error."""
    try:
        yield
    except VerificationError as error:
        if error.report:
            _print_report(error.report, as_json)
        raise


def _print_report(report: Mapping[str, Any], as_json: bool) -> None:
    from trsr_lite.cli import tables

    if as_json:
        tables.print_json({"schema": 1, **report})
    else:
        tables.print_comparisons(report["steps"], tables.console())


def _given(chosen: Mapping[str, Any]) -> ConvertOptions:
    """Options that were given; the others have their defaults."""
    return ConvertOptions(**{name: value for name, value in chosen.items() if value is not None})


def _library(name: str) -> Any:
    """A module of `conversion`, or how to get what it needs."""
    import importlib
    import os

    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        return importlib.import_module(f"trsr_lite.conversion.{name}")
    except ImportError as error:
        raise SettingsError(f"conversion needs {error.name}", hint="pip install 'trsr-lite[train]'") from error


def _converter(folder: str | None, folders: dict[str, Any]) -> Any:
    import platformdirs

    cache = Path(folders["cache_dir"] or platformdirs.user_cache_dir("trsr-lite", False))
    return _library("llama_cpp_scripts").find(Path(folder) if folder else None, cache, offline=folders["offline"])


def _is_model(folder: Path) -> bool:
    """Whether a folder is what `merge` writes; `config.json` alone may be anybody's."""
    return all((folder / name).is_file() for name in ("config.json", "tokenizer_config.json")) and any(
        folder.glob("*.safetensors")
    )


def _free(path: str, force: bool, *, model_folder: bool = False) -> Path:
    """An output that may be written; `--force` replaces what this step writes, and nothing else."""
    target = Path(path)
    with files.granted(target, "looked at", hint="name another"):
        if not target.exists():
            return target
        if not force:
            raise SettingsError(f"{path}: already exists", hint="replace it with `--force`, or name another")
        if not (_is_model(target) if model_folder else target.is_file()):
            what = "a model folder" if model_folder else "a file"
            raise SettingsError(f"{path}: is not {what}, so `--force` does not replace it", hint="name another")
        return target
