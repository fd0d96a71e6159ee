"""The model card of a bundle: what a stranger should know before trusting it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from trsr_lite.models.bundle import Bundle


def text(bundle: Bundle, record: Mapping[str, Any]) -> str:
    """Markdown with the front matter that the hub reads; nothing of the training data is in it."""
    config, best = record["config"], record["best"]
    data, settings = config["data"], bundle.settings
    identity = record["base"].get("digest") or record["base"].get("revision")
    model = f"base_model: {record['base']['name']}\n" if "revision" in record["base"] else ""
    rows = "\n".join(
        f"| {name} | {step['max_difference']:.3f} | {step['tau']:.4f} | {step['top']:.3f} | {_change(step['recall'])} "
        f"| {_change(step['mrr'])} |"
        for name, step in bundle.verified["steps"].items()
    )
    files = "\n".join(
        f"- `{file.path.name}`: {role}, {file.type}, {file.size / 2**20:.0f} MiB"
        for role, file in _files(bundle).items()
    )
    return f"""---
library_name: trsr-lite
{model}license: other
tags: [recommendation, gguf, llama.cpp, trsr-lite]
---

# {bundle.name}

A yes/no recommender for text-rich histories ({settings.domain}), fine-tuned and converted with trsr-lite.

    trsr-lite recommend --user user.json -m {bundle.name}

{files}

## Made from

- base: {public_name(record["base"])} ({identity}); **its licence applies**
- data: {data["dataset"]}, {record["data"]["cases"]["train"]} training cases, negatives {data["negatives"]}; **their
  terms apply to the weights; none of their texts are in this bundle**
- objective {config["options"]["objective"]}, {record["steps"]} steps, strategy {settings.strategy}
- validation: Recall@3 {best["recall@3"]:.3f}, @5 {best["recall@5"]:.3f}, @10 {best["recall@10"]:.3f}

## Did the ranking survive?

Against {bundle.verified["reference"]}, on {bundle.verified["lists"]} held-out lists:

| step | largest margin difference | Kendall tau | top-3 overlap | Recall@3 change | MRR@10 change |
|---|---|---|---|---|---|
{rows}

Scores are sigmoid((margin − {bundle.calibration.bias:g}) / {bundle.calibration.temperature:g}); 0.5 means as likely
as not. Differences below {bundle.noise_floor:g} are within the noise of batched scoring.
"""


def public_name(base: Mapping[str, Any]) -> str:
    """The name of a base without the folders of this machine; a hub id stays as it is."""
    name = str(base["name"])
    return name if "revision" in base else PurePath(name).name


def _files(bundle: Bundle) -> dict[str, Any]:
    found = {"recommender": bundle.recommender}
    if bundle.recommender.adapter:
        found["recommender's adapter"] = bundle.recommender.adapter
    if bundle.summarizer.path != bundle.recommender.path:
        found["summarizer"] = bundle.summarizer
    if bundle.summarizer.adapter:
        found["summarizer's adapter"] = bundle.summarizer.adapter
    return found


def _change(value: list[float]) -> str:
    return f"{value[0]:+.3f} [{value[1]:+.3f}, {value[2]:+.3f}]"
