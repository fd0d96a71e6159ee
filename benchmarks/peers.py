"""The same 21 candidates ranked by others: what a user would run instead, with the same model and the same prompts.

    python -m benchmarks.peers [--server DIR]

Peers: the paper's code path (transformers, every candidate's whole prompt padded to 2,048 tokens, one at a time); a
plain transformers loop that keeps the prefix's keys and values; the best loop of llama-cpp-python's `Llama`; and with
`--server`, llama.cpp's own server with prompt caching, one slot and several, built in DIR if it is not there (see
`benchmarks.llama_server`). The path of the paper is slow, so it is measured on a few candidates and multiplied.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache, GgufConfig

from benchmarks import default
from benchmarks.llama_server import Server, build
from benchmarks.measure import in_turns, ratio, report
from benchmarks.workload import HighLevel
from trsr_lite.bench import speeds
from trsr_lite.engine.llama import LlamaEngine
from trsr_lite.models import default as embedded

ROUNDS = 3
PADDED, PAPER_CANDIDATES = 2048, 3
DTYPES = (torch.bfloat16, torch.float32)
SLOTS = (1, 4)


def main() -> None:
    """Measure in turns; the table and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, metavar="DIR", help="where llama-server is, or is built")
    place = parser.parse_args().server
    with ExitStack() as opened:
        measure(place.resolve() if place else None, opened)


def measure(place: Path | None, opened: ExitStack) -> None:
    """All peers in turns."""
    bundle = default.bundle()
    path = bundle.recommender.path
    engine = LlamaEngine(path, identity=bundle.recommender.digest, keep=0)
    torch.set_num_threads(engine.threads)
    prefix, suffixes = speeds.to_score(engine)
    yes, no = answers = bundle.answers or (0, 1)
    source = embedded.locate(offline=True)

    def load(dtype: torch.dtype) -> torch.nn.Module:
        model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True), dtype=dtype
        )
        return model.eval()

    models = {str(dtype).removeprefix("torch."): load(dtype) for dtype in DTYPES}

    def ours() -> list[float]:
        return [one.margin for one in engine.margins(prefix, suffixes, answers)]

    @torch.inference_mode()
    def padded(model: torch.nn.Module) -> float:
        """Seconds of the paper's path for all candidates, from the first few."""
        start = time.perf_counter()
        for suffix in suffixes[:PAPER_CANDIDATES]:
            tokens = [*prefix, *suffix]
            ids = torch.tensor([[0] * (PADDED - len(tokens)) + tokens])
            mask = (torch.arange(PADDED) >= PADDED - len(tokens)).long()[None]
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0, -1].float()
            float(logits[yes] - logits[no])
        return (time.perf_counter() - start) * len(suffixes) / PAPER_CANDIDATES

    @torch.inference_mode()
    def cached(model: torch.nn.Module) -> list[float]:
        """Each candidate after a copy of the prefix's keys and values."""
        kept = DynamicCache()
        model(input_ids=torch.tensor([prefix]), past_key_values=kept, use_cache=True, logits_to_keep=1)
        found = []
        for suffix in suffixes:
            ids = torch.tensor([suffix])
            logits = model(input_ids=ids, past_key_values=copy.deepcopy(kept), logits_to_keep=1).logits[0, -1].float()
            found.append(float(logits[yes] - logits[no]))
        return found

    peer = HighLevel(path, engine.threads)

    def high_level() -> list[float]:
        return peer.margins(prefix, suffixes, answers)

    work = {"ours": ours, "Llama": high_level}
    for name, model in models.items():
        work[f"transformers with a cache, {name}"] = lambda model=model: cached(model)
        work[f"paper, {name}"] = lambda model=model: padded(model)
    ranking = {"ours": ours, "Llama": high_level}
    fresh = itertools.count(1)
    for slots in SLOTS if place else ():
        cells = len(prefix) + max(map(len, suffixes)) + 8
        server = opened.enter_context(Server(build(place), path, threads=engine.threads, slots=slots, cells=cells))
        name = f"llama-server, {slots} slot{'s' if slots > 1 else ''}"
        # Another user each time: the prompts of the round before are still in its cache.
        work[name] = lambda server=server: server.margins([1000 + next(fresh), *prefix[1:]], suffixes, answers)
        ranking[name] = lambda server=server: server.margins(prefix, suffixes, answers)
    seconds = in_turns(work, ROUNDS)
    reference = cached(models["float32"])
    apart = {name: float(np.abs(np.subtract(call(), reference)).max()) for name, call in ranking.items()}
    best = min((name for name in seconds if name.startswith(("Llama", "llama-server"))), key=lambda n: min(seconds[n]))
    paper = min((name for name in seconds if name.startswith("paper")), key=lambda name: min(seconds[name]))
    gains = {name: ratio(values, seconds["ours"]) for name, values in seconds.items() if name != "ours"}
    required = {paper: "≥ 30×", best: "≥ 1.3×"}
    report(
        "peers",
        [
            *((f"faster than {name}", f"{gain:.1f}×", required.get(name, "")) for name, gain in gains.items()),
            *(
                (f"largest margin difference of {name} from transformers in float32", f"{value:.3f}", "")
                for name, value in apart.items()
            ),
        ],
        {
            "model": f"{bundle.name} {bundle.recommender.type}",
            "threads": engine.threads,
            "tokens": len(prefix) + sum(map(len, suffixes)),
            "seconds": seconds,
        },
        whole=place is not None,
    )


if __name__ == "__main__":
    main()
