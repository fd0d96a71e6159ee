"""Two processes train as one does: the same losses, the same validation, one folder."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch

from .conftest import Fit, losses, program, validations, weights

SCRIPT = """
import sys
from pathlib import Path
from train.conftest import tiny_examples, tiny_options, tiny_settings
from trsr_lite.training.run import train

base, data, output = map(Path, sys.argv[1:4])
options = tiny_options(base, dropout=0.0, batch_rows=5, validation_users=7, learning_rate=2e-3)
outcome = train(options, tiny_settings(), tiny_examples(data), output)
import torch
group = torch.distributed.distributed_c10d._get_default_group()
assert group._get_backend(torch.device("cpu")).options._timeout.days >= 1  # one summarizes for hours, the other waits
few = tiny_options(base, max_steps=2, validate_every=1, validation_users=1)  # one process has nothing to validate
assert train(few, tiny_settings(), tiny_examples(data), output.with_name("few")).steps == 2
assert torch.distributed.get_backend() == "gloo", torch.distributed.get_backend()
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
print(f"finished {rank} of {world}\\n", end="", flush=True)
"""


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc_per_node=2", "--master_port"),
    "accelerate launch": (
        *("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
        *("--mixed_precision=no", "--dynamo_backend=no", "--main_process_port"),
    ),
}


@pytest.fixture(scope="module")
def alone(fit: Fit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("alone") / "run"
    fit(
        output, dropout=0.0, batch_rows=5, validation_users=7, learning_rate=2e-3
    )  # 28 users: some steps have 5, some 3
    return output


@pytest.fixture(scope="module", params=LAUNCHERS)
def together(
    request: pytest.FixtureRequest, tiny_base: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("together")
    (place / "script.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", *LAUNCHERS[request.param], str(port)]
    done = program(str(place / "script.py"), tiny_base, tiny_data, place / "run", launcher=launcher)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[1] for line in done.stdout.splitlines() if line.startswith("finished")) == ["0", "1"]
    return place / "run"


def test_two_processes_have_the_losses_of_one(alone: Path, together: Path) -> None:
    assert losses(together) == pytest.approx(losses(alone), rel=1e-4)


def test_two_processes_choose_the_same_best(alone: Path, together: Path) -> None:
    assert [line["step"] for line in validations(together)] == [line["step"] for line in validations(alone)]
    records = [json.loads((run / "run.json").read_text()) for run in (together, alone)]
    assert records[0]["best"] == pytest.approx(records[1]["best"], rel=1e-4)
    for name in ("status", "steps", "data", "answers", "base", "config"):
        assert records[0][name] == records[1][name], name


def test_two_processes_come_to_the_same_adapter(alone: Path, together: Path) -> None:
    expected = weights(alone / "adapter")
    for name, weight in weights(together / "adapter").items():
        assert torch.allclose(weight, expected[name], atol=1e-4), name
