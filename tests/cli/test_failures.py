"""Secrets reach no file, and a training that cannot go on says so in one message: whole runs in processes of their own."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from tests.cli.runs import command_line, result_of, tiny_words
from tests.conftest import ROOT
from tlplug import OptimizerSettings, Strategy

SECRETS = {
    "api_key": "sk-mGq7ZxPw1",
    "hf_token": "hf_QqTb52LmXn",
    "db_password": "pw-Xk93jjTza",
    "client_secret": "cs-0aVu7yRr2",
}
ENVIRONMENT = {
    "HF_TOKEN": "hf_envQw8ErTy",
    "WANDB_API_KEY": "a" * 31 + "envQ7xZ1b",
    "MLFLOW_TRACKING_PASSWORD": "pw-envLp0Wq",
}


def words_of(folder, tiny_folder, rows_folder, strategy, *words):
    chosen = [word for word in tiny_words(tiny_folder, rows_folder) if not word.startswith("strategy=")]
    return [
        f"strategy={strategy}",
        *chosen,
        "transfer.baselines=[]",
        "metric=[cost]",
        f"run_dir={folder}",
        *words,
    ]


def run(*words, env=None):
    return command_line(*words, env={"PYTHONPATH": str(ROOT), **(env or {})})


def leaks(folder, secrets):
    """Files below the folder whose name or content has a secret."""
    return [
        (path, name)
        for path in [folder, *folder.rglob("*")]
        for name, secret in secrets.items()
        if secret in path.name or (path.is_file() and secret.encode() in path.read_bytes())
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_reaches_the_run_directory_or_the_screen(fails, tiny_folder, rows_folder, tmp_path):
    folder = tmp_path / "run"
    given = [f"strategy.{name}={value}" for name, value in SECRETS.items()]
    loggers = ["logger=[csv,wandb,tensorboard]", "logger.wandb.offline=true"]
    asked = [*given, *loggers, f"strategy.fails={fails}", "strategy.num_memory_tokens=7"]
    done = run(
        *words_of(folder, tiny_folder, rows_folder, "tests.security.keeper.Keeper", *asked), env=ENVIRONMENT
    )
    assert done.returncode == int(fails), done.stderr[-2000:]
    secrets = {**SECRETS, **ENVIRONMENT}
    assert not leaks(folder, secrets)
    assert not [name for name, secret in secrets.items() if secret in done.stdout + done.stderr]
    config = (folder / "config.yaml").read_text()
    assert "num_memory_tokens: 7" in config and "***" in config, "what is no secret stays"
    assert "a step with 7 memory tokens" in (folder / "log.txt").read_text()
    assert list(folder.rglob("*.wandb"))
    if fails:
        assert "the service said no" in (folder / "log.txt").read_text()
        assert "It was raised in strategy 'tests.security.keeper.Keeper'" in done.stderr
    else:
        assert list(folder.rglob("events.out.tfevents*")) and list(folder.rglob("report.html"))
        assert result_of(folder)["strategy_config"]["num_memory_tokens"] == 7


class Tightens(Strategy):
    """Leaves the process little memory once the model is there, or spoils a loss on one process."""

    contract = 1
    optimizer_defaults = OptimizerSettings(1e-3, 0.0, "linear", 0.0)
    saved_folder = "model"

    @dataclass
    class Config:
        megabytes: int = 0
        spoils_from: int = 0
        rank: int = 0

    steps = 0

    def adapt(self, model, context):
        return model

    def training_step(self, model, head, batches):
        self.steps += 1
        if self.config.megabytes and self.steps == 2:
            leave(self.config.megabytes * 2**20)
            torch.ones(self.config.megabytes * 2**20)
        output = super().training_step(model, head, batches)
        if (
            self.steps == self.config.spoils_from
            and int(os.environ.get("LOCAL_RANK", "0")) == self.config.rank
        ):
            output.loss.data.fill_(float("nan"))
        return output

    def save(self, model, folder):
        model.save_pretrained(folder)


def leave(size):
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size, resource.RLIM_INFINITY))


def told_of(done):
    """The one message of a training that failed."""
    assert done.returncode == 1, (done.returncode, done.stderr[-3000:])
    lines = [line for line in done.stderr.splitlines() if line.startswith("tlplug: ")]
    assert "Traceback" not in done.stderr and len(lines) == 1, done.stderr[-3000:]
    return lines[0]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit is set from /proc")
def test_memory_that_runs_out_is_one_message_with_the_batch_and_what_would_help(
    tiny_folder, rows_folder, tmp_path
):
    folder = tmp_path / "run"
    words = words_of(folder, tiny_folder, rows_folder, f"{__name__}.Tightens", "strategy.megabytes=200")
    told = told_of(run(*words))
    assert re.search(r"out of memory in step 2 of training, with a batch of \d+ examples of", told)
    assert "data.batch_size=4 trainer.accumulate_grad_batches=2" in told
    assert "model.gradient_checkpointing=true" in told
    log = (folder / "log.txt").read_text()
    assert "Traceback" in log and "allocate memory" in log and not (folder / "result.json").exists()


@pytest.mark.slow
def test_a_loss_that_is_no_number_on_one_of_two_processes_is_one_message_and_the_last_good_checkpoint_stays(
    tiny_folder, rows_folder, tmp_path
):
    folder = tmp_path / "run"
    asked = [
        *("strategy.spoils_from=4", "strategy.rank=1", "checkpoint.every_steps=1", "checkpoint.keep_last=2"),
        *("trainer.strategy=ddp", "trainer.devices=2", "data.batch_size=4"),
    ]
    words = words_of(folder, tiny_folder, rows_folder, f"{__name__}.Tightens", *asked)
    done = run(*[word for word in words if word not in ("trainer.devices=1", "data.batch_size=8")])
    told = told_of(done)
    assert "the loss is nan in step 4 of 6" in told and "train.jsonl, line" in told
    kept = sorted((folder / "checkpoints").rglob("step-*.ckpt"))
    assert [path.name for path in kept] == ["step-2.ckpt", "step-3.ckpt"]
    for path in kept:
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())
