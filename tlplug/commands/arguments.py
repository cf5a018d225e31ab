"""Parse the words of a command that takes a run directory."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tlplug.errors import UsageError, did_you_mean


class Parser(argparse.ArgumentParser):
    """One whose errors are told like every other one."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Like `parse_args`, which would tell of a missing flag before a misspelt one."""
        known = [flag for action in self._actions for flag in action.option_strings]
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        if strange := [flag for flag in flags if flag not in known]:
            self.error(f"there is no flag {strange[0]}.{did_you_mean(strange[0], known)}")
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.split()[-1]}: {message}\n\n{self.format_usage().strip()}")


def parser(command: str, about: str) -> Parser:
    found = Parser(prog=f"python -m tlplug {command}", description=about, allow_abbrev=False)
    found.add_argument("run", metavar="RUN", type=Path, help="run directory")
    found.add_argument(
        "--trust", action="store_true", help="import classes that the run names by their dotted path"
    )
    return found
