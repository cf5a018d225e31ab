"""The commands on finished runs: `evaluate`, `metrics`, `report`, `predict`, `export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tlplug.commands.arguments import Parser, parser
from tlplug.errors import UsageError


def evaluate(words: Sequence[str]) -> int:
    """`evaluate RUN [data.key=value ...] [--output FOLDER]`."""
    options = parser(
        "evaluate",
        "Score a finished run on its test split or on other data, and write its predictions.",
        "outputs/my-run data.path=other.jsonl",
    )
    options.add_argument(
        "data", metavar="data.key=value", nargs="*", help="other data, such as data.path=..."
    )
    options.add_argument("--output", type=Path, metavar="FOLDER", help="default: RUN/evaluations/<time>-<id>")
    given = options.parse(words)
    from rich.console import Console

    from tlplug.reports.terminal import show_scores
    from tlplug.runs import directory as run_directory
    from tlplug.runs.evaluate import evaluate as score
    from tlplug.runs.evaluate import rows_of, write
    from tlplug.runs.load import load
    from tlplug.runtime.console import progress_bar, quiet_libraries

    folder = given.output or given.run / "evaluations" / run_directory.stamp()
    run_directory.expect_empty(folder, f"--output {folder}")
    console = Console()
    with quiet_libraries():
        adapted = load(given.run, given.data, given.trust)
        rows = rows_of(adapted, given.data)
        with progress_bar(console, "predicting", len(rows)) as progress:
            figures, predicted = score(adapted, rows, progress)
    write(folder, figures, predicted)
    show_scores(console, figures, folder)
    return 0


def metrics(words: Sequence[str]) -> int:
    """`metrics RUN metric=[...] [metric.name.field=value ...] [transfer.source_domain=...]`."""
    options = parser(
        "metrics",
        "Measure further metrics of a finished run, from its evidence or from its model.",
        "outputs/my-run metric=[cka,retention]",
    )
    options.add_keys("metric=[...], metric.<name>.<field>=, transfer.source_domain=")
    given = options.parse(words)
    from rich.console import Console

    from tlplug.config.compose import Composer
    from tlplug.config.metric_options import metrics_of
    from tlplug.config.reopen import reopen
    from tlplug.reports.terminal import show_metrics
    from tlplug.runs import directory as run_directory
    from tlplug.runs.finished_metrics import NODES, previous_overrides
    from tlplug.runs.finished_metrics import measure as compute
    from tlplug.runs.result import write_run_report
    from tlplug.runtime.console import quiet_libraries

    run_directory.expect_writable(given.run)
    asked = [word for word in given.keys if word.lstrip("+").partition("=")[0].split(".")[0] == "metric"]
    others = [word for word in given.keys if word not in asked]
    with Composer() as composer:
        others = composer.spelt_out(others)
    words = [*previous_overrides(given.run, others), *others]
    selected, run = metrics_of(asked), reopen(given.run, words, given.trust, NODES)
    console = Console()
    with quiet_libraries():
        result = compute(run, selected, words, bool(others), lambda told: console.print(told, style="dim"))
    write_run_report(given.run)
    show_metrics(console, {name: result["metrics"][name] for name in selected}, given.run)
    return 0


def report(words: Sequence[str]) -> int:
    """`report RUN... | SWEEP_DIR [--output FOLDER]`; of one run its own report, written anew."""
    options = Parser(
        "report",
        "Compare finished runs in one report; of a single run, write its own report anew.",
        "outputs/sentiment",
    )
    options.add_argument(
        "runs", metavar="RUN", type=Path, nargs="+", help="run directory, or a folder with runs below it"
    )
    options.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="default: the one folder named, else outputs/reports/<time>-<id>",
    )
    given = options.parse(words)
    from rich.console import Console

    from tlplug.commands.report.find import is_run
    from tlplug.commands.report.report import gather, retell
    from tlplug.commands.report.table import show_gathered, show_paths

    console = Console()
    if len(given.runs) == 1 and is_run(given.runs[0]):
        show_paths(console, retell(given.runs[0], given.output))
        return 0
    gathered, folder = gather(given.runs, given.output)
    show_gathered(console, gathered)
    show_paths(console, folder)
    return 0


def predict(words: Sequence[str]) -> int:
    """`predict RUN --input FILE|- [--output FILE]` or `--text "..."`."""
    options = parser(
        "predict",
        "Predict with a finished run: JSON Lines in, JSON Lines out.",
        "outputs/my-run --text 'a warm film'",
    )
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--input", metavar="FILE", help="JSON Lines with the head's columns; - is standard input"
    )
    source.add_argument(
        "--text", action="append", help="a text for the head's first column; may be given again"
    )
    options.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    options.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="rows at a time (default: 32)"
    )
    given = options.parse(words)
    if given.input not in (None, "-") and not Path(given.input).is_file():
        raise UsageError(f"--input {given.input}: there is no such file")
    if given.output is not None and given.output.exists():
        raise UsageError(f"--output {given.output}: something lies there already; name a new file")
    from tlplug.runs.load import load
    from tlplug.runs.predict import Lines, write_lines
    from tlplug.runtime.console import quiet_libraries

    with ExitStack() as stack:
        stack.enter_context(quiet_libraries())
        adapted = load(given.run, trust=given.trust)
        out = sys.stdout
        if given.output is not None:
            out = stack.enter_context(given.output.open("w", encoding="utf-8"))
        if given.text:
            predictions = adapted.stream(given.text, given.batch_size)
        else:
            lines = Lines(sys.stdin.buffer, "standard input")
            if given.input != "-":
                lines = Lines(stack.enter_context(Path(given.input).open("rb")), given.input)
            predictions = adapted.stream(lines, given.batch_size, lines.place)
        write_lines(predictions, out)
    return 0


def positive(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 on")
    return int(word)


def repository(word: str) -> str:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(word)
    except HFValidationError as error:
        raise argparse.ArgumentTypeError(
            f"'{word}' cannot be a repository's name: owner/name, in letters, digits, '-', '_' and '.', "
            "without '--' or '..'"
        ) from error
    return word


def export(words: Sequence[str]) -> int:
    """`export RUN OUT [--merge] [--dtype ...] [--push owner/name]`."""
    options = parser(
        "export",
        "Write what the run trained as plain transformers and peft load it, with a model card.",
        "outputs/my-run my-model --merge",
    )
    options.add_argument("out", metavar="OUT", type=Path, help="a folder that is not there yet")
    options.add_argument("--merge", action="store_true", help="one model that stands alone")
    options.add_argument("--dtype", help="of a merged model: float32, bfloat16 or float16")
    options.add_argument(
        "--push", metavar="OWNER/NAME", type=repository, help="upload it to the Hugging Face hub as well"
    )
    options.add_argument("--private", action="store_true", help="as a private repository")
    given = options.parse(words)
    if given.private and not given.push:
        raise UsageError("--private goes with --push")
    from rich.console import Console

    from tlplug.reports.terminal import show_export
    from tlplug.runs.export import check, push
    from tlplug.runs.export import export as write
    from tlplug.runs.load import load
    from tlplug.runtime.console import quiet_libraries

    check(given.out, given.merge, given.dtype)
    with quiet_libraries():
        drift = write(load(given.run, trust=given.trust), given.out, given.merge, given.dtype)
    show_export(Console(), given.out, drift)
    if given.push:
        address = push(given.out, given.push, given.private)
        Console().print(f"Uploaded  {address}", highlight=False, markup=False, soft_wrap=True)
    return 0
