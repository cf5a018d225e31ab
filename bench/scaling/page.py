"""Write the measured growth of time and memory as Markdown."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from bench.results import Results, markdown, measured_by, table

STAGES = ("read", "check", "encode", "batches")
GRADIENT = 4
"""Bytes of a gradient."""
INTRODUCTION = (
    "How time and memory grow. Compare the CPU seconds, of one thread: other work shared the machine's two cores, so "
    "wall-clock seconds say little. Each figure is of one run. Own memory is resident memory that is no page of a file "
    "(RssAnon, sampled every 20 ms). Mapped rows are resident too while the system has no other use for its memory, "
    "and are dropped as soon as it has."
)
ROWS = (
    "Sentences of 20 tokens on average, log-normal, in JSON Lines are read, checked and encoded, first without and "
    "again with the cache; then the batches of an epoch are ordered, and 20 steps of 32 rows are trained (with the "
    "order of their epoch). The base model is a BERT of one layer of width 16 with MiniLM's tokenizer. CPU seconds:"
)
PEAKS = (
    "Peak own memory in each stage, MB. At the start torch, transformers and others are imported; the steps import more "
    "libraries. Command: all of `python -m tlplug`, with the cache, trivial baseline, evidence and report."
)
WHY = (
    "Rows of files below 64 MB are held in memory (`LARGE` in tlplug/data/readers/arrow_store.py). Larger files are "
    "memory-mapped, and a row costs a few numbers of 8 bytes: its line (data/readers/text_table.py), its id "
    "(data/read.py), its length and its place in the order (data/batching.py). The trivial baseline of classification "
    "puts the labels of all training rows in a list (`trivial_predictions` in plugins/heads/classification.py), about 70 "
    "bytes each, most of what the command adds."
)
LOADER = (
    "Batches of about 32 rows, read from the cache and collated without a model, after their order was made."
)
LENGTH = (
    "Batches of 2048 tokens (`data.tokens_per_batch=2048`), in fewer and longer texts; lora on MiniLM, 12 steps, of which "
    "the first is the slowest. Padding is not counted as tokens."
)
BATCH = "`data.batch_size` on the sentiment task that ships; lora on MiniLM, 12 steps."
STRATEGIES = (
    "One seed, 96 training rows of the sentiment task, MiniLM, one epoch, stop_early=false; an empty cache each time. Each "
    "comparison starts, reads, encodes and scores the trivial baseline once. A further strategy adds a trial step, its "
    "training, its test and the libraries that only it needs."
)
PROCESSES = (
    "The same 12 steps of 16 rows in one process, and in two with 8 rows each (gloo, `trainer.devices=2 "
    "trainer.strategy=ddp`). CPU seconds are those of the first process times the number of processes. The bytes sent are "
    "computed: gradients in float32, in a ring 2(n-1)/n of them from each process at each step. Each process also updates "
    "all trainable weights with an optimizer of its own. Two processes and other work share two cores, so the wall-clock "
    "seconds are not those of two free machines."
)


def page(results: Results) -> str:
    parts = [["# Scaling", INTRODUCTION]]
    parts += [make(results[name]) for name, make in PARTS.items() if name in results]
    return markdown(paragraph for part in parts for paragraph in part)


def rows_part(part: Results) -> list[str]:
    runs = [(count, when, each) for count, each in part["found"].items() for when in ("first", "again")]
    heads = ["rows", "file MB", "", "start", *STAGES, "steps", "command"]
    return [
        "## Rows",
        ROWS,
        table(["rows", "", *STAGES, "20 steps"], [time_cells(*run) for run in runs]),
        PEAKS,
        table(heads, [peak_cells(*run) for run in runs]),
        *([growth_per_row(part["found"])] if len(part["found"]) > 1 else []),
        WHY,
        measured_by(part),
    ]


def time_cells(count: str, when: str, figures: Results) -> list[str]:
    stages = [figures[when][name]["cpu_seconds"] for name in (*STAGES, "fit")]
    return [f"{int(count):,}", when, *(f"{seconds:.2f}" for seconds in stages)]


def peak_cells(count: str, when: str, figures: Results) -> list[str]:
    stages = [figures[when][name]["peak_mb"] for name in ("start", *STAGES, "steps")]
    command = f"{figures['command']['peak_mb']:.0f}" if when == "again" else ""
    peaks = [f"{megabytes:.0f}" for megabytes in stages]
    return [f"{int(count):,}", f"{figures['file_mb']:.1f}", when, *peaks, command]


def growth_per_row(figures: Results) -> str:
    """Describe the bytes that a further row adds to the peaks between the two largest counts."""
    (few, less), (many, more) = list(figures.items())[-2:]
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


def loader_part(part: Results) -> list[str]:
    head = ["rows", "tokens a CPU second", "CPU ms for 32 rows"]
    rows = [loader_cells(count, figures) for count, figures in part["found"].items()]
    return ["## Loader", LOADER, table(head, rows), measured_by(part)]


def loader_cells(count: str, figures: Results) -> list[str]:
    seconds, collated = figures["collate"]["cpu_seconds"], figures["collated"]
    return [
        f"{int(count):,}",
        f"{collated['tokens'] / seconds:,.0f}",
        f"{32e3 * seconds / collated['rows']:.2f}",
    ]


def fits_part(title: str, variable: str, description: str) -> Callable[[Results], list[str]]:
    def part(measured: Results) -> list[str]:
        head = [
            variable,
            "tokens a CPU second",
            "CPU seconds of the fit",
            "own memory MB, whole run",
            "process CPU s",
        ]
        cells = [[name, *fit_cells(each)] for name, each in measured["found"].items()]
        return [f"## {title}", description, table(head, cells), measured_by(measured)]

    return part


def fit_cells(figures: Results) -> list[str]:
    fit, process = figures["fit"], figures["process"]
    tokens = fit["tokens_per_second"] * fit["seconds"]
    return [
        f"{tokens / fit['cpu_seconds']:,.0f}",
        f"{fit['cpu_seconds']:.1f}",
        f"{process['peak_mb']:.0f}",
        f"{process['cpu_seconds']:.1f}",
    ]


def strategies_part(part: Results) -> list[str]:
    comparisons = part["found"]
    seconds = [each["cpu_seconds"] for each in comparisons.values()]
    added = ["", *(f"{after - before:.1f}" for before, after in pairwise(seconds))]
    head = ["strategies", "CPU seconds", "the last adds", "of which its fit", "own memory MB"]
    rows = [
        [
            strategies.replace(",", ", "),
            f"{each['cpu_seconds']:.1f}",
            more,
            f"{each['fits'][-1]['cpu_seconds']:.1f}",
            f"{each['peak_mb']:.0f}",
        ]
        for (strategies, each), more in zip(comparisons.items(), added, strict=True)
    ]
    return ["## Strategies in `compare`", STRATEGIES, table(head, rows), measured_by(part)]


def processes_part(part: Results) -> list[str]:
    head = ["strategy", "processes", "fit CPU s", "fit s, clock", "sent a step MB", "own memory MB, first"]
    rows = [process_cells(*name.split(", "), each) for name, each in part["found"].items()]
    return ["## Processes", PROCESSES, table(head, rows), measured_by(part)]


def process_cells(strategy: str, processes: str, figures: Results) -> list[str]:
    count, fit = int(processes), figures["fit"]
    sent = 2 * (count - 1) / count * GRADIENT * fit["trainable_parameters"]
    return [
        strategy,
        processes,
        f"{count * fit['cpu_seconds']:.1f}",
        f"{fit['seconds']:.1f}",
        f"{sent / 1e6:.1f}",
        f"{figures['process']['peak_mb']:.0f}",
    ]


PARTS: dict[str, Callable[[Results], list[str]]] = {
    "rows": rows_part,
    "loader": loader_part,
    "length": fits_part("Length", "tokens a text", LENGTH),
    "batch": fits_part("Batch", "rows a batch", BATCH),
    "strategies": strategies_part,
    "processes": processes_part,
}
