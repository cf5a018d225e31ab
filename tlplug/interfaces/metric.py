"""The contract of a transfer-quality metric."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tlplug.interfaces.types import Rows

if TYPE_CHECKING:
    import numpy as np

    from tlplug.interfaces.head import TaskHead
    from tlplug.interfaces.types import BaseInfo

Evidence = Mapping[str, Any]
"""What a run recorded, by name: `example_scores/after`, `cost`, ... Arrays and plain JSON values."""


class NotMeasured(Exception):
    """Raised by `measure` where the evidence does not allow a value, or stands in a single value's place; says why.

    Never a 0 in its place.
    """


@dataclass(frozen=True)
class RowsContext:
    """What `TransferMetric.extra_rows` may look at."""

    head: TaskHead
    base: BaseInfo
    rows: Rows
    """Of the task's validation split, those that features are recorded of."""
    seed: int


@dataclass(frozen=True)
class WeightChange:
    """What an adaptation did to one matrix of the base model."""

    name: str
    """Of the parameter, as the base model has it."""
    layer: int | None
    """0 for the embeddings, k for the k-th block from the bottom; None for what lies in none."""
    before: np.ndarray
    """float32 [m, n]."""
    after: np.ndarray
    """float32 [m, n]."""
    factors: tuple[np.ndarray, np.ndarray] | None = None
    """Where the change is a product of small factors: [m, r] and [r, n], with after = before + left @ right."""


class TransferMetric:
    """Judges the transfer from recorded evidence. Entry-point group `tlplug.metrics`."""

    contract: ClassVar[int]
    requires: ClassVar[Set[str]] = frozenset()
    """Names of the evidence it reads. Where one is missing the core reports "not measured"."""
    higher_is_better: ClassVar[bool | None] = None
    """None where neither direction is better."""

    @dataclass
    class Config:
        """The metric's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def extra_rows(self, context: RowsContext) -> Mapping[str, Rows]:
        """Rows of its own, by a name for each set of them: features and predictions of them are recorded before and after.

        Rows have the head's columns, without the targets, and an `id` each. The evidence is `features/before/<name>`,
        `predictions/after/<name>` and so on.

        Raises:
            NotMeasured: the task has no such rows.
        """
        return {}

    def weight_change(self, change: WeightChange) -> Mapping[str, float]:
        """What it has to know of a matrix that moved: there is no room to keep the matrices themselves.

        Called for each of them at the end of a run. All answers are the evidence `weights/<the metric's name>`: by the
        parameter's name, with its `layer`. The default asks for nothing.
        """
        return {}

    def measure(self, evidence: Evidence) -> dict[str, float | NotMeasured]:
        """The metric's values by name, computed in float64."""
        raise NotImplementedError
