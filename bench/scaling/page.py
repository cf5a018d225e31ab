"""Figures of growth -> Markdown."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from bench.markdown import measured_by, table
from bench.scaling import single_node_estimate, text

Found = dict[str, Any]
STAGES = ("read", "check", "encode", "batches")
GRADIENT = 4
"""Bytes of a gradient."""


def page(known: Found) -> str:
    parts = [["# Scaling", text.INTRODUCTION]]
    parts += [make(known[name]) for name, make in PARTS.items() if name in known]
    if {"sum", "rows", "loader"} <= set(known):
        told = single_node_estimate.part(known["rows"]["found"], known["loader"]["found"])
        parts.append(
            ["## More machines: a sum", f"`{known['sum']['command']}`; nothing of it was run.", *told]
        )
    return "\n\n".join(paragraph for part in parts for paragraph in part) + "\n"


def rows_part(part: Found) -> list[str]:
    runs = [(count, when, each) for count, each in part["found"].items() for when in ("first", "again")]
    heads = ["rows", "file MB", "", "start", *STAGES, "steps", "command"]
    return [
        "## Rows",
        text.ROWS,
        table(["rows", "", *STAGES, "20 steps"], [time_cells(*run) for run in runs]),
        text.PEAKS,
        table(heads, [peak_cells(*run) for run in runs]),
        *([grown(part["found"])] if len(part["found"]) > 1 else []),
        text.WHY,
        measured_by(part),
    ]


def time_cells(count: str, when: str, each: Found) -> list[str]:
    stages = [each[when][name]["cpu_seconds"] for name in (*STAGES, "fit")]
    return [f"{int(count):,}", when, *(f"{seconds:.2f}" for seconds in stages)]


def peak_cells(count: str, when: str, each: Found) -> list[str]:
    stages = [each[when][name]["peak_mb"] for name in ("start", *STAGES, "steps")]
    command = f"{each['command']['peak_mb']:.0f}" if when == "again" else ""
    return [
        f"{int(count):,}",
        f"{each['file_mb']:.1f}",
        when,
        *(f"{megabytes:.0f}" for megabytes in stages),
        command,
    ]


def grown(found: Found) -> str:
    """What a further row adds to the peaks between the last two counts."""
    (few, less), (many, more) = list(found.items())[-2:]
    rows = int(many) - int(few)

    def added(megabytes: float) -> str:
        return f"{megabytes * 2**20 / rows:.0f}"

    stages = [
        f"{name} {added(more['again'][name]['peak_mb'] - less['again'][name]['peak_mb'])}"
        for name in (*STAGES, "steps")
    ]
    return (
        f"From {int(few):,} to {int(many):,} rows a further row, {added(more['file_mb'] - less['file_mb'])} bytes in the "
        f"file, adds to the peaks, in bytes: {', '.join(stages)}; to that of the command "
        f"{added(more['command']['peak_mb'] - less['command']['peak_mb'])}."
    )


def loader_part(part: Found) -> list[str]:
    rows = [
        [
            f"{int(count):,}",
            f"{rate(each):,.0f}",
            f"{32e3 * each['collate']['cpu_seconds'] / each['collated']['rows']:.2f}",
        ]
        for count, each in part["found"].items()
    ]
    head = ["rows", "tokens a CPU second", "CPU ms for 32 rows"]
    return ["## Loader", text.LOADER, table(head, rows), measured_by(part)]


def rate(each: Found) -> float:
    """Tokens a CPU second."""
    tokens: int = each["collated"]["tokens"]
    return tokens / float(each["collate"]["cpu_seconds"])


def fits_part(title: str, grows: str, words: str) -> Callable[[Found], list[str]]:
    def part(measured: Found) -> list[str]:
        head = [
            grows,
            "tokens a CPU second",
            "CPU seconds of the fit",
            "own memory MB, whole run",
            "process CPU s",
        ]
        cells = [[name, *fit_cells(each)] for name, each in measured["found"].items()]
        return [f"## {title}", words, table(head, cells), measured_by(measured)]

    return part


def fit_cells(each: Found) -> list[str]:
    fit, process = each["fit"], each["process"]
    tokens = fit["tokens_per_second"] * fit["seconds"]
    return [
        f"{tokens / fit['cpu_seconds']:,.0f}",
        f"{fit['cpu_seconds']:.1f}",
        f"{process['peak_mb']:.0f}",
        f"{process['cpu_seconds']:.1f}",
    ]


def strategies_part(part: Found) -> list[str]:
    found = part["found"]
    spent = [each["cpu_seconds"] for each in found.values()]
    added = ["", *(f"{after - before:.1f}" for before, after in pairwise(spent))]
    head = ["strategies", "CPU seconds", "the last adds", "of which its fit", "own memory MB"]
    rows = [
        [
            chosen.replace(",", ", "),
            f"{each['cpu_seconds']:.1f}",
            more,
            last_fit(each),
            f"{each['peak_mb']:.0f}",
        ]
        for (chosen, each), more in zip(found.items(), added, strict=True)
    ]
    return ["## Strategies in `compare`", text.STRATEGIES, table(head, rows), measured_by(part)]


def last_fit(each: Found) -> str:
    return f"{each['fits'][-1]['cpu_seconds']:.1f}"


def processes_part(part: Found) -> list[str]:
    head = ["strategy", "processes", "fit CPU s", "fit s, clock", "sent a step MB", "own memory MB, first"]
    rows = [process_cells(*name.split(", "), each) for name, each in part["found"].items()]
    return ["## Processes", text.PROCESSES, table(head, rows), measured_by(part)]


def process_cells(strategy: str, processes: str, each: Found) -> list[str]:
    count, fit = int(processes), each["fit"]
    sent = 2 * (count - 1) / count * GRADIENT * fit["trainable_parameters"]
    return [
        *(strategy, processes, f"{count * fit['cpu_seconds']:.1f}", f"{fit['seconds']:.1f}"),
        *(f"{sent / 1e6:.1f}", f"{each['process']['peak_mb']:.0f}"),
    ]


PARTS: dict[str, Callable[[Found], list[str]]] = {
    "rows": rows_part,
    "loader": loader_part,
    "length": fits_part("Length", "tokens a text", text.LENGTH),
    "batch": fits_part("Batch", "rows a batch", text.BATCH),
    "strategies": strategies_part,
    "processes": processes_part,
}
