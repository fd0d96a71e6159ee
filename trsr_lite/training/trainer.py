"""transformers' Trainer over packs: its optimizer, checkpoints, devices and resuming, with our rows and losses.

Invariant: a step's loss is the mean over its users, however they are packed or spread over devices. A checkpoint is
used again only when it is complete. A loss that is not a number ends the run before it reaches a checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from accelerate import PartialState

from trsr_lite.errors import TrsrError
from trsr_lite.io import files
from trsr_lite.results import OnEvent
from trsr_lite.training import base_model, distributed, lora, reporters
from trsr_lite.training.losses import Objective
from trsr_lite.training.packing import Pack
from trsr_lite.training.schedule import Schedule
from trsr_lite.training.train_options import TrainOptions

CHECKPOINTS = "checkpoints"
COMPLETE = "complete"
STATE = "trainer_state.json"
LOG = "log.jsonl"
SECONDS = "seconds"  # of the whole run so far
SHORTENED = "shortened_rows"
METRIC = "score"  # what the best checkpoint has most of
KEPT = 2


class PackTrainer(transformers.Trainer):
    """A Trainer whose batches are `Schedule` items and whose validation is `validate(model) -> metrics`."""

    def __init__(self, *, objective: Objective, validate: Callable[[Any], dict[str, float]], **parts: Any) -> None:
        super().__init__(data_collator=lambda items: items[0], **parts)
        self.losses = objective
        self.validate = validate
        self.model_accepts_loss_kwargs = False
        self._counts = torch.zeros(2, dtype=torch.int64, device=self.args.device)  # tokens, shortened rows

    def counted(self) -> tuple[int, int]:
        """Tokens trained on and rows that were shortened since the last call, over all devices, which all call it."""
        tokens, shortened = self.accelerator.reduce(self._counts, "sum").tolist()
        self._counts = torch.zeros_like(self._counts)
        return tokens, shortened

    def end_at(self, checkpoint: Path) -> None:
        """Be as after the training that ended with this checkpoint."""
        self.state = transformers.TrainerState.load_from_json(str(checkpoint / STATE))
        self._load_best_model()

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """One step's share of one device: forward and backward over its packs; the loss, detached."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        packs = inputs["packs"]
        weights = [inputs["weight"] * self.args.world_size / inputs["rows"]] * len(packs)
        spare = distributed.spare(model, len(packs))
        packs, weights = [*packs, *packs[:1] * spare], [*weights, *[0.0] * spare]
        for left, pack, weight in zip(range(len(packs) - 1, -1, -1), packs, weights, strict=True):
            pack = pack.to(self.args.device)
            with self._apart(model) if left else contextlib.nullcontext():
                loss = self.losses(forward(model, pack), pack) * weight
                if not torch.isfinite(loss):
                    raise TrsrError(
                        f"the loss became {loss.item()} in step {self.state.global_step + 1}",
                        hint="the last good checkpoint is kept: lower `--learning-rate`, or use `--dtype float32`",
                    )
                self.accelerator.backward(loss)
            total += loss.detach()
        self._counts[0] += sum(pack.tokens for pack in inputs["packs"])
        self._counts[1] += inputs["shortened"]
        return total

    @contextlib.contextmanager
    def _apart(self, model: torch.nn.Module) -> Iterator[None]:
        """Within this block gradients stay on their device, to be averaged together with those of the next pass."""
        if distributed.shared(model):  # then the Trainer averages, unless told that this is no step yet
            self.accelerator.gradient_state._set_sync_gradients(False)
            yield
            self.accelerator.gradient_state._set_sync_gradients(True)
        else:
            with self.accelerator.no_sync(model):
                yield

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The validation metrics, logged."""
        # Not the wrapped one, whose forward passes wait for each other: a device may have no row.
        metrics = {f"eval_{name}": value for name, value in self.validate(self.model).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted here: the benchmark does."""
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(
            cast(Schedule, train_dataset or self.train_dataset)
        )  # the schedule has its own order


