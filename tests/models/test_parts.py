"""A model in several files is all of them: whatever file changes, its identity changes, and a loaded one is refused."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny_gguf
from tests.engine.test_adapters import PAIRS, write_adapter
from trsr_lite import Recommender
from trsr_lite.engine import headers
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.errors import ModelError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import bundle
from trsr_lite.models.bundle import Bundle
from trsr_lite.models.pool import opener

SEVERAL = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of the files of a tiny model."""
    folder = tmp_path_factory.mktemp("split")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_gguf, "GGUFWriter", functools.partial(GGUFWriter, split_max_tensors=8))
        tiny_gguf.write_llama(folder / "tiny.gguf")
    return min(folder.iterdir())


def test_all_parts_are_found_measured_and_loaded(split: Path, tiny: Path) -> None:
    parts = headers.parts(split)
    assert len(parts) == len(list(split.parent.iterdir())) > 2
    file = bundle.load(split, file_digest).recommender
    assert file.size == sum(part.stat().st_size for part in parts)
    whole, several = (LlamaEngine(path, identity="") for path in (tiny, split))
    asked = ([5, 6, 7], [[8], [9]], (4, 5))
    assert several.margins(*asked) == whole.margins(*asked)


@SEVERAL
@given(data=st.data())
def test_whatever_file_of_a_model_changes_its_identity_changes(
    data: st.DataObject, split: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(split.parent, folder)
    write_adapter(folder / "adapter.gguf", ranks=PAIRS)
    tiny_gguf.write_llama(folder / "other.gguf", seed=1)
    made = Bundle("b", bundle.load(folder / "other.gguf", file_digest).recommender, _first(folder))
    made.write(folder)
    before = bundle.load(folder, file_digest)
    path = data.draw(st.sampled_from([*headers.parts(made.recommender.path), folder / "adapter.gguf"]), label="file")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(headers._read(path)[0].start, len(content) - 1), label="place")
    content[place] ^= 1 << data.draw(st.integers(0, 7), label="bit")
    path.write_bytes(content)
    assert _first(folder).identity != before.recommender.identity
    with pytest.raises(ModelError, match="its content hash is"):
        bundle.load(folder, file_digest)
    with pytest.raises(ModelError, match="has gone or changed"):
        opener(None, file_digest)(before.recommender, False, None)


def _first(folder: Path) -> bundle.ModelFile:
    """The model in several files, with an adapter."""
    model = bundle.load(min(folder.glob("tiny-*.gguf")), file_digest).recommender
    adapter = bundle.ModelFile(folder / "adapter.gguf", file_digest(folder / "adapter.gguf"), 0)
    size = adapter.path.stat().st_size
    return bundle.ModelFile(
        model.path, model.digest, model.size, None, bundle.ModelFile(adapter.path, adapter.digest, size)
    )


@pytest.mark.parametrize("number", [1, 2])
def test_a_part_that_is_missing_is_named(split: Path, tmp_path: Path, number: int) -> None:
    shutil.copytree(split.parent, tmp_path / "copy")
    parts = headers.parts(tmp_path / "copy" / split.name)
    parts[number].unlink()
    with pytest.raises(ModelError, match=f"{parts[number].name}: this part of the model is missing"):
        Recommender.load(parts[0])


def test_another_part_than_the_first_leads_to_the_first(split: Path) -> None:
    later = headers.parts(split)[1]
    with pytest.raises(ModelError, match="is one part of a model") as raised:
        Recommender.load(later)
    assert str(split) in str(raised.value.hint)


def test_parts_in_the_wrong_order_are_refused(split: Path, tmp_path: Path) -> None:
    shutil.copytree(split.parent, tmp_path / "copy")
    first, second, third, *_ = headers.parts(tmp_path / "copy" / split.name)
    content = second.read_bytes()
    second.write_bytes(third.read_bytes())
    third.write_bytes(content)
    with pytest.raises(ModelError, match="is not part 2 by its header"):
        Recommender.load(first)


def test_a_name_alone_makes_no_parts(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny-00001-of-00002.gguf"
    shutil.copy(tiny, path)
    assert headers.parts(path) == (path,)
    assert bundle.load(path, file_digest).recommender.digest == file_digest(tiny)
