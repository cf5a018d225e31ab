"""How time and memory grow, and what would bind first on more machines: python -m bench.scaling [part ...]

Parts: rows, loader, length, batch, strategies, processes (bench/scaling/measurements.py says what each measures), and sum,
which measures nothing: it computes from the figures of rows and loader and from public constants
(bench/scaling/single_node_estimate.py). Each is written to bench/scaling/scaling.json and bench/scaling/scaling.md as soon
as it grows; what is not asked for keeps what it had there.
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
SUM = "sum"


def main(words: Sequence[str]) -> int:
    asked = words or [*PARTS, SUM]
    if strange := [word for word in asked if word not in PARTS and word != SUM]:
        print(f"bench: {', '.join(strange)} is no part\n\n{__doc__}", file=sys.stderr)
        return 2
    command = shlex.join(["python", "-m", "bench.scaling", *words])
    for part in asked:
        measure(part, command)
    return 0


def measure(part: str, command: str) -> None:
    if part == SUM:
        keep(SUM, {"command": command})
        return
    said = {"command": command, "machine": machine()}
    with TemporaryDirectory() as folder:
        for found in PARTS[part](Path(folder)):
            keep(part, said | {"found": found})
            print(part, list(found)[-1], flush=True)


def keep(part: str, found: dict[str, Any]) -> None:
    """In the place of what was known of the part."""
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    both = known | {part: found}
    after = {name: both[name] for name in (*PARTS, SUM) if name in both}
    FILE.write_text(json.dumps(after, indent=2) + "\n", encoding="utf-8")
    FILE.with_suffix(".md").write_text(page(after), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
