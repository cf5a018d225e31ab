"""The contract of a transfer-quality metric."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from tlplug.interfaces.types import Rows

if TYPE_CHECKING:
    import numpy as np

    from tlplug.interfaces.head import TaskHead
    from tlplug.interfaces.types import BaseInfo

Evidence = Mapping[str, Any]
"""The values that a run recorded, by name: `example_scores/after`, `cost`, ... Arrays and plain JSON values."""


class NotMeasured(Exception):
    """The reason why the evidence allows no value; raised by `measure`, or returned in place of a single value.

    A metric never returns 0 instead.
    """


@dataclass(frozen=True)
class RowsContext:
    """The arguments of `TransferMetric.extra_rows`."""

    head: TaskHead
    base: BaseInfo
    rows: Rows
    """The rows of the task's validation split whose features are recorded."""
    seed: int


@dataclass(frozen=True)
class WeightChange:
    """The change that an adaptation made to one matrix of the base model."""

    name: str
    """The parameter's name in the base model."""
    layer: int | None
    """0 for the embeddings, k for the k-th block from the bottom; None outside the blocks and embeddings."""
    before: np.ndarray
    """float32 [m, n]."""
    after: np.ndarray
    """float32 [m, n]."""
    factors: tuple[np.ndarray, np.ndarray] | None = None
    """The factors of a low-rank change: [m, r] and [r, n], with after = before + left @ right."""


SECTIONS = ("scores", "curve", "forgotten", "layers", "inherited", "ranking", "distances", "others", "cost")
"""The sections of a run's report that can show a metric."""
FORMS = ("number", "decimal", "signed", "percent", "points", "score", "gain")
"""Formats of a value: with three significant digits; with three decimals, without or with a sign; a share in percent; a
difference of shares in points; a value of the primary score, or a difference of two, in the score's own unit."""


@dataclass(frozen=True)
class Fact:
    """One value of a metric as the report shows it."""

    name: str
    """A name of a few words."""
    value: float | None = None
    meaning: str = ""
    """An explanation in a short sentence."""
    form: str = "number"
    """The value's format: one of `FORMS`."""
    interval: tuple[float, float] | None = None
    not_measured: str | None = None
    """The reason why there is no value."""
    layers: Mapping[int, float] = field(default_factory=dict)
    """In place of `value`, a value for each layer, shown as a table; layer 0 is the input of the first block."""
    shades: Mapping[int, float] = field(default_factory=dict)
    """Each layer's shade from 0 (light) to 1 (dark) in the chart of the section `layers`; empty: not in the chart."""
    finding: str = ""
    """The chart's result in words."""
    headline: str = ""
    """The fact's name among the key figures at the top of the report; empty: it is not one of them."""
    key: str = ""
    """The value's key in the result of `measure`."""
    column: str = ""
    """The title of a column, with the mean over seeds, in a report over several runs; empty: it has none."""

    @classmethod
    def of(
        cls,
        values: Mapping[str, float | NotMeasured],
        key: str,
        name: str,
        meaning: str = "",
        form: str = "number",
        column: str = "",
    ) -> Fact:
        """Return the fact for one of a metric's values, with its interval from `<key>/low` and `<key>/high`.

        A value that was not measured gives its reason instead.
        """
        value = values.get(key, NotMeasured("the metric gave no such value"))
        fact = cls(name, meaning=meaning, form=form, key=key, column=column)
        if isinstance(value, NotMeasured):
            return replace(fact, not_measured=str(value))
        low, high = values.get(f"{key}/low"), values.get(f"{key}/high")
        ends = (low, high) if isinstance(low, int | float) and isinstance(high, int | float) else None
        return replace(fact, value=value, interval=ends)


class TransferMetric:
    """A measure of transfer, computed from recorded evidence. Entry-point group `tlplug.metrics`."""

    contract: ClassVar[int]
    requires: ClassVar[Set[str]] = frozenset()
    """Names of the evidence that the metric reads. Where one is missing the core reports "not measured"."""
    higher_is_better: ClassVar[bool | None] = None
    """None where neither direction is better."""
    section: ClassVar[str] = "others"
    """The section of the report that shows the metric: one of `SECTIONS`."""

    @dataclass
    class Config:
        """The metric's own fields: the only home of their defaults."""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def extra_rows(self, context: RowsContext) -> Mapping[str, Rows]:
        """Return further rows, by a name for each set, whose features and predictions are recorded before and after.

        Rows have an `id` and the head's columns without the targets. The evidence is `features/before/<name>`,
        `predictions/after/<name>` and so on.

        Raises:
            NotMeasured: the task has no such rows.
        """
        return {}

    def weight_change(self, change: WeightChange) -> Mapping[str, float]:
        """Return the numbers that the metric needs from a changed matrix; the matrices themselves are not stored.

        Called for each changed matrix at the end of a run. The results are the evidence `weights/<the metric's name>`, by
        the parameter's name, with its `layer`. The default records nothing.
        """
        return {}

    def measure(self, evidence: Evidence) -> dict[str, float | NotMeasured]:
        """Return the metric's values by name, computed in float64."""
        raise NotImplementedError

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        """Return the facts that the report shows for the result of `measure`, in order; by default each name and number.

        They are stored in result.json, so that the report can be rewritten where the metric is not installed.
        """
        return [Fact.of(values, key, key) for key in values]
