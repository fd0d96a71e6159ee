"""Signals in a bundle: read back as written, hashed, and refused where they cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from trsr_lite import Item, ModelError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle, bundle_signals
from trsr_lite.models.bundle import MANIFEST, Bundle, ModelFile
from trsr_lite.signals import statistics_file
from trsr_lite.signals.fusion import Fusion, Weight
from trsr_lite.signals.statistics_builder import StatisticsBuilder

FUSION = Fusion({"model": Weight(1.0, 0.5, 2.0), "words": Weight(0.5)}, 1.5, -0.5, {"lists": 7})


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """A bundle with signals."""
    model, statistics = tmp_path / "model.gguf", tmp_path / "statistics.npz"
    model.write_bytes(tiny.read_bytes())
    builder = StatisticsBuilder()
    builder.add([Item(str(number), {"title": f"a film of number {number}"}) for number in range(20)])
    statistics_file.save(builder.build(), statistics)
    file = ModelFile(model, file_digest(model), model.stat().st_size, "F32")
    signals = bundle_signals.make(statistics, FUSION, file_digest)
    Bundle("made", file, file, signals=signals).write(tmp_path)
    return tmp_path


def test_what_was_written_is_read_back(folder: Path) -> None:
    found = bundle.load(folder, file_digest).signals
    assert found is not None
    assert found.fusion == FUSION
    assert found.statistics.path == folder / "statistics.npz"


def test_a_bundle_without_signals_has_none_and_says_nothing_of_them(folder: Path) -> None:
    data = orjson.loads((folder / MANIFEST).read_bytes())
    del data["signals"]
    (folder / MANIFEST).write_bytes(orjson.dumps(data))
    found = bundle.load(folder, file_digest)
    assert found.signals is None
    assert "signals" not in found.to_dict()


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for name in path[:-1]:
            data = data[name]
        data[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("version", to=2), "signals of version 2 are newer"),
        (_set("statistics", "file", to="../statistics.npz"), "not inside the bundle"),
        (_set("statistics", "file", to="gone.npz"), "gone.npz: missing from its bundle"),
        (_set("statistics", "size", to=7), "bytes, but its manifest says 7"),
        (_set("statistics", "digest", to="b2:other"), "its content hash is"),
        (_set("statistics", to=3), "of the wrong shape"),
        (_set("fusion", "weights", "model", "scale", to=0), "scale of model"),
        (_set("fusion", "weights", "model", "weight", to=-1), "weight of model"),
        (_set("fusion", "version", to=9), "version 9 is not known"),
    ],
)
def test_an_entry_that_cannot_be_is_an_error(
    folder: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    data = orjson.loads((folder / MANIFEST).read_bytes())
    change(data["signals"])
    (folder / MANIFEST).write_bytes(orjson.dumps(data))
    with pytest.raises(ModelError, match=message):
        bundle.load(folder, file_digest)


def test_what_scores_depend_on_changes_the_identity(folder: Path) -> None:
    found = bundle.load(folder, file_digest).signals
    assert found is not None
    other = bundle_signals.BundleSignals(found.statistics, Fusion({"model": Weight(1.0)}))
    moved = bundle_signals.BundleSignals(bundle_signals.StatisticsFile(found.statistics.path, "b2:other", 1), FUSION)
    assert len({found.identity, other.identity, moved.identity}) == 3
