"""Score a finished run on its own test rows or on other data, for `evaluate RUN`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from tlplug.data.read import read_splits
from tlplug.data.readers.sources import open_source
from tlplug.data.split import Split, check_rows
from tlplug.errors import UsageError
from tlplug.evaluation.bootstrap import compare_paired
from tlplug.interfaces import Prediction, Rows
from tlplug.runs import directory as run_directory
from tlplug.runs.predict import BATCH_SIZE, CHUNK, Adapted
from tlplug.runtime.console import Reporter
from tlplug.settings import DataSettings, LimitSettings, SplitSettings

TEST = "test"


def evaluate(
    adapted: Adapted, rows: Split, reporter: Reporter
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Score the run's model on the rows that `rows_of` returned.

    Returns:
        The figures (`scores`, `primary_score`, its 95% interval `low` and `high` by the bootstrap over rows, `rows`, `data`)
        and the rows with their predictions.
    """
    predictions = predict_all(adapted, rows, reporter)
    head = adapted.head
    interval = compare_paired(head.example_scores(predictions, rows), [0.0] * len(rows))
    figures = {
        "data": rows.title,
        "rows": len(rows),
        "primary_score": head.primary_score,
        "display_scale": head.display_scale,
        "scores": head.scores(predictions, rows),
        "low": interval.low,
        "high": interval.high,
    }
    return figures, [{**row, **found} for row, found in zip(rows, predictions, strict=True)]


def other_data(settings: DataSettings, overrides: Sequence[str]) -> DataSettings:
    """Return the settings for reading the test rows.

    Where the overrides set `data.path`, the test split of that data is used, or its only split. Limits and splits of
    the run's own data are dropped unless the overrides set them.
    """
    given = {word.lstrip("+").partition("=")[0] for word in overrides}
    if "data.path" not in given:
        return settings
    limit = settings.limit.test if "data.limit.test" in given else None
    settings = replace(settings, limit=LimitSettings(train=limit, validation=limit, test=limit))
    chosen = settings.splits.test if "data.splits.test" in given else only_split(settings)
    return replace(settings, splits=SplitSettings(train=chosen, validation=chosen, test=chosen))


def only_split(settings: DataSettings) -> str:
    tables = open_source(settings).tables
    if TEST in tables:
        return TEST
    if len(tables) != 1:
        raise UsageError(
            f"data.path={settings.path} has no split '{TEST}'; it has {', '.join(tables)}. Set data.splits.test=..."
        )
    return next(iter(tables))


def rows_of(adapted: Adapted, overrides: Sequence[str] = ()) -> Split:
    """Return the rows to evaluate: the run's own test split, or other data.

    Args:
        overrides: the overrides that the run was opened with; `data.path` selects other data.

    Raises:
        UsageError: the data is not usable.
    """
    head, settings = adapted.head, other_data(adapted.run.data, overrides)
    split = read_splits(settings, head.columns, head.optional_columns)[TEST]
    check_rows({TEST: split}, head)
    return split


def predict_all(adapted: Adapted, rows: Rows, reporter: Reporter | None = None) -> list[Prediction]:
    """Return a prediction for each row, computed some batches at a time."""
    remaining, predictions = iter(rows), []
    with (reporter or Reporter()).progress("predicting", len(rows)) as progress:
        while chunk := list(islice(remaining, BATCH_SIZE * CHUNK)):
            predictions += adapted.of_rows(chunk, adapted.run.data.batch_size)
            progress(len(chunk))
    return predictions


def stored_rows(adapted: Adapted) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the run's own test rows and its predictions for them, both from predictions.jsonl."""
    path = adapted.run.folder / "predictions.jsonl"
    columns = {*adapted.head.columns, *adapted.head.optional_columns, "id"}
    # Not splitlines: it would also split a text at U+2028.
    with path.open(encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    rows = [{name: value for name, value in line.items() if name in columns} for line in lines]
    return rows, lines


def write(folder: Path, figures: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Write `predictions.jsonl` and `scores.json` into a folder."""
    run_directory.write_lines(folder / "predictions.jsonl", list(rows))
    run_directory.write_json(folder / "scores.json", figures)
