"""Puts the parts of the default model together.

    python examples/default_model/assemble.py summarizer WORK     base and summarizer adapter: writes training summaries
    python examples/default_model/assemble.py package WORK        adapters, manifest and card, into the package

The first writes the bundle `WORK/summaries`, from the run `WORK/summarizer`; the second takes what `trsr-lite convert
--adapter-only` made in `WORK/bundle`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from trsr_lite.conversion import gguf, llama_cpp_scripts, merge
from trsr_lite.engine import model
from trsr_lite.engine.threads import default_threads
from trsr_lite.io.digests import file_digest
from trsr_lite.models import default
from trsr_lite.models.bundle import MANIFEST, Bundle
from trsr_lite.signals import learned_table
from trsr_lite.training import base_model, run_dir

BASE, ADAPTER = "base.gguf", "summarizer-adapter.gguf"
CARD = "README.md"
TYPE = "BF16"


def summarizer(work: Path) -> None:
    """A bundle whose summarizer is the trained one; its recommender is the base."""
    record, _ = run_dir.finished(work / "summarizer")
    place = work / "summaries"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    model.quantize(default.locate(offline=True), place / BASE, TYPE, default_threads())
    with tempfile.TemporaryDirectory() as saved:
        located = base_model.locate(record["base"]["name"], offline=True)
        merge.save(base_model.load(located, base_model.torch.float32, offline=True), located, Path(saved), offline=True)
        script = llama_cpp_scripts.find(None, work / "cache", offline=False)
        gguf.convert_adapter(script, work / "summarizer" / "adapter", Path(saved), place / ADAPTER)
    file = gguf.entry(place / BASE, TYPE)
    adapted = gguf.entry(place / BASE, TYPE, gguf.entry(place / ADAPTER, "F16"))
    Bundle("summaries", adapted, file, trained=False).write(place)


def package(work: Path) -> None:
    """What the package ships; the base comes from elsewhere, so its file is left out."""
    made, target = work / "bundle", default.ADAPTERS.with_name(f".{default.ADAPTERS.name}.new")
    manifest = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for role in ("recommender", "summarizer"):
        adapter = manifest[role]["adapter"]
        source = made / adapter["file"]
        adapter["file"] = f"{role}.gguf"
        shutil.copyfile(source, target / adapter["file"])
        if file_digest(target / adapter["file"]) != adapter["digest"]:
            raise SystemExit(f"{source}: not the file that was verified")
        for name in ("file", "digest", "size", "type", "sha256"):  # of the base: every machine writes its own
            manifest[role].pop(name, None)
    manifest["name"] = default.NAME
    manifest["measured"], manifest["origin"] = {}, {}  # composed people are nobody whom an evaluation could meet again
    manifest["verified"].pop("steps", None)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(Path(__file__).parent / "card.md", target / CARD)
    shutil.copyfile(learned_table.SHIPPED, target / learned_table.SHIPPED.name)  # `meanings.py` makes it
    shutil.rmtree(default.ADAPTERS, ignore_errors=True)
    target.rename(default.ADAPTERS)


if __name__ == "__main__":
    {"summarizer": summarizer, "package": package}[sys.argv[1]](Path(sys.argv[2]))
