"""Ways to run a command line in the tests."""

import json
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from jsonschema import Draft202012Validator
from rich.console import Console

from tlplug.cli import main
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.runs.run import run

QUICK = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.devices=1", "trainer.precision=32-true"]


def tiny_words(tiny_folder, rows_folder, strategy="lora"):
    """A run on the tiny base model and rows."""
    return [
        *(f"strategy={strategy}", "task=sentiment", "model=custom", f"model.source={tiny_folder}"),
        *("data=files", f"data.path={rows_folder}"),
        *("data.splits.validation=validation", "data.splits.test=test", "data.batch_size=8", *QUICK),
    ]


def run_in_process(*words):
    """The result of a run in a folder of its own."""
    folder = Path(tempfile.mkdtemp()) / "run"
    with Composer() as composer:
        job = build(composer.compose([*words, f"run_dir={folder}"]))
    return run(job, Console(quiet=True))


def command_line(*words, env=None, cwd=None):
    """`python -m tlplug` in a process of its own."""
    import os

    return subprocess.run(
        [sys.executable, "-m", "tlplug", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120", **(env or {})},
        cwd=cwd,
        check=False,
    )


def result_of(folder):
    return json.loads((Path(folder) / "result.json").read_text())


SCHEMA = json.loads(files("tlplug.reports").joinpath("result.schema.json").read_text(encoding="utf-8"))
CLOSED = Draft202012Validator({**SCHEMA, "additionalProperties": False})
"""The schema of result.json with no keys but those that it describes."""


__all__ = ["CLOSED", "QUICK", "SCHEMA", "command_line", "main", "result_of", "run_in_process", "tiny_words"]


def wait_for(condition, seconds=60):
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
