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


SECTIONS = (
    *("scores", "curve", "forgotten", "layers", "inherited"),
    *("ranking", "distances", "others", "cost"),
)
"""The parts of a run's report in which a metric can stand."""
FORMS = ("number", "decimal", "signed", "percent", "points", "score", "gain")
"""How a value is written: with three digits that matter; with three decimals, plain or with a sign; a share in percent, a
difference of shares in points; a value of the primary score, or a difference of two, in the score's own unit."""


@dataclass(frozen=True)
class Fact:
    """One value of a metric as the report shows it."""

    name: str
    """What it is called, in a few words."""
    value: float | None = None
    meaning: str = ""
    """What it says, in a short sentence."""
    form: str = "number"
    """How it is written: one of `FORMS`."""
    interval: tuple[float, float] | None = None
    not_measured: str | None = None
    """Why there is no value."""
    layers: Mapping[int, float] = field(default_factory=dict)
    """In place of `value`: one value for each layer, 0 for what goes into the first block. They are shown as a table."""
    shades: Mapping[int, float] = field(default_factory=dict)
    """How dark each layer is in the picture of the section `layers`, from 0 to 1; none: the fact is not in the picture."""
    finding: str = ""
    """What the picture shows, in words."""
    headline: str = ""
    """Its name among the few figures at the top of the report; none: it is not one of them."""
    key: str = ""
    """Of the value among those that `measure` gives."""
    column: str = ""
    """Its column in the table of a report over several runs, which has the mean over seeds; none: it is in no such table."""

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
        """Return the fact of one of a metric's values: with its interval where `<key>/low` and `<key>/high` are measured,
        with the reason where it is not."""
        value = values.get(key, NotMeasured("the metric gave no such value"))
        fact = cls(name, meaning=meaning, form=form, key=key, column=column)
        if isinstance(value, NotMeasured):
            return replace(fact, not_measured=str(value))
        low, high = values.get(f"{key}/low"), values.get(f"{key}/high")
        ends = (low, high) if isinstance(low, int | float) and isinstance(high, int | float) else None
        return replace(fact, value=value, interval=ends)


class TransferMetric:
    """Judges the transfer from recorded evidence. Entry-point group `tlplug.metrics`."""

    contract: ClassVar[int]
    requires: ClassVar[Set[str]] = frozenset()
    """Names of the evidence it reads. Where one is missing the core reports "not measured"."""
    higher_is_better: ClassVar[bool | None] = None
    """None where neither direction is better."""
    section: ClassVar[str] = "others"
    """The part of the report in which it stands: one of `SECTIONS`."""

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

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        """Return what the report says of the values that `measure` gave, in its order. The default: each name and number.

        It is kept in result.json, so that the report can be written again where the metric is not installed.
        """
        return [Fact.of(values, key, key) for key in values]
