"""Text-rich sequential recommendation on your own machine.

    from trsr_lite import Recommender

    with Recommender.load("smollm2") as recommender:
        for entry in recommender.recommend(user, candidates, k=10):
            print(entry.rank, entry.item.title, entry.score)

`train`, `tune`, `convert` and `evaluate` are the commands of these names, with the same options as keywords. Names are
loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trsr_lite.cancellation import Cancellation as Cancellation
    from trsr_lite.catalog.build import CatalogChange as CatalogChange
    from trsr_lite.catalog.catalog import Catalog as Catalog
    from trsr_lite.catalog.retrieve_options import Retrieval as Retrieval
    from trsr_lite.conversion.convert_options import ConvertOptions as ConvertOptions
    from trsr_lite.conversion.request import convert as convert
    from trsr_lite.conversion.request import verify as verify
    from trsr_lite.datasets.data_options import DataOptions as DataOptions
    from trsr_lite.datasets.dataset import Example as Example
    from trsr_lite.engine.interface import EngineOptions as EngineOptions
    from trsr_lite.errors import Cancelled as Cancelled
    from trsr_lite.errors import Closed as Closed
    from trsr_lite.errors import DataError as DataError
    from trsr_lite.errors import ModelError as ModelError
    from trsr_lite.errors import SettingsError as SettingsError
    from trsr_lite.errors import StoreError as StoreError
    from trsr_lite.errors import TrsrError as TrsrError
    from trsr_lite.errors import VerificationError as VerificationError
    from trsr_lite.evaluation.evaluate import Evaluation as Evaluation
    from trsr_lite.evaluation.evaluate_options import EvaluateOptions as EvaluateOptions
    from trsr_lite.evaluation.lists import EvalLists as EvalLists
    from trsr_lite.evaluation.outcomes import ListOutcome as ListOutcome
    from trsr_lite.evaluation.request import evaluate as evaluate
    from trsr_lite.evaluation.tune import Tuned as Tuned
    from trsr_lite.evaluation.tune import tune as tune
    from trsr_lite.evaluation.tune_options import TuneOptions as TuneOptions
    from trsr_lite.models.bundle import Bundle as Bundle
    from trsr_lite.models.bundle import ModelFile as ModelFile
    from trsr_lite.models.calibration import Calibration as Calibration
    from trsr_lite.recommender.aio import run_async as run_async
    from trsr_lite.recommender.recommender import Recommender as Recommender
    from trsr_lite.recommender.user_files import read_candidates as read_candidates
    from trsr_lite.recommender.user_files import read_user as read_user
    from trsr_lite.recommender.user_files import read_users as read_users
    from trsr_lite.records import Item as Item
    from trsr_lite.records import User as User
    from trsr_lite.results import Progress as Progress
    from trsr_lite.results import Recommendation as Recommendation
    from trsr_lite.results import Result as Result
    from trsr_lite.results import Skipped as Skipped
    from trsr_lite.results import Stats as Stats
    from trsr_lite.results import Summary as Summary
    from trsr_lite.results import SummaryNode as SummaryNode
    from trsr_lite.settings import Settings as Settings
    from trsr_lite.testing import FakeEngine as FakeEngine
    from trsr_lite.training.request import train as train
    from trsr_lite.training.train_options import PairOptions as PairOptions
    from trsr_lite.training.train_options import TrainOptions as TrainOptions
    from trsr_lite.training.train_result import TrainResult as TrainResult

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "models.bundle",
    "Calibration": "models.calibration",
    "Cancellation": "cancellation",
    "Cancelled": "errors",
    "Catalog": "catalog.catalog",
    "CatalogChange": "catalog.build",
    "Closed": "errors",
    "ConvertOptions": "conversion.convert_options",
    "DataError": "errors",
    "DataOptions": "datasets.data_options",
    "EngineOptions": "engine.interface",
    "EvalLists": "evaluation.lists",
    "EvaluateOptions": "evaluation.evaluate_options",
    "Evaluation": "evaluation.evaluate",
    "Example": "datasets.dataset",
    "FakeEngine": "testing",
    "Item": "records",
    "ListOutcome": "evaluation.outcomes",
    "ModelError": "errors",
    "ModelFile": "models.bundle",
    "PairOptions": "training.train_options",
    "Progress": "results",
    "Recommendation": "results",
    "Recommender": "recommender.recommender",
    "Result": "results",
    "Retrieval": "catalog.retrieve_options",
    "Settings": "settings",
    "SettingsError": "errors",
    "Skipped": "results",
    "Stats": "results",
    "StoreError": "errors",
    "Summary": "results",
    "SummaryNode": "results",
    "TrainOptions": "training.train_options",
    "TrainResult": "training.train_result",
    "TrsrError": "errors",
    "TuneOptions": "evaluation.tune_options",
    "Tuned": "evaluation.tune",
    "User": "records",
    "VerificationError": "errors",
    "convert": "conversion.request",
    "evaluate": "evaluation.request",
    "read_candidates": "recommender.user_files",
    "read_user": "recommender.user_files",
    "read_users": "recommender.user_files",
    "run_async": "recommender.aio",
    "train": "training.request",
    "tune": "evaluation.tune",
    "verify": "conversion.request",
}

__all__ = sorted(["__version__", *_HOMES])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
