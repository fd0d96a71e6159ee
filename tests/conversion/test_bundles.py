"""A run becomes a bundle that recommends as the trained model does, and that carries nothing of its data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conversion.conftest import LISTS, NEAR_TIES
from tests.training.conftest import tiny_options, tiny_settings
from trsr_lite import Item, ModelError, Recommender, SettingsError, User
from trsr_lite.io.digests import file_digest
from trsr_lite.models.bundle import Bundle, ModelFile, load
from trsr_lite.models.pool import ModelPool, opener
from trsr_lite.prompts import fingerprint
from trsr_lite.training.tokenizer import HfTokenizer

both = pytest.mark.parametrize("kind", ["llama", "qwen2"])
ways = pytest.mark.parametrize("adapter_only", [False, True], ids=["merged", "adapter"])


def margins(recommender: Recommender, one: Any) -> list[float]:
    """Exact margins in the order of the list."""
    user = User("u", history=one.recent, candidates=one.candidates)
    found = {entry.item.id: entry.margin for entry in recommender.recommend(user, exact=True).recommendations}
    return [found[item.id] for item in one.candidates]


@both
@ways
def test_a_bundle_recommends_with_the_margins_that_were_verified(made: Any, kind: str, adapter_only: bool) -> None:
    from trsr_lite.conversion import comparison, verify
    from trsr_lite.engine.llama import LlamaEngine

    source = made(kind, adapter_only=adapter_only)
    held_out = verify.held_out(source.run)[:LISTS]
    with Recommender.load(source.bundle) as recommender:
        found = [margins(recommender, one) for one in held_out]
        bundle = recommender.bundle
    adapter = bundle.recommender.adapter
    assert (adapter is not None) == adapter_only
    engine = LlamaEngine(bundle.recommender.path, identity="", adapter=adapter.path if adapter else None)
    known = comparison.margins(engine, held_out, bundle.settings, exact=True)
    engine.close()
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(known))
    with np.load(source.staged / "reference.npz") as reference:
        trained = np.concatenate([reference[name] for name in reference.files])
    moved = float(np.abs(np.concatenate(known) - trained).max())
    assert moved == pytest.approx(bundle.verified["steps"]["F16"]["max_difference"], abs=1e-5)


@both
def test_the_adapter_changes_the_recommender_and_not_the_summarizer(made: Any, kind: str) -> None:
    from trsr_lite.conversion import comparison, verify
    from trsr_lite.engine import model
    from trsr_lite.engine.llama import LlamaEngine

    source = made(kind, adapter_only=True)
    held_out = verify.held_out(source.run)[:1]
    loads: list[Path] = []
    bundle = load(source.bundle, file_digest)
    pool = ModelPool(bundle, opener(None, file_digest))
    with pytest.MonkeyPatch.context() as patch, closing(pool):
        opening = model.NativeModel.__init__

        def count(self: Any, path: Path, **options: Any) -> None:
            loads.append(path)
            opening(self, path, **options)

        patch.setattr(model.NativeModel, "__init__", count)
        assert bundle.summarizer.path == bundle.recommender.path
        assert bundle.summarizer.adapter is None
        assert bundle.summarizer.identity != bundle.recommender.identity
        summarizer, ranker = (pool.get(file) for file in (bundle.summarizer, bundle.recommender))
        assert len(loads) == 1, "one base in memory serves both roles"
        assert summarizer is not ranker
        plain = LlamaEngine(bundle.summarizer.path, identity="")
        base, shared, adapted = (
            comparison.margins(engine, held_out, bundle.settings, exact=True)[0]
            for engine in (plain, summarizer, ranker)
        )
        plain.close()
    np.testing.assert_array_equal(base, shared)
    assert np.abs(base - adapted).max() > 0.1


def test_the_whole_way_with_a_tokenizer_that_llama_cpp_knows(
    scripts: Any, smollm2: Path, tiny: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.training import conftest
    from trsr_lite.cli import run as cli
    from trsr_lite.training import base_model
    from trsr_lite.training.train import train

    tokenizer = HfTokenizer.load(base_model.locate(str(smollm2))).tokenizer
    folder = conftest.write_base(tmp_path / "base", tokenizer=tokenizer)
    data, output = conftest.tiny_examples(tiny_data), str(tmp_path / "bundle")
    train(conftest.tiny_options(folder), conftest.tiny_settings(), data, tmp_path / "run")
    asked = ["convert", str(tmp_path / "run"), "--output", output, "--recommender-type", "F16", "--offline"]
    checkout = ["--llama-cpp", str(scripts.folder), "--summarizer", str(tiny), "--min-tau-float", str(NEAR_TIES)]
    assert cli([*asked, *checkout]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    assert "Did the ranking survive?" in shown.out and "verify the float GGUF" in shown.err
    assert cli(["inspect", output, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["trained"] is True and facts["models"]["recommender"]["description"].startswith("llama")


@both
def test_inspect_shows_a_converted_bundle(made: Any, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    from trsr_lite.cli import run as cli

    assert cli(["inspect", str(made(kind, adapter_only=True).bundle)]) == 0
    shown = capsys.readouterr().out
    assert "adapter.gguf" in shown and "calibration" in shown


@both
@ways
def test_a_manifest_is_complete_and_its_hashes_are_right(made: Any, kind: str, adapter_only: bool) -> None:
    import hashlib

    source = made(kind, adapter_only=adapter_only)
    manifest = json.loads((source.bundle / "manifest.json").read_text())
    record = json.loads((source.run / "run.json").read_text())
    for role in ("summarizer", "recommender"):
        entry = manifest[role]
        for file in [entry, *([entry["adapter"]] if entry.get("adapter") else [])]:
            path = source.bundle / file["file"]
            assert file["digest"] == file_digest(path) and file["size"] == path.stat().st_size
            assert file["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["trained"] is True and manifest["template"] == fingerprint.template()
    assert manifest["answers"] == record["answers"] and len(manifest["probes"]) == len(fingerprint.TEXTS)
    assert manifest["settings"]["domain"] == "news"
    assert manifest["calibration"]["temperature"] > 0 and manifest["noise_floor"] >= 0
    assert manifest["base"]["digest"] == record["base"]["digest"] and "/" not in manifest["base"]["name"]
    assert manifest["origin"]["files"] == record["data"]["files"]
    assert manifest["origin"]["split"]["seed"] == record["config"]["data"]["seed"]
    assert record["config"]["data"]["data"] not in json.dumps(manifest)  # nobody else's folder
    assert {"torch", "llama-cpp-python", "converter", "trsr-lite"} <= set(manifest["versions"])
    thresholds = manifest["verified"]["thresholds"]
    assert thresholds["max_margin"] == 0.05 and thresholds["max_recall_loss"] == 1 / LISTS, "one list may be lost"
    assert manifest["verified"]["reference"] == "the trained model in torch (float32)"
    assert "F16" in manifest["verified"]["steps"]
    assert manifest["measured"]["tensor_types"]["F16"] > 0
    files = {path.name for path in source.bundle.iterdir()}
    named = {manifest[role]["file"] for role in ("summarizer", "recommender")}
    assert files == named | {"manifest.json", "README.md", "report.json"} | (
        {"adapter.gguf"} if adapter_only else set()
    )


def test_what_convert_returns_is_what_load_finds(made: Any, convert: Any, staged: Any) -> None:
    source, target = staged()
    returned = convert(source.run, target, **source.options)
    assert returned == load(target, file_digest)


@ways
def test_nothing_of_the_training_data_is_in_a_bundle(made: Any, adapter_only: bool) -> None:
    source = made(adapter_only=adapter_only)
    texts = {
        text
        for line in (source.run / "lists.jsonl").read_text().splitlines()
        for part in ("recent", "candidates")
        for item in json.loads(line)[part]
        for text in item.values()
        if " " in text
    }
    assert len(texts) > 10
    for path in source.bundle.iterdir():
        content = path.read_bytes()
        for text in texts:
            assert text.encode() not in content, f"{path.name} holds {text!r}"
        assert str(source.run.parent).encode() not in content, f"{path.name} names a folder of this machine"


def test_a_card_says_base_data_licence_and_what_was_verified(made: Any) -> None:
    source = made()
    card = (source.bundle / "README.md").read_text()
    for words in ("tiny-llama", "its licence applies", "terms apply to the weights", "jsonl", "Kendall tau", "F16"):
        assert words in card
    assert card.startswith("---\nlibrary_name: trsr-lite\n")
    assert "base_model" not in card, "a folder is no model on the hub"


def test_a_moved_bundle_still_works(made: Any, tmp_path: Path) -> None:
    from trsr_lite.conversion import verify

    source = made(adapter_only=True)
    shutil.copytree(source.bundle, tmp_path / "elsewhere")
    with Recommender.load(tmp_path / "elsewhere") as recommender:
        assert margins(recommender, verify.held_out(source.run)[0])


def test_auto_takes_the_fastest_type_that_passes_and_reports_all_rates(
    staged: Any, convert: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.conversion import convert as pipeline
    from trsr_lite.conversion.convert_options import AUTO_TYPES

    rates = {name: float(number) for number, name in enumerate(["F16", "BF16", "Q6_K", "Q8_0", "IQ4_NL", "Q4_0"])}

    def measure(path: Path, *, decode: bool) -> dict[str, float]:
        name = path.stem.partition("-")[2]
        return {"prefill": rates[name]}

    monkeypatch.setattr(pipeline, "measure", measure)
    source, target = staged()
    tried: list[str] = []
    made = convert(source.run, target, recommender_type="auto", on_step=tried.append, min_tau=0.9, max_recall_loss=1.0)
    verified = [step.removeprefix("verify ") for step in tried if step.startswith("verify ")][2:]
    assert verified[0] == "Q4_0", "the fastest is tried first"
    assert made.recommender.type == verified[-1] != "Q4_0", "tiny random models lose their order at 4 bits"
    assert set(made.measured["prefill_tokens_per_second"]) == set(AUTO_TYPES)
    assert set(verified) <= set(made.verified["steps"])
    report = json.loads((target / "report.json").read_text())
    assert "lost" not in report
    loaded = load(target, file_digest)
    assert loaded.recommender.type == made.recommender.type


def test_a_run_may_be_the_summarizer(convert: Any, staged: Any, summarizer_run: Path) -> None:
    source, target = staged()
    made = convert(source.run, target, summarizer=str(summarizer_run), summarizer_type="Q8_0")
    assert made.summarizer.type == "Q8_0" and made.summarizer.path.is_file()
    assert made.summarizer.digest != made.recommender.digest


@ways
def test_a_run_that_was_trained_to_rank_is_no_summarizer(
    convert: Any, runs: dict[str, Path], adapter_only: bool, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="trained to rank, not to summarize") as caught:
        convert(runs["llama"], tmp_path / "bundle", summarizer=str(runs["llama"]), adapter_only=adapter_only)
    assert "`--role summarizer`" in str(caught.value.hint) and not (tmp_path / ".bundle.convert").exists()


@pytest.fixture(scope="session")
def summarizer_run(runs: dict[str, Path], tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `--role summarizer` on the base of `runs["llama"]`."""
    from trsr_lite.training.pairs import Pair, append
    from trsr_lite.training.train import train
    from trsr_lite.training.train_options import PairOptions

    place = tmp_path_factory.mktemp("summarizer")
    for word in ("goal", "cup", "team", "match"):
        items = (Item("a", {"title": f"football {word}"}), Item("b", {"title": "football cup"}))
        append([Pair("block", "The reader likes articles about football.", items)], place / "pairs.jsonl")
    options = tiny_options(tiny_base, role="summarizer", max_steps=2)
    train(options, tiny_settings(), PairOptions(str(place / "pairs.jsonl"), 0.25), place / "run")
    return place / "run"


