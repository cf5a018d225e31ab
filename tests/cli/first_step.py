"""What a run has imported when it comes to its first training step, which is what its start costs.

A strategy of our own takes note, so this file imports nothing that a run would not.
"""

import json
import os
import sys
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NoReturn

from tlplug_plugins.strategies.lora import Lora

NOTES = "TLPLUG_TEST_NOTES"
"""Environment variable: the file that the names of the modules are written to."""


class Noting(Lora):
    """LoRA that writes down what is imported and goes out, in place of its first step."""

    contract = 1

    def training_step(self, *step: Any) -> NoReturn:
        Path(os.environ[NOTES]).write_text(json.dumps(sorted(sys.modules)))
        os._exit(0)


def modules_at_first_step(folder: Path, *words: str) -> list[str]:
    """The modules that `python -m tlplug WORDS` with LoRA has imported by then.

    Args:
        folder: an empty one, which is left with what the run began.
    """
    from tests.cli.runs import command_line
    from tests.conftest import ROOT

    notes = folder / "modules.json"
    strategy = f"strategy={Noting.__module__}.{Noting.__name__}"
    env = {NOTES: str(notes), "PYTHONPATH": str(ROOT)}
    done = command_line(strategy, f"run_dir={folder / 'run'}", *words, env=env, cwd=folder)
    assert done.returncode == 0 and notes.exists(), done.stderr
    return json.loads(notes.read_text())


def packages(modules: Iterable[str]) -> set[str]:
    """The installed packages among them, without the standard library and what packages keep private."""
    tops = {module.partition(".")[0] for module in modules}
    return {top for top in tops & set(packages_distributions()) if not top.startswith("_")}
