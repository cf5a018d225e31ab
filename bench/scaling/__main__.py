"""Measure how time and memory grow: python -m bench.scaling [part ...]

Parts: rows, loader, length, batch, strategies, processes (see bench/scaling/measurements.py). Each is written to
bench/scaling/scaling.json and bench/scaling/scaling.md after each measurement; other parts keep their figures.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import results
from bench.scaling.measurements import PARTS
from bench.scaling.page import page
from bench.settings import select

FILE = Path(__file__).with_name("scaling.json")


def main(words: Sequence[str]) -> None:
    command = shlex.join(["python", "-m", "bench.scaling", *words])
    for part in select(words, PARTS, __doc__):
        origin, figures = {"command": command, "machine": results.machine()}, {}
        with TemporaryDirectory() as folder:
            for value, measured in PARTS[part](Path(folder)):
                figures[value] = measured
                save(part, origin | {"found": figures})
                print(part, value, flush=True)


def save(part: str, figures: results.Results) -> None:
    """Write the part's results in place of its earlier ones."""
    parts = results.load(FILE) | {part: figures}
    results.save(FILE, {name: parts[name] for name in PARTS if name in parts}, page)


if __name__ == "__main__":
    main(sys.argv[1:])
