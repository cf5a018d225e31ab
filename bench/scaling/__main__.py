"""Measure how time and memory grow: python -m bench.scaling [part ...]

Parts: rows, loader, length, batch, strategies, processes (see bench/scaling/measurements.py). Each is written to
bench/scaling/scaling.json and bench/scaling/scaling.md after each measurement; other parts keep their figures.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.machine import machine
from bench.scaling.measurements import PARTS
from bench.scaling.page import page

FILE = Path(__file__).with_name("scaling.json")


def main(words: Sequence[str]) -> int:
    if unknown := [word for word in words if word not in PARTS]:
        print(f"bench: unknown part: {', '.join(unknown)}\n\n{__doc__}", file=sys.stderr)
        return 2
    command = shlex.join(["python", "-m", "bench.scaling", *words])
    for part in words or PARTS:
        origin = {"command": command, "machine": machine()}
        with TemporaryDirectory() as folder:
            for figures in PARTS[part](Path(folder)):
                save(part, origin | {"found": figures})
                print(part, list(figures)[-1], flush=True)
    return 0


def save(part: str, results: dict[str, Any]) -> None:
    """Write the part's results in place of its earlier ones."""
    earlier = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    parts = earlier | {part: results}
    parts = {name: parts[name] for name in PARTS if name in parts}
    FILE.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
    FILE.with_suffix(".md").write_text(page(parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
