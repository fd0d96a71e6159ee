"""`trsr-lite train`: where an option's value comes from, what is printed where, and how errors end."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest

from tests.commands import Run, runner
from tests.conftest import PACKAGE_PARENT
from tests.training.conftest import tiny_examples, tiny_options, tiny_settings
from trsr_lite import Settings, cli
from trsr_lite.cli import flags
from trsr_lite.cli.train import command
from trsr_lite.datasets.data_options import DataOptions
from trsr_lite.training import train as runs
from trsr_lite.training.train_options import LAYERS, PairOptions, TrainOptions

Asked = tuple[TrainOptions, Settings, Any, dict[str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `trsr-lite train …` in this process."""
    return runner(capsys, "train")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the command asked of the library, which then trains nothing."""
    found: list[Asked] = []

    def train(options: TrainOptions, settings: Settings, data: Any, output: str, **more: Any) -> runs.TrainResult:
        found.append((options, settings, data, more))
        return runs.TrainResult(Path(output), 0, {}, 0.0)

    monkeypatch.setattr(runs, "train", train)
    return found


MIND = ("--dataset", "mind", "--data", "folder", "--output", "run")


# A whole run


@pytest.fixture
def tiny_arguments(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> list[str]:
    return (
        f"--dataset jsonl --data {tiny_data} --output {tmp_path / 'run'} --base {tiny_base} --strategy none "
        "--domain news --prompt-tokens 512 --test-negatives 10 --validation 0.2 --max-steps 4 --validate-every 2 "
        "--learning-rate 0.02 --dtype float32"
    ).split()


def test_train_prints_one_json_object_and_its_log_on_stderr(
    run: Run, tiny_arguments: list[str], tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    code, out, err = run(*tiny_arguments, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert set(found) == {"schema", "run", "steps", "best", "seconds"}
    assert (found["schema"], found["run"], found["steps"]) == (1, str(tmp_path / "run"), 4)
    assert {"recall@3", "recall@10", "mrr@10", "ndcg@10", "auc", "score"} <= set(found["best"])
    assert found["seconds"] > 0
    assert "step 1/4: loss" in err
    assert "step 4/4: recall@3" in err
    record = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    expected = tiny_options(tiny_base, max_steps=4, validate_every=2, epochs=3)
    several = {name: tuple(record["options"][name]) for name in ("layers", "report_to")}
    assert TrainOptions(**{**record["options"], **several}) == expected
    assert Settings.from_dict(record["settings"]) == tiny_settings()
    assert DataOptions(**record["data"]) == tiny_examples(tiny_data)

    # again, and on
    code, out, err = run(*tiny_arguments)
    assert (code, out) == (2, "")
    assert "already exists" in err
    code, out, err = run("--output", tmp_path / "run", "--resume", "--json")
    assert code == 0, err
    assert json.loads(out)["best"] == found["best"]
    code, out, err = run("--output", tmp_path / "run", "--resume", "--learning-rate", "0.5")
    assert code == 2
    assert "learning_rate is 0.5, and was 0.02 in this run" in err
    code, out, err = run(*tiny_arguments, "--force", "--max-steps", "1")
    assert code == 0, err
    assert "recall@3" in out
    assert "{" not in out


def test_ctrl_c_names_the_option_that_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "train", interrupt)
    code, out, err = run(*MIND)
    assert (code, out, err.strip()) == (130, "", "Interrupted; checkpoints are kept, and `--resume` goes on")


# Where a value comes from


def test_only_what_was_given_differs_from_the_defaults(run: Run, asked: list[Asked]) -> None:
    assert run(*MIND).code == 0
    assert asked[0][:3] == (TrainOptions(), Settings(domain="news"), DataOptions("mind", "folder"))
    assert run(*MIND, "--rank", "4", "--layers", "q_proj, v_proj", "--four-bit", "--seed", "7").code == 0
    assert asked[1][0] == TrainOptions(rank=4, layers=("q_proj", "v_proj"), four_bit=True, seed=7)
    assert asked[1][2] == DataOptions("mind", "folder", seed=7)


@pytest.mark.parametrize(("dataset", "domain"), [("mind", "news"), ("amazon-m2", "product"), ("jsonl", "item")])
def test_the_domain_follows_the_data_unless_given(run: Run, asked: list[Asked], dataset: str, domain: str) -> None:
    arguments = ("--dataset", dataset, "--data", "folder", "--output", "run")
    run(*arguments)
    run(*arguments, "--domain", "item")
    assert [each[1].domain for each in asked] == [domain, "item"]


def test_a_flag_wins_over_the_file_and_the_file_over_the_default(run: Run, asked: list[Asked], tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text(
        'dataset = "mind"\ndata = "there"\nlearning-rate = 1e-3\nbatch_rows = 4\nlayers = ["q_proj"]\n'
        'whole-text = true\nfour-bit = false\nstrategy = "recurrent"\nattributes = "title"\n'
    )
    code, _, err = run("--config", tmp_path / "f.toml", "--output", "run", "--batch-rows", "6")
    assert code == 0, err
    options, settings, data, _ = asked[0]
    assert options == TrainOptions(learning_rate=1e-3, batch_rows=6, layers=("q_proj",), whole_text=True)
    assert (settings.strategy, settings.attributes, data) == ("recurrent", ("title",), DataOptions("mind", "there"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("learning_rat = 1", "there is no option 'learning_rat'\nhint: did you mean `learning_rate`?"),
        ("zzz = 1", "there is no option 'zzz'"),
        ("rank = ", "cannot be read"),
        ('rank = "many"', "many"),
        ("rank = 8.9", "'8.9' is not a valid integer"),
        ("rank = true", "'true' is not a valid integer"),
        ("layers = [1]", "1"),
        ("ragged = 3", "3"),
        ('objective = "none"', "none"),
    ],
)
def test_a_config_file_that_cannot_be_is_exit_code_2(
    run: Run, asked: list[Asked], tmp_path: Path, content: str, said: str
) -> None:
    (tmp_path / "f.toml").write_text(content)
    code, out, err = run("--config", tmp_path / "f.toml", *MIND)
    assert (code, out, asked) == (2, "", [])
    assert said in err
    assert run("--config", tmp_path / "none.toml", *MIND).code == 2


@pytest.mark.parametrize(("dataset", "least", "most", "locale"), [("mind", 11, 26, None), ("amazon-m2", 10, 25, "UK")])
def test_the_preset_is_the_authors_protocol(
    run: Run, asked: list[Asked], dataset: str, least: int, most: int, locale: str | None
) -> None:
    arguments = ("--dataset", dataset, "--data", "folder", "--output", "run", "--preset", "paper")
    assert run(*arguments).code == 0
    options, settings, data, _ = asked[0]
    assert options == TrainOptions(
        objective="answer",
        whole_text=True,
        epochs=5,
        batch_rows=32,  # of two prompts
        learning_rate=1e-4,
        schedule="linear",
        warmup=0.0,
        weight_decay=5e-4,
        beta2=0.95,
        rank=8,
        alpha=16,
        dropout=0.05,
        layers=("q_proj", "k_proj", "v_proj", "o_proj"),
    )
    assert data == DataOptions(
        dataset,
        "folder",
        min_items=least,
        max_items=most,
        locale=locale,
        train_negatives=1,
        test_negatives=20,
        negatives="uniform",
    )
    shown = {"mind": ("category", "subcategory", "title"), "amazon-m2": ()}[dataset]
    kind = {"mind": "news", "amazon-m2": "product"}[dataset]
    assert settings == Settings(
        domain=kind, attributes=shown, ragged=True, fan_in=8, grounded=False, signals=("model",)
    )
    run(*arguments, "--learning-rate", "1e-3", "--min-items", "5")
    assert (asked[1][0].learning_rate, asked[1][2].min_items) == (1e-3, 5)
    assert asked[1][0].rank == 8


def test_the_preset_goes_from_raw_files_to_an_adapter(run: Run, tiny_base: Path, tiny: Path, tmp_path: Path) -> None:
    """Ragged blocks of the authors' histories, and every token of every prompt learned."""
    news = [f"N{number}\tsports\tfootball\tfootball goal {number}\t\t\t\t" for number in range(60)]
    users = [
        f"{user}\tU{user}\t\t{' '.join(f'N{(user + 3 * item) % 60}' for item in range(11 + user % 9))}\t"
        for user in range(30)
    ]
    (tmp_path / "news.tsv").write_text("\n".join(news))
    (tmp_path / "behaviors.tsv").write_text("\n".join(users))
    code, out, err = run(
        *("--dataset", "mind", "--data", tmp_path, "--output", tmp_path / "run", "--preset", "paper"),
        *("--base", tiny_base, "--summarizer", tiny, "--cache-dir", tmp_path / "cache", "--summary-tokens", "8"),
        *("--max-users", "24", "--max-steps", "1", "--test", "0.1", "--validation", "0.1", "--threads", "2", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["steps"] == 1
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
    lists = [json.loads(line) for line in (tmp_path / "run" / "lists.jsonl").read_text().splitlines()]
    assert all(len(one["candidates"]) == 21 for one in lists)
    assert all(one["summary"].startswith("The reader likes articles about") for one in lists)


def test_a_preset_without_values_is_an_error(run: Run, asked: list[Asked]) -> None:
    code, _, err = run("--dataset", "jsonl", "--data", "folder", "--output", "run", "--preset", "paper")
    assert (code, asked) == (2, [])
    assert "the paper has no values for 'jsonl'" in err


def test_resume_needs_no_other_option(run: Run, asked: list[Asked], finished: Path, tiny_base: Path) -> None:
    assert run("--output", finished, "--resume").code == 0
    options, settings, data, more = asked[0]
    assert TrainOptions(**{**vars(options), "layers": tuple(options.layers)}) == tiny_options(tiny_base)
    assert settings == tiny_settings()
    assert data == tiny_examples(Path(data.data))
    assert (more["resume"], more["force"]) == (True, False)


def test_a_resumed_run_keeps_its_own_options_whatever_the_users_config_says(
    run: Run, asked: list[Asked], finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('domain = "product"\nstrategy = "recurrent"\n')
    monkeypatch.setenv("TRSR_LITE_CONFIG", str(tmp_path / "config.toml"))
    assert run("--output", finished, "--resume").code == 0
    (tmp_path / "own.toml").write_text('domain = "item"\n')
    assert run("--output", finished, "--resume", "--config", tmp_path / "own.toml").code == 0
    assert run("--output", finished, "--resume", "--domain", "product").code == 0
    chosen = [(settings.domain, settings.strategy) for _, settings, _, _ in asked]
    assert chosen == [("news", "none"), ("item", "none"), ("product", "none")]


def test_a_summarizer_is_trained_on_pairs(run: Run, asked: list[Asked]) -> None:
    assert run("--role", "summarizer", "--pairs", "p.jsonl", "--output", "run", "--validation", "0.3").code == 0
    options, _, data, _ = asked[0]
    assert (options.role, data) == ("summarizer", PairOptions("p.jsonl", 0.3))


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--dataset", "mind"),
        ("--pairs", "p.jsonl"),
        ("--role", "summarizer"),
        ("--role", "summarizer", "--pairs", "p.jsonl", "--dataset", "mind"),
        ("--role", "summarizer", "--pairs", "p.jsonl", "--preset", "paper"),
        ("--dataset", "mind", "--data", "x", "--pairs", "p.jsonl"),
        ("--dataset", "netflix", "--data", "x"),
        ("--dataset", "mind", "--data", "x", "--rank", "0"),
        ("--dataset", "mind", "--data", "x", "--layers", "lm_head"),
        ("--dataset", "mind", "--data", "x", "--layers", ""),
        ("--dataset", "mind", "--data", "x", "--full", "--four-bit"),
        ("--dataset", "mind", "--data", "x", "--full", "--shard"),
        ("--dataset", "mind", "--data", "x", "--four-bit", "--shard"),
        ("--dataset", "mind", "--data", "x", "--learning-rate", "nan"),
        ("--dataset", "mind", "--data", "x", "--learning-rate", "0"),
        ("--dataset", "mind", "--data", "x", "--dropout", "1"),
        ("--dataset", "mind", "--data", "x", "--objective", "both", "--answer-weight", "0"),
        ("--dataset", "mind", "--data", "x", "--answer-weight", "0.3"),
        ("--dataset", "mind", "--data", "x", "--content-free", "0.1", "--objective", "answer"),
        ("--dataset", "mind", "--data", "x", "--content-free", "0.1", "--whole-text"),
        ("--dataset", "mind", "--data", "x", "--locale", "UK"),
        ("--dataset", "mind", "--data", "x", "--full", "--rank", "4"),
        ("--dataset", "mind", "--data", "x", "--whole-text", "--objective", "listwise"),
        ("--role", "summarizer", "--pairs", "p.jsonl", "--max-users", "9"),
        ("--role", "summarizer", "--pairs", "p.jsonl", "--content-free", "0.1"),
        ("--dataset", "mind", "--data", "x", "--block-size", "9", "--recent-items", "2"),
    ],
    ids=" ".join,
)
def test_options_that_contradict_themselves_are_exit_code_2(
    run: Run, asked: list[Asked], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(*arguments, "--output", "run")
    assert (code, out, asked) == (2, "", [])
    assert "Traceback" not in err


def test_an_objective_that_was_typed_is_learned_with_the_preset_too(run: Run, asked: list[Asked]) -> None:
    arguments = ("--dataset", "mind", "--data", "x", "--preset", "paper", "--output", "run")
    assert run(*arguments).code == run(*arguments, "--objective", "listwise").code == 0
    assert [options.weights for options, *_ in asked] == [{"text": 1.0}, {"listwise": 1.0}]


def test_other_errors_have_their_exit_codes(run: Run, tiny_arguments: list[str], tmp_path: Path) -> None:
    assert run(*tiny_arguments, "--base", "missing").code == 3
    code, _, err = run(*tiny_arguments, "--data", tmp_path / "none", "--force")
    assert code == 4
    assert err.splitlines()[-2].startswith("Error: ")
    assert run("--output", tmp_path / "elsewhere", "--resume").code == 2


# Options


@pytest.mark.parametrize("kind", [TrainOptions, DataOptions, Settings])
def test_every_field_has_a_help_and_an_option_without_a_default_of_its_own(kind: type) -> None:
    options = {parameter.name: parameter for parameter in command.params if isinstance(parameter, click.Option)}
    unset = command.make_context(
        "train", ["--output", "run"], parent=click.Context(cli.group, **cli.group.context_settings)
    ).params
    for field in fields(kind):
        option = options[field.name]
        assert unset[field.name] is None
        assert option.help
        assert len(option.help) > 8
        assert option.opts == [f"--{field.name.replace('_', '-')}"]


def test_options_can_be_made_with_a_click_whose_types_are_not_generic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "ParamType", type("ParamType", (), {}))  # as before click 8.4
    names = runpy.run_path(str(flags.__file__))["Names"]()
    assert names.convert("title, category", None, None) == ("title", "category")


def test_help_shows_the_defaults_of_the_dataclasses(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    text = "".join(out.split())
    for shown in ("0.0005", "cosine", ",".join(LAYERS), "200"):
        assert f"[default:{shown}]" in text


def test_without_the_extra_training_names_it(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom trsr_lite import cli\n"
        "sys.exit(cli.run(['train', '--dataset', 'mind', '--data', 'x', '--output', 'run']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["Error: training needs torch", "hint: pip install 'trsr-lite[train]'"]
    assert not (tmp_path / "run").exists()
