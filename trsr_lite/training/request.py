"""`train`: a run from keywords, named as the flags of `trsr-lite train`.

Keywords, a preset and the run that is resumed become `TrainOptions`, `Settings` and the data's options. Invariant: a
keyword that would change nothing is refused before anything is read. It imports no torch: `train.train` does the work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trsr_lite.datasets import data_options
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.errors import SettingsError
from trsr_lite.options import known_options, make, one_of, refuse_unknown
from trsr_lite.results import OnEvent, OnProgress
from trsr_lite.settings import Settings
from trsr_lite.training import run_dir, train_options
from trsr_lite.training.train_options import PairOptions, TrainOptions

if TYPE_CHECKING:
    from trsr_lite.training.train_result import TrainResult

T = TypeVar("T")

PRESETS = ("paper",)
# The authors merge all block summaries in one prompt, and rank by the model alone.
PAPER_SETTINGS = {"ragged": True, "fan_in": 8, "grounded": False, "signals": ("model",)}
PAPER_ATTRIBUTES = {"mind": ("category", "subcategory", "title")}  # of Amazon-M2, all
NAMES = frozenset(name for kind in (TrainOptions, Settings, DataOptions, PairOptions) for name in known_options(kind))
_OF_DATA = frozenset(known_options(DataOptions)) - {"seed", "validation"}
_OF_LISTS = ("summarizer", "objective", "answer_weight", "drop_summaries", "content_free", "whole_text")


def train(
    output: str | Path,
    *,
    preset: str | None = None,
    resume: bool = False,
    force: bool = False,
    offline: bool = False,
    cache_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    machine: EngineOptions | None = None,
    defaults: Mapping[str, Any] | None = None,
    progress: OnProgress | None = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> TrainResult:
    """Fine-tune a model into the folder `output`, as `trsr-lite train` does; needs the extra `train`.

        result = trsr_lite.train("runs/news", dataset="mind", data="mind/train", epochs=2)
        print(result.best["recall@3"])

    Started with `torchrun`, every process calls this alike.

    Keywords
    --------
    output: folder of the run.
    preset: "paper" takes the authors' protocol for all that is not given.
    resume: continue a stopped run with its own options; none need be given.
    force: replace an existing run.
    offline: open no network connection.
    cache_dir: where summaries are kept; the system's cache folder without it.
    data_dir: where the prepared default model is kept; the system's data folder without it.
    machine: how the summarizer runs.
    defaults: more options, such as those of a file: an option of the same name counts instead, and one that changes
        nothing is passed over where an option would be refused.
    progress: hears how far the summaries are.
    on_event: hears of the data that were read, of each step and each validation (see `results.OnEvent`).
    **options: fields of `TrainOptions`, `Settings` and `DataOptions` (of `PairOptions`, to train a summarizer).

    Raises `SettingsError` for an unknown option (the hint names the nearest), for options that contradict each other
    and where the extra is missing; `DataError` for data that cannot be used; `ModelError` for a base that cannot.
    """
    request = Request.of(output, options, defaults or {}, preset=preset, resume=resume)
    try:
        from trsr_lite.training import train as training
    except ImportError as error:
        raise SettingsError(f"training needs {error.name}", hint="pip install 'trsr-lite[train]'") from error
    return training.train(
        request.options,
        request.settings,
        request.data,
        output,
        resume=resume,
        force=force,
        offline=offline,
        cache_dir=cache_dir,
        data_dir=data_dir,
        machine=machine,
        progress=progress,
        on_event=on_event,
    )


@dataclass(frozen=True)
class Request:
    """What is trained, with which prompts, on which data."""

    options: TrainOptions
    settings: Settings
    data: DataOptions | PairOptions

    @classmethod
    def of(
        cls,
        output: str | Path,
        options: Mapping[str, Any],
        defaults: Mapping[str, Any],
        *,
        preset: str | None = None,
        resume: bool = False,
    ) -> Request:
        """From keywords; raises `SettingsError`."""
        refuse_unknown([*options, *defaults], NAMES)
        values = {**defaults, **options}
        if resume:
            config = run_dir.read(Path(output))["config"]
            values = {**config["options"], **config["settings"], **config["data"], **values}
        _refuse_idle(values, options)
        _check_source(values)
        if preset:
            values = {**_preset(preset, values), **values}
        if "pairs" not in values and "domain" not in values:
            values["domain"] = data_options.domain_of(values["dataset"])
        data: type[DataOptions | PairOptions] = PairOptions if values.get("pairs") else DataOptions
        return cls(_made(TrainOptions, values), _made(Settings, values), _made(data, values))


def _made(kind: type[T], values: Mapping[str, Any]) -> T:
    """The options of one kind among them."""
    return make(kind, {name: values[name] for name in known_options(kind) if name in values})


def _refuse_idle(values: Mapping[str, Any], asked: Collection[str]) -> None:
    """Raise `SettingsError` for an option that was asked for and would change nothing."""
    objective = values.get("objective", TrainOptions.objective)
    idle = [
        (values.get("role") == "summarizer", {*_OF_DATA, *_OF_LISTS}, "`--role summarizer`, which learns from pairs"),
        (values.get("full"), {"rank", "alpha", "dropout", "layers"}, "`--full`, which makes no adapter"),
        (values.get("whole_text"), {"objective", "answer_weight"}, "`--whole-text`, which is an objective of its own"),
        (objective != "both", {"answer_weight"}, f"`--objective {objective}`, which has one loss: it is for `both`"),
    ]
    for applies, names, why in idle:
        if applies and (found := [name for name in values if name in names and name in asked]):
            raise SettingsError(f"`--{found[0].replace('_', '-')}` changes nothing with {why}", hint="remove it")


def _check_source(values: Mapping[str, Any]) -> None:
    """Raise `SettingsError` unless a recommender has a data set, or a summarizer pairs."""
    if values.get("role") == "summarizer":
        if not values.get("pairs") or "dataset" in values:
            raise SettingsError("`--role summarizer` learns from `--pairs FILE`, and from no data set")
    elif values.get("pairs") or not ("dataset" in values and "data" in values):
        raise SettingsError(
            f"a recommender learns from `--dataset` and `--data`{', not from `--pairs`' * bool(values.get('pairs'))}",
            hint="a summarizer is trained with `--role summarizer --pairs FILE`",
        )


def _preset(preset: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The authors' protocol, for all that was not given."""
    one_of("preset", preset, PRESETS)
    if values.get("pairs"):
        raise SettingsError("the preset `paper` is for recommenders")
    return {
        **data_options.paper(values["dataset"]),
        **train_options.paper(),
        "whole_text": "objective" not in values,
        **PAPER_SETTINGS,
        "attributes": PAPER_ATTRIBUTES.get(values["dataset"], ()),
    }
