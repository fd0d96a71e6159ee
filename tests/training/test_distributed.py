"""Two processes train as one does: the same losses, the same validation, one folder."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch

from tests.training.conftest import EVERY, Fit, log_of, losses, program, validations, weights, write_base

SCRIPT = """
import json, os, signal, sys
from pathlib import Path
from tests.training.conftest import EVERY, tiny_examples, tiny_options, tiny_settings
from trsr_lite.training import base_model as base
from trsr_lite.training.train import train
import torch

place, data, output = map(Path, sys.argv[1:4])
changes, shared = json.loads(sys.argv[4]), []
load = base.load

def watched(*arguments, **named):
    model = load(*arguments, **named)
    whole = sum(weight.numel() for weight in model.parameters())
    here = sum(getattr(weight, "to_local", lambda: weight)().numel() for weight in model.parameters())
    shared.append(round(here / whole, 2))
    return model

def kill(event):
    if event.get("step") == EVERY + 1:
        os.kill(os.getpid(), signal.SIGKILL)

base.load = watched
options = tiny_options(place, dropout=0.0, batch_rows=5, validation_users=7, learning_rate=2e-3, **changes)
if "kill" in sys.argv:
    train(options, tiny_settings(), tiny_examples(data), output, on_event=kill)
outcome = train(options, tiny_settings(), tiny_examples(data), output, resume="resume" in sys.argv)
group = torch.distributed.distributed_c10d._get_default_group()
assert group._get_backend(torch.device("cpu")).options._timeout.days >= 1  # one summarizes for hours, the other waits
few = tiny_options(place, max_steps=2, validate_every=1, validation_users=1, **changes)
assert train(few, tiny_settings(), tiny_examples(data), output.with_name("few")).steps == 2  # one validates nothing
assert torch.distributed.get_backend() == "gloo", torch.distributed.get_backend()
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
print(f"finished {rank} of {world} {shared}\\n", end="", flush=True)
"""
TORCHRUN = ("torch.distributed.run", "--nproc_per_node=2", "--master_port")


class Case(NamedTuple):
    """How two processes are started, what they do otherwise than one, and how much of a base each holds.

    `held`: of each base that a process loads in two runs; the adapter is read back onto another one by the first, or,
    in shards, onto the same by both.
    """

    launcher: tuple[str, ...]
    held: tuple[list[float], list[float]]
    changes: Mapping[str, Any] = MappingProxyType({})
    tied: bool = True
    killed: bool = False


WHOLE = ([1.0] * 4, [1.0] * 2)
HALVES = ([0.5] * 2, [0.5] * 2)
CASES = {
    "torchrun": Case(TORCHRUN, WHOLE),
    "accelerate launch": Case(
        (
            *("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
            *("--mixed_precision=no", "--dynamo_backend=no", "--main_process_port"),
        ),
        WHOLE,
    ),
    # Each row goes alone, so there are three passes of one device and two of the other.
    "shards": Case(TORCHRUN, HALVES, {"shard": True, "batch_tokens": 256, "gradient_checkpointing": True}, killed=True),
    "shards of an untied base": Case(TORCHRUN, HALVES, {"shard": True, "batch_tokens": 512}, tied=False),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def one_base(case: Case, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base if case.tied else write_base(tmp_path_factory.mktemp("untied") / "base", tie_word_embeddings=False)


@pytest.fixture(scope="module")
def alone(fit: Fit, one_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("alone") / "run"
    fit(
        output, base=one_base, dropout=0.0, batch_rows=5, validation_users=7, learning_rate=2e-3
    )  # 28 users: some steps have 5, some 3
    return output


@pytest.fixture(scope="module")
def together(case: Case, one_base: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("together")
    (place / "script.py").write_text(SCRIPT)

    def start(*how: str) -> subprocess.CompletedProcess[str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        asked = (one_base, tiny_data, place / "run", json.dumps(dict(case.changes)), *how)
        return program(str(place / "script.py"), *asked, launcher=["-m", *case.launcher, str(port)])

    if case.killed:
        done = start("kill")
        assert log_of(place / "run")[-1]["step"] == EVERY + 1, done.stderr
    done = start(*["resume"] * case.killed)
    assert done.returncode == 0, done.stderr
    ends = sorted(line for line in done.stdout.splitlines() if line.startswith("finished"))
    assert ends == [f"finished {rank} of 2 {held}" for rank, held in enumerate(case.held)]
    return place / "run"


def test_two_processes_have_the_losses_of_one(alone: Path, together: Path) -> None:
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)


def test_two_processes_choose_the_same_best(alone: Path, together: Path, case: Case) -> None:
    assert [line["step"] for line in validations(together)] == [line["step"] for line in validations(alone)]
    records = [json.loads((run / "run.json").read_text()) for run in (together, alone)]
    assert records[0]["best"] == pytest.approx(records[1]["best"], rel=1e-4)
    records[1]["config"]["options"] |= case.changes
    for name in ("status", "steps", "data", "answers", "base", "config"):
        assert records[0][name] == records[1][name], name


def test_two_processes_come_to_the_same_adapter(alone: Path, together: Path) -> None:
    expected = weights(alone / "adapter")
    for name, weight in weights(together / "adapter").items():
        assert torch.allclose(weight, expected[name], atol=1e-4), name