class Log(transformers.TrainerCallback):
    """Writes the log as JSON Lines, marks complete checkpoints, and tells the caller.

    Of a run that is continued, the lines up to step `start` are kept. `before` are the seconds of its earlier starts.
    This one `began` when `time.perf_counter` was that.
    """

    def __init__(self, folder: Path, on_event: OnEvent | None, start: int, began: float) -> None:
        self.path, self.on_event = folder / LOG, on_event
        self.trainer: PackTrainer | None = None
        self._time, self._began = time.perf_counter(), began
        lines = read_log(folder)
        self.before: float = lines[-1].get(SECONDS, 0.0) if lines else 0.0
        if PartialState().is_main_process:
            kept = [line for line in lines if line["step"] <= start]
            files.replace(self.path, "".join(f"{json.dumps(line)}\n" for line in kept).encode())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """One line for each logged step, and one for each validation."""
        if self.trainer is None:
            return
        if any(name.startswith("eval_") for name in logs):
            line = {name.removeprefix("eval_"): value for name, value in logs.items() if name.startswith("eval_")}
        elif "loss" in logs:
            tokens, shortened = self.trainer.counted()
            before, self._time = self._time, time.perf_counter()
            line = {name: float(logs[name]) for name in ("loss", "grad_norm", "learning_rate") if name in logs}
            line["tokens_per_second"] = round(tokens / (self._time - before), 1)
            line[SHORTENED] = shortened
        else:
            return
        if not state.is_world_process_zero:
            return
        seconds = round(self.before + time.perf_counter() - self._began, 1)
        line = {"step": state.global_step, "steps": state.max_steps, **line, SECONDS: seconds}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")
        if self.on_event:
            self.on_event(line)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The last step is validated and saved, whatever its number."""
        if state.global_step == state.max_steps:
            control.should_evaluate = control.should_save = True

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Validation does not count for the training rate."""
        self._time = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is whole now."""
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


def forward(model: Any, pack: Pack) -> torch.Tensor:
    """Logits of a pack's candidates and texts: (C + N, vocabulary), float32."""
    kind = (
        torch.autocast(pack.input_ids.device.type, torch.bfloat16) if lora.autocast(model) else contextlib.nullcontext()
    )
    try:
        with kind:
            logits: torch.Tensor = model(
                input_ids=pack.input_ids,
                position_ids=pack.position_ids,
                logits_to_keep=torch.cat((pack.ends, pack.text_at)),
                trees=pack.trees,
                use_cache=False,
            ).logits[0]
    except (NotImplementedError, TypeError) as error:
        raise TrsrError(
            f"{type(model).__name__} cannot be trained here: {error}", hint=f"choose a base as {base_model.GOOD}"
        ) from error
    return logits


def make(
    model: Any,
    schedule: Schedule,
    options: TrainOptions,
    dtype: torch.dtype,
    folder: Path,
    objective: Objective,
    validate: Callable[[Any], dict[str, float]],
    log: Log,
) -> PackTrainer:
    """A trainer computing in `dtype` that validates and saves into `folder`, and logs into `log`."""
    callbacks: list[transformers.TrainerCallback] = [log]
    if options.patience:
        callbacks.append(transformers.EarlyStoppingCallback(options.patience))
    callbacks += reporters.callbacks(options.report_to, folder)
    arguments = _arguments(model, schedule.order.steps, options, dtype, folder)
    trainer = PackTrainer(
        model=model,
        args=arguments,
        train_dataset=schedule,
        eval_dataset=[0],  # never read: `evaluate` validates
        objective=objective,
        validate=validate,
        callbacks=callbacks,
    )
    # The Trainer takes no model in shards whose optimizer is saved: that of an adapter is whole in each process.
    arguments.save_only_model = False
    trainer.remove_callback(transformers.PrinterCallback)
    log.trainer = trainer
    return trainer


def _arguments(
    model: Any, steps: int, options: TrainOptions, dtype: torch.dtype, folder: Path
) -> transformers.TrainingArguments:
    every = min(options.validate_every or max(1, steps // 10), steps)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.schedule if options.schedule != "constant" else "constant_with_warmup",
        warmup_steps=round(options.warmup * steps),
        weight_decay=options.weight_decay,
        adam_beta1=options.beta1,
        adam_beta2=options.beta2,
        max_grad_norm=options.clip,
        bf16=options.full and dtype is torch.bfloat16,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=KEPT,
        save_only_model=distributed.shared(model),
        load_best_model_at_end=True,
        metric_for_best_model=f"eval_{METRIC}",
        greater_is_better=True,
        logging_steps=1,
        logging_nan_inf_filter=False,
        seed=options.seed,
        use_cpu=PartialState().device.type == "cpu",  # or it refuses bfloat16
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        restore_callback_states_from_checkpoint=True,  # patience
    )
    # A process trains on one device; without `torchrun` the Trainer would split packs over all there are.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def latest_checkpoint(folder: Path) -> tuple[Path | None, int]:
    """The newest complete checkpoint of a run and its step; (None, 0) without one."""
    found = [
        (int(path.name.rpartition("-")[2]), path)
        for path in (folder / CHECKPOINTS).glob("checkpoint-*")
        if (path / COMPLETE).exists()
    ]
    step, path = max(found, default=(0, None))
    return path, step


def lost_patience(folder: Path, patience: int | None) -> bool:
    """Whether a run's validations had not become better for so long that it ended there."""
    found = [line[METRIC] for line in read_log(folder) if METRIC in line]
    if not (patience and found):
        return False
    return len(found) - 1 - found.index(max(found)) >= patience


def relocate(checkpoint: Path) -> None:
    """Let a checkpoint of a run that was moved, or is named otherwise now, find the best one beside it."""
    path = checkpoint / STATE
    state = json.loads(path.read_text(encoding="utf-8"))
    if best := state["best_model_checkpoint"]:
        state["best_model_checkpoint"] = str(checkpoint.with_name(Path(best).name))
        files.replace(path, json.dumps(state, indent=2).encode())


def read_log(folder: Path) -> Sequence[dict[str, Any]]:
    """The lines of a run's log; a line that a crash cut short is left out."""
    lines = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / LOG).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(line))
    return lines