def test_a_summarizer_trained_on_the_same_base_shares_it(convert: Any, staged: Any, summarizer_run: Path) -> None:
    source, target = staged(adapter_only=True)
    made = convert(source.run, target, adapter_only=True, summarizer=str(summarizer_run))
    assert made.summarizer.path == made.recommender.path
    adapters = {role: getattr(made, role).adapter for role in ("summarizer", "recommender")}
    assert adapters["summarizer"].digest != adapters["recommender"].digest
    assert {path.name for path in target.glob("*.gguf")} == {
        made.recommender.path.name,
        *(file.path.name for file in adapters.values()),
    }
    loaded = load(target, file_digest)
    assert loaded.summarizer.identity == made.summarizer.identity != made.recommender.identity


def test_a_summarizer_trained_on_another_base_is_a_file_of_its_own(
    convert: Any, staged: Any, runs: dict[str, Path], summarizer_run: Path
) -> None:
    from trsr_lite.conversion import summarizer_source

    base = json.loads((runs["llama"] / "run.json").read_text())["base"]
    assert summarizer_source.adapter_on(str(summarizer_run), base) is not None
    assert summarizer_source.adapter_on(str(summarizer_run), {**base, "digest": "b2:other"}) is None
    assert summarizer_source.adapter_on("smollm2", base) is None


