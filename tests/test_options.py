"""Options: a field says once what it may be, and everything that reads values judges by it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import pytest

from trsr_lite import SettingsError
from trsr_lite.batch.batch_options import BatchOptions
from trsr_lite.catalog.retrieve_options import Retrieval
from trsr_lite.conversion.convert_options import ConvertOptions
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.engine.interface import EngineOptions
from trsr_lite.evaluation.evaluate_options import EvaluateOptions
from trsr_lite.options import Option, again, check, known_options, make, nearest, of, option
from trsr_lite.serve.methods import METHODS
from trsr_lite.settings import RankOptions, Settings
from trsr_lite.training.train_options import PairOptions, TrainOptions

KINDS = (
    *(Settings, RankOptions, EngineOptions, DataOptions, TrainOptions, PairOptions, ConvertOptions),
    *(EvaluateOptions, BatchOptions, Retrieval, *METHODS.values()),
)


@dataclass(frozen=True)
class Cake:
    layers: int = option("Layers.", at_least=1, at_most=9)
    sugar: float = option("Sugar.", default=0.5, above=0, below=1)
    glaze: str | None = option("Glaze.", default=None, choices=("lemon", "none"))
    nuts: tuple[str, ...] = option("Nuts.", default=(), choices=("almond", "pecan"))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Tart:
    layers: int = again(Cake, "layers", default=2)
    sugar: float = again(Cake, "sugar")

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"layers": 0}, "layers is 0; it must be from 1 to 9"),
        ({"layers": 10}, "layers is 10; it must be from 1 to 9"),
        ({"layers": True}, "layers is True, which is not a whole number"),
        ({"layers": None}, "layers is None, which is not a whole number"),
        ({"layers": 1, "sugar": 0}, "sugar is 0; it must be above 0 and below 1"),
        ({"layers": 1, "sugar": 1.0}, "sugar is 1.0; it must be above 0 and below 1"),
        ({"layers": 1, "sugar": math.nan}, "sugar is nan; it must be above 0 and below 1"),
        ({"layers": 1, "glaze": "plum"}, "glaze is 'plum'; it must be one of lemon, none"),
        ({"layers": 1, "nuts": ["plum"]}, "nuts is ('plum',); it must be one of almond, pecan"),
        ({"layers": 1, "nuts": "pecan"}, "nuts is 'pecan', which is not a list of names"),
        ({"sugar": 0.5}, "the option 'layers' is missing"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused_by_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make(Cake, values)
    assert str(caught.value) == words


def test_a_bound_is_part_of_what_is_allowed_or_not_as_its_name_says() -> None:
    assert (Cake(1).layers, Cake(9).layers) == (1, 9)
    assert Cake(1, glaze="lemon", nuts=("pecan", "almond")).nuts == ("pecan", "almond")


def test_the_same_option_again_has_its_bounds_and_another_default() -> None:
    assert (Tart().layers, Tart().sugar) == (2, 0.5)
    with pytest.raises(SettingsError, match="layers is 10"):
        Tart(layers=10)
    assert of(known_options(Tart)["layers"]) == of(known_options(Cake)["layers"])


def test_a_list_of_json_becomes_a_tuple() -> None:
    assert make(Cake, {"layers": 2, "nuts": ["pecan"]}).nuts == ("pecan",)


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(SettingsError, match="there is no option 'layer'") as caught:
        make(Cake, {"layer": 3})
    assert caught.value.hint == "did you mean `layers`?"
    with pytest.raises(SettingsError, match="there is no nut 'zzz'") as caught:
        make(Cake, {"zzz": 3}, "nut")
    assert caught.value.hint is None
    assert nearest("sugr", ["sugar", "layers"]) == "sugar"


def test_a_setting_that_there_is_not_is_no_keyword() -> None:
    with pytest.raises(SettingsError, match="there is no setting 'strategi'") as caught:
        Settings().updated(strategi="none")
    assert caught.value.hint == "did you mean `strategy`?"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_option_has_a_help_of_whole_sentences_and_a_default_within_its_bounds(kind: type) -> None:
    for name, known in known_options(kind).items():
        one = of(known)
        assert one.help[0].isupper(), name
        assert one.help.endswith("."), name
        if isinstance(known.default, (int, float, str)):
            assert one.fault(known.default) is None, name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in METHODS.values()], ids=lambda k: k.__name__)
def test_options_are_written_once(kind: type) -> None:
    """A field is an option, or one of the few that only programs set."""
    rest = {one.name for one in fields(kind)} - set(known_options(kind))
    assert rest <= {"filters", "newer_than", "fold", "retrieve"}
    assert not hasattr(kind, "__doc__") or "Attributes" not in str(kind.__doc__) or kind is Retrieval


def test_what_an_option_is_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Option("A help.").help = "another"  # type: ignore[misc]
