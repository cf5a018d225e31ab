"""Describe the machine, and write results as JSON and Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tlplug.models.precision import cpu_bfloat16_instructions

LIBRARIES = ("tlplug", "torch", "lightning", "transformers", "peft", "accelerate", "bitsandbytes")
Results = dict[str, Any]


def machine() -> Results:
    """Describe the processor, its load and the versions of the libraries; every figure carries the description."""
    return {
        "processor": processor(),
        "bfloat16": cpu_bfloat16_instructions() or "none",
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def load(file: Path) -> Results:
    """Return the results of earlier measurements; empty if there are none."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def save(file: Path, results: Results, page: Callable[[Results], str]) -> None:
    """Write the results to the JSON file, and their page beside it."""
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(page(results), encoding="utf-8")


def markdown(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(paragraphs) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def measured_by(results: Results) -> str:
    return f"`{results['command']}`, with {listed(results['machine'])}. {results.get('note', '')}".rstrip()


def listed(values: Results) -> str:
    return ", ".join(f"{name} {'all' if value is None else value}" for name, value in values.items())
