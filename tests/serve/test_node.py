"""The Node client: its own tests against a real server, and its types against the schema."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REQUIRE_ALL
from tests.serve.client import PATIENCE, SCHEMA
from tests.serve.test_server import NEWS
from trsr_lite.serve.methods import METHODS

CLIENT = Path(__file__).parents[2] / "examples" / "node_client"
TYPES = (CLIENT / "client.d.mts").read_text()


@pytest.fixture
def node(tiny: Path, tmp_path: Path) -> Any:
    """`node(*arguments)` runs Node in the client's folder, with a server on a tiny model."""
    program = shutil.which("node")
    if program is None:
        (pytest.fail if REQUIRE_ALL and sys.platform == "linux" else pytest.skip)(
            "needs node, such as `apt install nodejs`"
        )
    serve = [sys.executable, "-m", "trsr_lite", "serve", "-m", str(tiny), "--threads", "1"]
    command = [*serve, "--cache-dir", str(tmp_path / "cache")]
    path = os.pathsep.join([str(CLIENT.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TRSR_LITE_SERVE": json.dumps(command), "PYTHONPATH": path}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *arguments], cwd=CLIENT, env=environment, capture_output=True, text=True, timeout=4 * PATIENCE
        )

    return run


def test_the_client_does_what_its_own_tests_say(node: Any) -> None:
    done = node("--test", "client.test.mjs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"pass 11\b", done.stdout), done.stdout


@pytest.mark.parametrize(("read", "summaries"), [(23, 1), (2, 0)])
def test_the_example_ranks_a_user_file(node: Any, tmp_path: Path, read: int, summaries: int) -> None:
    file = tmp_path / "user.json"
    file.write_text(json.dumps({**NEWS, "history": NEWS["history"][:read]}))
    done = node("recommend.mjs", str(file))
    assert done.returncode == 0, done.stderr
    *above, first, second, third = done.stdout.splitlines()
    titles = [re.sub(r"^\d\. (.*) \(\d\.\d\d\)$", r"\1", line) for line in (first, second, third)]
    assert set(titles) < {entry["title"] for entry in NEWS["candidates"]}
    assert len(above) == summaries


def members(name: str) -> set[str]:
    """The members of an interface, those that it extends included."""
    found = re.search(rf"interface {name}( extends (\w+))? {{\n(.*?)\n}}", TYPES, re.DOTALL)
    assert found, name
    own = set(re.findall(r"^  (\w+)\??:", found[3], re.MULTILINE))
    return own | (members(found[2]) if found[2] else set())


def properties(definition: dict[str, Any]) -> set[str]:
    """The properties of a definition, those that it refers to included."""
    referred = definition.get("$ref")
    shared = properties(SCHEMA["$defs"][referred.rsplit("/", 1)[1]]) if referred else set()
    return shared | set(definition.get("properties", ()))


DEFINITIONS = SCHEMA["$defs"]
INTERFACES = {
    **{
        name: DEFINITIONS[name]
        for name in ("Item", "HistoryItem", "User", "UserParams", "UserResult", "Model", "Stats")
    },
    **{f"{name}Params": DEFINITIONS[f"{name}Params"] for name in ("Initialize", "Summarize", "Recommend", "Update")},
    **{f"{name}Result": DEFINITIONS[f"{name}Result"] for name in ("Initialize", "Recommend", "Forget", "Status")},
    "Progress": DEFINITIONS["Progress"]["properties"]["params"],
    "SummaryNode": DEFINITIONS["Summaries"]["items"],
    "Recommendation": DEFINITIONS["RecommendResult"]["properties"]["recommendations"]["items"],
}


@pytest.mark.parametrize("name", INTERFACES)
def test_a_type_has_the_members_that_the_schema_names(name: str) -> None:
    assert members(name) == properties(INTERFACES[name])


def test_the_client_has_every_method() -> None:
    declared = set(re.findall(r"^  (\w+)\(", TYPES.partition("class Client")[2], re.MULTILINE))
    assert declared == (set(METHODS) - {"cancel", "shutdown"}) | {"constructor", "close"}  # a signal, and `close`
