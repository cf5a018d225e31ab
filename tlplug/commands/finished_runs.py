"""Define the commands for finished runs: `evaluate`, `metrics`, `report`, `predict`, `export`."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from tlplug.commands.arguments import Command, output_folder, overrides, run_argument
from tlplug.errors import UsageError


@click.command(cls=Command, example="outputs/my-run data.path=other.jsonl")
@run_argument
@overrides
@output_folder("Where scores and predictions are written; default: RUN/evaluations/<time>-<id>.")
def evaluate(run: Path, keys: tuple[str, ...], output: Path | None, trust: bool) -> int:
    """Score a finished run on its test split or on other data.

    KEY=VALUE names other data, such as data.path=...
    """
    from rich.console import Console

    from tlplug.reports.terminal import show_scores
    from tlplug.runs import directory as run_directory
    from tlplug.runs.evaluate import evaluate as score
    from tlplug.runs.evaluate import rows_of, write
    from tlplug.runs.load import load
    from tlplug.runtime.console import Reporter, quiet_libraries

    folder = output or run / "evaluations" / run_directory.stamp()
    run_directory.expect_empty(folder, f"--output {folder}")
    console = Console()
    with quiet_libraries():
        adapted = load(run, keys, trust)
        rows = rows_of(adapted, keys)
        figures, predicted = score(adapted, rows, Reporter(console))
    write(folder, figures, predicted)
    show_scores(console, figures, folder)
    return 0


@click.command(cls=Command, example="outputs/my-run metric=[cka,retention]")
@run_argument
@overrides
def metrics(run: Path, keys: tuple[str, ...], trust: bool) -> int:
    """Measure further transfer metrics of a finished run.

    They are computed from its evidence, or from its model where that is not enough.
    KEY=VALUE is metric=[...], metric.<name>.<field>= or transfer.source_domain=...
    """
    from rich.console import Console

    from tlplug.config.choices import root_key
    from tlplug.config.compose import Composer
    from tlplug.config.metric_options import metrics_of
    from tlplug.config.reopen import reopen
    from tlplug.reports.terminal import show_metrics
    from tlplug.runs import directory as run_directory
    from tlplug.runs.finished_metrics import NODES, previous_overrides
    from tlplug.runs.finished_metrics import measure as compute
    from tlplug.runs.result import write_run_report
    from tlplug.runtime.console import Reporter, quiet_libraries

    run_directory.expect_writable(run)
    asked = [word for word in keys if root_key(word) == "metric"]
    others = [word for word in keys if word not in asked]
    with Composer() as composer:
        others = composer.spelt_out(others)
    words = [*previous_overrides(run, others), *others]
    selected, finished = metrics_of(asked), reopen(run, words, trust, NODES)
    console = Console()
    with quiet_libraries():
        result = compute(finished, selected, Reporter(console), words, anew=bool(others))
    write_run_report(run)
    show_metrics(console, {name: result["metrics"][name] for name in selected}, run)
    return 0


@click.command(cls=Command, example="outputs/sentiment")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@output_folder("Where it is written; default: the one folder named, else outputs/reports/<time>-<id>.")
def report(runs: tuple[Path, ...], output: Path | None) -> int:
    """Compare finished runs in one report.

    Of a single run its own report is written anew. RUN is a run directory, or a folder with runs below it.
    """
    from rich.console import Console

    from tlplug.commands.report.find import is_run
    from tlplug.commands.report.report import gather, retell
    from tlplug.commands.report.table import show_gathered, show_paths

    console = Console()
    if len(runs) == 1 and is_run(runs[0]):
        show_paths(console, retell(runs[0], output))
        return 0
    gathered, folder = gather(runs, output)
    show_gathered(console, gathered)
    show_paths(console, folder)
    return 0


@click.command(cls=Command, example="outputs/my-run --text 'a warm film'")
@run_argument
@click.option("--input", metavar="FILE", help="JSON Lines with the head's columns; - is standard input.")
@click.option("--text", multiple=True, help="A text for the head's first column; may be given again.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Default: standard output.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Rows at a time."
)
def predict(
    run: Path, input: str | None, text: tuple[str, ...], output: Path | None, batch_size: int, trust: bool
) -> int:
    """Predict with a finished run: JSON Lines in, JSON Lines out."""
    if bool(text) == (input is not None):
        raise click.UsageError("say what to predict: --input FILE, or --text")
    if input is not None and input != "-" and not Path(input).is_file():
        raise UsageError(f"--input {input}: there is no such file")
    if output is not None and output.exists():
        raise UsageError(f"--output {output}: something lies there already; name a new file")
    from tlplug.runs.load import load
    from tlplug.runs.predict import Lines, write_lines
    from tlplug.runtime.console import quiet_libraries

    with ExitStack() as stack:
        stack.enter_context(quiet_libraries())
        adapted = load(run, trust=trust)
        out = sys.stdout
        if output is not None:
            out = stack.enter_context(output.open("w", encoding="utf-8"))
        if input is None:
            predictions = adapted.stream(text, batch_size)
        else:
            lines = Lines(sys.stdin.buffer, "standard input")
            if input != "-":
                lines = Lines(stack.enter_context(Path(input).open("rb")), input)
            predictions = adapted.stream(lines, batch_size, lines.place)
        write_lines(predictions, out)
    return 0


class Repository(click.ParamType):  # type: ignore[type-arg]
    """The name of a repository on the Hugging Face hub."""

    name = "owner/name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(value)
        except HFValidationError:
            self.fail(
                f"'{value}' cannot be a repository's name: owner/name, in letters, digits, '-', '_' and '.', "
                "without '--' or '..'",
                param,
                ctx,
            )
        return value


@click.command(cls=Command, example="outputs/my-run my-model --merge")
@run_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Write one model that stands alone.")
@click.option("--dtype", help="Of a merged model: float32, bfloat16 or float16.")
@click.option(
    "--push", metavar="OWNER/NAME", type=Repository(), help="Upload it to the Hugging Face hub as well."
)
@click.option("--private", is_flag=True, help="As a private repository.")
def export(run: Path, out: Path, push: str | None, private: bool, trust: bool, **merging: Any) -> int:
    """Export a run for plain transformers and peft, with a model card.

    OUT is a folder that does not exist yet.
    """
    if private and not push:
        raise UsageError("--private goes with --push")
    from rich.console import Console

    from tlplug.reports.terminal import show_export
    from tlplug.runs.export import check
    from tlplug.runs.export import export as write
    from tlplug.runs.export import push as upload
    from tlplug.runs.load import load
    from tlplug.runtime.console import quiet_libraries

    check(out, **merging)
    with quiet_libraries():
        drift = write(load(run, trust=trust), out, **merging)
    show_export(Console(), out, drift)
    if push:
        address = upload(out, push, private)
        Console().print(f"Uploaded  {address}", highlight=False, markup=False, soft_wrap=True)
    return 0
