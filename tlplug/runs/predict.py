"""Predict rows with a finished run: JSON Lines in, JSON Lines out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from tlplug.config.reopen import FinishedRun
from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, Prediction, Row, TaskHead
from tlplug.models.precision import autocast
from tlplug.models.predict import predict_rows

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH_SIZE = 32
CHUNK = 16
"""Number of batches whose rows are read and sorted by length together."""


@dataclass(frozen=True)
class Adapted:
    """A model that a run has adapted, with its head and base model."""

    run: FinishedRun
    head: TaskHead
    base: BaseInfo
    model: nn.Module
    device: torch.device
    precision: str

    def predict(
        self, inputs: Iterable[str | Mapping[str, Any]], batch_size: int = BATCH_SIZE
    ) -> list[Prediction]:
        """Return one prediction for each input, in order.

        Args:
            inputs: rows with the head's columns except its targets, under the head's names or those of the run's data;
                or texts for the first of these columns.

        Returns:
            Dicts with `id` (the input's position), `prediction` and what the head adds.

        Raises:
            UsageError: the head cannot read an input; the message names it.
        """
        return list(self.stream(inputs, batch_size))

    def stream(
        self,
        inputs: Iterable[str | Mapping[str, Any]],
        batch_size: int = BATCH_SIZE,
        place: Callable[[int], str] = lambda position: f"input {position + 1}",
    ) -> Iterator[Prediction]:
        """Yield the predictions of `predict` while inputs arrive; only a few batches are in memory.

        Where an input is wrong, the inputs before it are predicted first.

        Args:
            place: returns the place of an input, given its position, for error messages.

        Raises:
            UsageError: the head cannot read an input; the message names it.
        """
        rows = (self.row(given, position, place) for position, given in enumerate(inputs))
        wanted = batch_size * CHUNK
        while True:
            chunk, fault = taken(rows, wanted)
            if chunk:
                yield from self.of_rows(chunk, batch_size)
            if fault is not None:
                raise fault
            if len(chunk) < wanted:
                return

    def row(self, given: Any, position: int, place: Callable[[int], str]) -> Row:
        """Return an input as a row that the head accepts.

        Raises:
            UsageError: the input has another form, lacks a column, or the head refuses it.
        """
        columns = self.run.data.columns
        names = [*self.head.columns, *self.head.optional_columns]
        wanted = [name for name in self.head.columns if name not in self.head.targets]
        if isinstance(given, str):
            given = {wanted[0]: given}
        if not isinstance(given, Mapping):
            raise UsageError(
                f"{place(position)} is {given!r}; expected a text or an object with {', '.join(wanted)}"
            )
        found = {
            # The data's own name for a column takes precedence over the head's, as in training.
            name: given[key]
            for name in names
            for key in (name, columns.get(name, name))
            if key in given
        }
        if missing := [name for name in wanted if name not in found]:
            raise UsageError(
                f"{place(position)}: no column {', '.join(map(repr, missing))}; "
                f"it has: {', '.join(map(str, given)) or 'none'}"
            )
        row = {**found, "id": position}
        if problem := self.head.row_error(row, with_targets=False):
            raise UsageError(f"{place(position)}: {problem}")
        return row

    def of_rows(self, rows: Sequence[Row], batch_size: int = BATCH_SIZE) -> list[Prediction]:
        """Return predictions for checked rows with unique `id`s."""
        import torch

        with torch.inference_mode(), autocast(self.precision, self.device):
            return predict_rows(rows, self.head, self.model, self.base, batch_size, self.device)


def taken(rows: Iterator[Row], count: int) -> tuple[list[Row], UsageError | None]:
    """Return up to `count` next rows, and the error of the row after them where it is wrong."""
    chunk: list[Row] = []
    try:
        chunk.extend(islice(rows, count))
    except UsageError as fault:
        return chunk, fault
    return chunk, None


class Lines:
    """Iterate over the JSON values of the lines of a file; blank lines are skipped."""

    def __init__(self, file: Iterable[bytes], name: str) -> None:
        self.file = file
        self.name = name
        self.numbers: list[int] = []
        """Line number of each value."""

    def place(self, position: int) -> str:
        """Return the file and line of the value at a position."""
        return f"{self.name}, line {self.numbers[position]}"

    def __iter__(self) -> Iterator[Any]:
        """Yield the value of each line.

        Raises:
            UsageError: a line is not UTF-8 or not JSON; the message names it. Earlier lines have been yielded.
        """
        for number, raw in enumerate(self.file, start=1):
            if raw.strip():
                self.numbers.append(number)
                yield self._value(raw, "utf-8-sig" if number == 1 else "utf-8")

    def _value(self, raw: bytes, encoding: str) -> Any:
        place = self.place(len(self.numbers) - 1)
        try:
            return json.loads(raw.decode(encoding))
        except UnicodeDecodeError as error:
            raise UsageError(f"{place}: byte {error.start + 1} is not UTF-8") from error
        except json.JSONDecodeError as error:
            raise UsageError(
                f"{place}: not JSON ({error.msg}, character {error.colno}); "
                'expected an object such as {"text": "..."}'
            ) from error


def write_lines(predictions: Iterable[Prediction], out: TextIO) -> None:
    """Write each prediction as a line of JSON, and flush after each."""
    for prediction in predictions:
        out.write(json.dumps(prediction, ensure_ascii=False) + "\n")
        out.flush()
