"""Parse the words of a command, and show its help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tlplug.errors import UsageError, did_you_mean

FLAG = re.compile(r"--?[A-Za-z]\S*")


class Parser(argparse.ArgumentParser):
    """Parse one command's words; an error is a `UsageError`.

    Args:
        example: words after the command's name that a user could type.
    """

    def __init__(self, command: str, about: str, example: str, keys: str = "") -> None:
        prog = f"python -m tlplug {command}"
        super().__init__(
            prog=prog,
            description=about,
            epilog=f"{keys}example:\n  {prog} {example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Like `parse_args`, which would tell of a missing flag before a misspelt one."""
        known = [flag for action in self._actions for flag in action.option_strings]
        flags = [word.partition("=")[0] for word in words if FLAG.fullmatch(word)]
        if strange := [flag for flag in flags if flag not in known]:
            long = [flag for flag in known if flag.startswith("--")]
            hint = did_you_mean(strange[0], long, cutoff=0.7)  # All of them have the dashes.
            self.error(f"there is no flag {strange[0]}.{hint}")
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.split()[-1]}: {message}\n\n{self.format_usage().strip()}")

    def add_keys(self, help: str) -> None:
        """Add the argument `keys`: any number of key=value words."""
        self.add_argument("keys", metavar="key=value", nargs="*", default=[], help=help)


def parser(command: str, about: str, example: str) -> Parser:
    """Return the parser of a command that takes a run directory."""
    options = Parser(command, about, example)
    options.add_argument("run", metavar="RUN", type=Path, help="run directory")
    options.add_argument(
        "--trust", action="store_true", help="import classes that the run names by their dotted path"
    )
    return options


def train_parser() -> Parser:
    options = Parser(
        "train",
        "Adapt a base model to a task, test it, compare it with baselines and report. `train` may be left out.",
        "+strategy=lora +task=sentiment seed=1",
    )
    options.add_argument(
        *("-m", "--multirun"), action="store_true", help="run every combination of several values: seed=1,2,3"
    )
    options.add_keys("strategy=, task= and any other key; `--cfg job` shows them all")
    return options


COMPARE_KEYS = """\
keys of its own:
  strategies=[...]             strategies and presets, from the least invasive to the most
  seeds=                       how many, from 0, or which: [3,4,5]
  target_score=                stop at the first strategy whose score reaches this
  stop_early=false             run all, also where one gains nothing over the one before
  tune_learning_rate=true      try several learning rates for each
  learning_rate_factors=[...]  multiples of the strategy's own rate
  strategy.<strategy>.<field>= a field of one of the strategies

"""


def compare_parser() -> Parser:
    options = Parser(
        "compare",
        "Train several strategies over paired seeds, and name the lightest that is good enough.",
        "+task=sentiment strategies=[linear_probe,lora,full] seeds=3",
        COMPARE_KEYS,
    )
    options.add_argument("--dry-run", action="store_true", help="memory and time of each strategy, and stop")
    options.add_keys("task=, the keys below, and any key of a run")
    return options


RANK_KEYS = """\
keys of its own:
  models=[...]     base models, two at least: presets, hub ids, folders, GGUF files
  max_rows=        at most so many training rows
  metrics=[...]    what the base models are ranked by
  fine_tune_top=   fine-tune so many of the first, and the smallest; or all
  strategy=        what fine_tune_top trains with

"""


def rank_parser() -> Parser:
    options = Parser(
        "rank",
        "Rank base models for a task by their features, before any of them is fine-tuned.",
        "+task=sentiment models=[minilm,smollm2]",
        RANK_KEYS,
    )
    options.add_keys("task=, the keys below, and any key of a run")
    return options
