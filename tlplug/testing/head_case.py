"""Prepare the case that a head is checked on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, wraps
from os import PathLike
from typing import Any, NoReturn

import torch
from torch import nn

from tlplug.errors import did_you_mean
from tlplug.interfaces import BaseInfo, Batch, LoadOptions, Rows, TaskHead
from tlplug.testing import tiny_models as tiny
from tlplug.testing.check import CheckFailure, CheckSkipped
from tlplug.testing.combinations import drop_columns, kit_rows, quick_head
from tlplug.testing.tensors import disable_dropout, seed

SOME = 8
RowSource = Sequence[dict[str, Any]] | Callable[[], Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class HeadOnBase:
    """A head on one kind of base model."""

    head: TaskHead
    base: BaseInfo
    rows: Rows
    """The training rows."""

    @property
    def without_targets(self) -> list[dict[str, Any]]:
        """The rows without their targets."""
        return drop_columns(self.rows, self.head.targets)

    def model(self) -> nn.Module:
        """Load the model without dropout; new modules have the same weights each time."""
        seed(0)
        model: nn.Module = self.head.load_model(self.base, LoadOptions())
        disable_dropout(model)
        return model

    def batch(self, training: bool, *places: int) -> Batch:
        """Return a batch of the rows at these places, by default of all rows."""
        rows = self.rows if training else self.without_targets
        picked = [rows[place] for place in places] if places else rows
        return self.head.collate(self.head.encode(picked, self.base, training), self.base)

    def draws_at_random(self) -> bool:
        """Return whether training batches of the same rows differ."""
        one, other = self.batch(True), self.batch(True)
        return any(
            isinstance(one[name], torch.Tensor)
            and (one[name].shape != other[name].shape or not torch.equal(one[name], other[name]))
            for name in one
        )

    def predictions(self, model: nn.Module) -> list[dict[str, Any]]:
        """Predict the rows as a finished run does."""
        from tlplug.models.predict import order_outputs

        with torch.inference_mode():
            outputs = self.head.predict(model.eval(), self.batch(False))
        return self.head.decode(*order_outputs(outputs, self.without_targets), self.base)


class CheckedRow(dict[str, Any]):
    """A row with the declared columns; reading another column raises `MissingColumn`."""

    def __missing__(self, column: str) -> NoReturn:
        raise MissingColumn(column, self)


class MissingColumn(CheckFailure, KeyError):
    """The error of a head that reads a column which it does not declare; a `KeyError`, which the head may catch."""

    def __init__(self, column: str, row: Mapping[str, Any]) -> None:
        super().__init__(column)
        self.present = [name for name in row if name != "id"]

    def __str__(self) -> str:
        (column,) = self.args
        return (
            f"the head reads row[{column!r}], which it does not declare; its columns are {', '.join(self.present)}."
            f"{did_you_mean(column, self.present)}"
        )


class HeadCase:
    """A head and the rows for its checks.

    Args:
        rows: eight or more, with the head's columns, or a function that returns them; the kit has rows for the columns
            of the built-in heads.
        base: a base model, or its folder, for a head that supports none of the kit's base models, which read texts.
        fields: fields of the head's Config.
    """

    kind_of_plugin = "head"

    def __init__(
        self,
        plugin: type[TaskHead],
        rows: RowSource | None = None,
        base: BaseInfo | str | PathLike[str] | None = None,
        **fields: Any,
    ) -> None:
        self.plugin = plugin
        self.row_source = rows
        self.base = base
        self.fields = fields

    def head(self) -> TaskHead:
        """Return the head without a state."""
        return quick_head(self.plugin, **self.fields)

    @cached_property
    def rows(self) -> list[CheckedRow]:
        """The rows with only the columns that the head declares, as in a run."""
        head = self.head()
        declared = {"id", *head.columns, *head.optional_columns}
        return [
            CheckedRow({name: value for name, value in {**row, "id": i}.items() if name in declared})
            for i, row in enumerate(self.all_columns(head))
        ]

    def all_columns(self, head: TaskHead) -> Sequence[Mapping[str, Any]]:
        if self.row_source is not None:
            return self.row_source() if callable(self.row_source) else self.row_source
        rows = kit_rows(head)
        if rows:
            return rows["train"][:SOME]
        raise CheckFailure(f"the kit has no rows with the columns {', '.join(head.columns)}; pass rows=[...]")

    @cached_property
    def bound(self) -> TaskHead:
        head = self.head()
        return head.with_state(head.fit(self.rows))

    @cached_property
    def bases(self) -> dict[str, BaseInfo]:
        """The base models for the checks, by kind."""
        if self.base is None:
            return {kind: tiny.base(kind) for kind in tiny.KINDS}
        base = self.base if isinstance(self.base, BaseInfo) else tiny.base_in(self.base)
        return {base.config.model_type: base}

    @cached_property
    def by_kind(self) -> dict[str, HeadOnBase]:
        """The case on each base model that the head supports, by kind."""
        return {
            kind: HeadOnBase(self.bound, base, self.rows)
            for kind, base in self.bases.items()
            if self.bound.why_incompatible(base) is None
        }


def for_each_kind(check: Callable[[HeadOnBase], None]) -> Callable[[HeadCase], None]:
    """Run a check on each kind of base model in turn; a failure names the kind."""

    @wraps(check)
    def run(case: HeadCase) -> None:
        reasons: list[CheckSkipped] = []
        for kind, base_case in case.by_kind.items():
            try:
                check(base_case)
            except CheckSkipped as reason:
                reasons.append(reason)
            except CheckFailure as fault:
                raise CheckFailure(f"on the kind {kind}: {fault}") from fault
        if len(reasons) == len(case.by_kind):
            raise reasons[0]

    return run
