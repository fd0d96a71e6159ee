"""Text-rich sequential recommendation on your own machine.

    from trsr_lite import Recommender

    with Recommender.load("smollm2") as recommender:
        result = recommender.recommend(user, candidates, k=10)

Names are loaded when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trsr_lite.cancellation import Cancellation as Cancellation
    from trsr_lite.catalog.catalog import Catalog as Catalog
    from trsr_lite.catalog.retrieval import Retrieval as Retrieval
    from trsr_lite.engine.interface import EngineOptions as EngineOptions
    from trsr_lite.errors import Cancelled as Cancelled
    from trsr_lite.errors import Closed as Closed
    from trsr_lite.errors import DataError as DataError
    from trsr_lite.errors import ModelError as ModelError
    from trsr_lite.errors import SettingsError as SettingsError
    from trsr_lite.errors import StoreError as StoreError
    from trsr_lite.errors import TrsrError as TrsrError
    from trsr_lite.errors import VerificationError as VerificationError
    from trsr_lite.recommender.aio import run_async as run_async
    from trsr_lite.recommender.recommender import Recommender as Recommender
    from trsr_lite.records import Item as Item
    from trsr_lite.records import User as User
    from trsr_lite.records import read_candidates as read_candidates
    from trsr_lite.records import read_user as read_user
    from trsr_lite.records import read_users as read_users
    from trsr_lite.results import Progress as Progress
    from trsr_lite.results import Recommendation as Recommendation
    from trsr_lite.results import Result as Result
    from trsr_lite.settings import Settings as Settings
    from trsr_lite.testing import FakeEngine as FakeEngine

__version__ = "0.1.0"

_HOMES = {
    "Cancellation": "cancellation",
    "Cancelled": "errors",
    "Catalog": "catalog.catalog",
    "Closed": "errors",
    "DataError": "errors",
    "EngineOptions": "engine.interface",
    "FakeEngine": "testing",
    "Item": "records",
    "ModelError": "errors",
    "Progress": "results",
    "Recommendation": "results",
    "Recommender": "recommender.recommender",
    "Result": "results",
    "Retrieval": "catalog.retrieval",
    "Settings": "settings",
    "SettingsError": "errors",
    "StoreError": "errors",
    "TrsrError": "errors",
    "User": "records",
    "VerificationError": "errors",
    "read_candidates": "records",
    "read_user": "records",
    "read_users": "records",
    "run_async": "recommender.aio",
}

__all__ = [
    "Cancellation",
    "Cancelled",
    "Catalog",
    "Closed",
    "DataError",
    "EngineOptions",
    "FakeEngine",
    "Item",
    "ModelError",
    "Progress",
    "Recommendation",
    "Recommender",
    "Result",
    "Retrieval",
    "Settings",
    "SettingsError",
    "StoreError",
    "TrsrError",
    "User",
    "VerificationError",
    "__version__",
    "read_candidates",
    "read_user",
    "read_users",
    "run_async",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
