"""Define the commands `train` and `resume`."""

from __future__ import annotations

from pathlib import Path

import click

from tlplug.commands.arguments import Command, overrides, run_argument
from tlplug.errors import UsageError


@click.command(cls=Command, example="outputs/my-run")
@run_argument
@overrides
def resume(run: Path, keys: tuple[str, ...], trust: bool) -> int:
    """Continue a run that did not finish from its last checkpoint.

    KEY=VALUE gives secrets, which no run directory holds.
    """
    from tlplug.runs import directory as run_directory

    if run_directory.finished(run):
        raise UsageError(f"{run} has finished: it holds {run_directory.RESULT}")
    from tlplug.config.reopen import job_again

    job = job_again(run, run_directory.begun(run)["overrides"], trust, keys)
    from tlplug.runs.run import run as start
    from tlplug.runtime.console import open_console

    start(job, open_console(), run)
    return 0


@click.command(cls=Command, example="+strategy=lora +task=sentiment seed=1")
@click.option("-m", "--multirun", is_flag=True, help="Run every combination of several values: seed=1,2,3.")
@click.option("--cfg", type=click.Choice(["job"]), help="Show the composed config, and stop.")
@overrides
def train(keys: tuple[str, ...], multirun: bool, cfg: str | None) -> int:
    """Adapt a base model and compare it with baselines.

    `train` may be left out. KEY=VALUE is strategy=, task= and any other key; --cfg job shows all of them.
    """
    from tlplug.config.compose import Composer

    with Composer() as composer:
        if cfg is not None:
            from omegaconf import OmegaConf

            print(OmegaConf.to_yaml(composer.compose(keys)), end="")
            return 0
        from tlplug.runtime.console import open_console

        if multirun:
            from tlplug.commands.sweep.sweep import sweep

            return sweep(composer, keys, open_console())
        from tlplug.config.job import build

        job = build(composer.compose(keys), keys)
    if job.resume is not None:
        from tlplug.commands.unfinished_runs import resume_or_begin

        return resume_or_begin(job, open_console())
    from tlplug.runs.run import run

    run(job, open_console())
    return 0