@pytest.mark.parametrize("older", ["recommender", "summarizer"])
def test_a_base_is_the_same_to_a_run_from_before_its_configuration_was_recorded(
    runs: dict[str, Path], summarizer_run: Path, tmp_path: Path, older: str
) -> None:
    from trsr_lite.conversion import summarizer_source

    shutil.copytree(summarizer_run, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    base = json.loads((runs["llama"] / "run.json").read_text())["base"]
    del (base if older == "recommender" else record["base"])["configuration"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert summarizer_source.adapter_on(str(tmp_path / "run"), base) is not None
    assert summarizer_source.adapter_on(str(tmp_path / "run"), {**base, "digest": "b2:other"}) is None


@pytest.mark.parametrize("same", [True, False])
def test_the_prepared_default_is_kept_if_it_wrote_the_summaries(tmp_path: Path, tiny: Path, same: bool) -> None:
    from trsr_lite.conversion import summarizer_source
    from trsr_lite.models import default

    place = default.folder(tmp_path)
    place.mkdir(parents=True)
    path = Path(shutil.copy(tiny, place / "prepared.gguf"))
    file = ModelFile(path, file_digest(path), path.stat().st_size, "BF16")
    Bundle("smollm2", file, file).write(place)
    found = summarizer_source.prepared("smollm2", tmp_path, file.identity if same else "b2:another")
    assert (found is not None and found.path == path) is same
    assert summarizer_source.prepared("other.gguf", tmp_path, file.identity) is None


Changed = Callable[..., Path]


@pytest.fixture
def changed(runs: dict[str, Path], tmp_path: Path) -> Changed:
    """`changed(without=(…), summarizer=…, **options)`: a run whose record says otherwise."""

    def copy(
        *, without: tuple[str, ...] = (), wrote: str | None = None, adapter: str | None = None, **options: Any
    ) -> Path:
        shutil.copytree(runs["llama"], tmp_path / "run", dirs_exist_ok=True)
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        record["config"]["options"] |= options
        for name in without:
            del record["config"]["options"][name]
        record |= {"summarizer": wrote, **({"summarizer_adapter": adapter} if adapter else {})}
        (tmp_path / "run" / "run.json").write_text(json.dumps(record))
        return tmp_path / "run"

    return copy


def test_an_adapter_trained_on_four_bits_is_compared_on_the_unquantized_base(
    changed: Changed, convert: Any, staged: Any
) -> None:
    _, target = staged(without=("reference",))
    made = convert(changed(four_bit=True), target)
    assert "unquantized base" in made.verified["reference"] and made.verified["steps"]["F16"]["max_difference"] < 0.05
    assert "trained on that base in 4 bits" in (target / "README.md").read_text()


def test_a_run_from_before_an_option_existed_is_converted(changed: Changed, convert: Any, staged: Any) -> None:
    _, target = staged(without=("reference",))
    assert convert(changed(without=("content_free", "drop_summaries")), target).trained


def a_bundle(folder: Path, gguf: Path, adapter: Path) -> ModelFile:
    """A bundle of a base with a summarizer's adapter."""
    folder.mkdir()
    paths = [Path(shutil.copy(path, folder)) for path in (adapter, gguf)]
    known = [(path, file_digest(path), path.stat().st_size) for path in paths]
    file = ModelFile(*known[1], "F16", ModelFile(*known[0], "F16"))
    Bundle("summarizes", file, file).write(folder)
    return file


@pytest.mark.parametrize("kind", ["file", "folder", "hub"])
def test_what_wrote_the_training_summaries_is_kept_byte_for_byte(
    kind: str, changed: Changed, convert: Any, staged: Any, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trsr_lite.models import hub

    source, target = staged()
    file = a_bundle(
        tmp_path / "theirs", source.staged / "merged-F16.gguf", made(adapter_only=True).staged / "adapter.gguf"
    )
    monkeypatch.setattr(hub, "find", lambda *_, **__: (tmp_path / "theirs", None))
    name = {"file": str(file.path), "folder": str(tmp_path / "theirs"), "hub": "user/theirs:F16"}[kind]
    wrote = file.digest if kind == "file" else file.identity
    found = convert(changed(summarizer=name, wrote=wrote), target, summarizer=None)
    assert found.summarizer.identity == wrote and found.summarizer.type == "F16"
    assert load(target, file_digest).summarizer == found.summarizer


def test_another_model_under_the_name_of_the_summarizer_is_refused(
    changed: Changed, convert: Any, tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="not what wrote the training summaries") as caught:
        convert(changed(summarizer=str(tiny), wrote="b2:other"), tmp_path / "bundle", summarizer=None)
    assert "--summarizer" in str(caught.value.hint) and not (tmp_path / ".bundle.convert").exists()


@ways
def test_another_default_than_wrote_the_training_summaries_is_refused(
    changed: Changed, convert: Any, adapter_only: bool, tmp_path: Path
) -> None:
    """Its file is another on each machine; what it must be is the adapter."""
    run = changed(summarizer="smollm2", base="smollm2", wrote="b2:of some machine", adapter="b2:older")
    with pytest.raises(ModelError, match="smollm2: is not what wrote the training summaries any more") as caught:
        convert(run, tmp_path / "bundle", summarizer=None, adapter_only=adapter_only)
    assert "--summarizer" in str(caught.value.hint) and not (tmp_path / ".bundle.convert").exists()


def test_a_base_on_the_hub_may_be_the_summarizer(converter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from trsr_lite.conversion import summarizer_source
    from trsr_lite.models import hub

    def no_bundle(reference: Any, **_: Any) -> Path:
        raise ModelError("has neither a manifest.json nor a GGUF file")

    monkeypatch.setattr(hub, "pull", no_bundle)
    monkeypatch.setattr(HfTokenizer, "load", lambda located, offline: located)
    assert summarizer_source.find("user/base", "Q8_0", converter).identity == ["user/base", "Q8_0"]


def test_the_type_of_a_file_is_that_of_most_tensors(made: Any, tmp_path: Path) -> None:
    """Norms are F32 in every file, and none is F32 for that."""
    from trsr_lite.conversion import gguf, summarizer_source

    source = made().staged / "merged-F16.gguf"
    assert summarizer_source.copy(source, tmp_path / "same.gguf", "F16") == "F16"
    assert file_digest(tmp_path / "same.gguf") == file_digest(source)
    assert summarizer_source.copy(source, tmp_path / "wide.gguf", "F32") == "F32"
    assert list(gguf.tensor_types(tmp_path / "wide.gguf")) == ["F32"]
