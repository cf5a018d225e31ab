"""Name all evidence that a run can record, and check a metric's `requires` against the names."""

from __future__ import annotations

from collections.abc import Iterator

from tlplug.errors import did_you_mean
from tlplug.interfaces.metric import TransferMetric

EVIDENCE_NAMES = (
    *("primary_score", "higher_is_better", "display_scale", "labels", "ids", "targets"),
    *("example_scores/after", "example_scores/before", "example_scores/baseline/<baseline>"),
    *("predictions/after", "predictions/before", "predictions/baseline/<baseline>"),
    *("curve/after", "curve/baseline/<baseline>"),
    *("cost", "cost/baseline/<baseline>"),
    *("features/before", "features/before/source", "features/before/target", "features/before/<rows>"),
    *("features/after", "features/after/source", "features/after/target", "features/after/<rows>"),
    *("predictions/before/<rows>", "predictions/after/<rows>"),
    *("classes", "classes/source", "classes/target", "source_probabilities"),
    *("nll/before/source", "nll/after/source", "scores/before/source", "scores/after/source"),
    *("weights/<metric>", "reasons", "recording_config"),
)
"""Every name of evidence. `<baseline>` stands for a baseline's name, `<rows>` for a name that the metric's own `extra_rows`
gives, `<metric>` for the name of the metric itself, whose `weight_change` is called. docs/metrics.md explains each."""


def requires_errors(metric: type[TransferMetric], name: str | None = None) -> Iterator[str]:
    """Yield a sentence for each name in `requires` under which no run can record anything.

    Args:
        name: the metric's own; None where it is not known, such as in a class that is in no package.
    """
    requires = metric.requires
    if isinstance(requires, str) or not all(isinstance(each, str) for each in requires):
        yield f"its `requires` is {requires!r}; it is a set of names"
        return
    for required in sorted(requires):
        if name is not None and required == f"weights/{name}" and not asks_weights(metric):
            yield f"it requires {required!r}, and defines no `weight_change`, whose answers are recorded there"
        elif not exists(required, metric, name):
            yield f"it requires {required!r}, which is no name of evidence.{suggestion(required, name)}"


def exists(required: str, metric: type[TransferMetric], name: str | None) -> bool:
    """Return whether a run with the metric can record evidence of that name."""
    return any(
        required == pattern or (pattern.endswith(">") and matches(required, pattern, metric, name))
        for pattern in EVIDENCE_NAMES
    )


def matches(required: str, pattern: str, metric: type[TransferMetric], name: str | None) -> bool:
    """Return whether what stands in the place of the pattern's `<...>` can be there."""
    start, _, placeholder = pattern.partition("<")
    given = required.removeprefix(start)
    if not required.startswith(start) or not given:
        return False
    if placeholder == "rows>":
        return metric.extra_rows is not TransferMetric.extra_rows
    if placeholder == "metric>":
        return asks_weights(metric) and name in (None, given)
    return True


def asks_weights(metric: type[TransferMetric]) -> bool:
    """Return whether the metric defines `weight_change`."""
    return metric.weight_change is not TransferMetric.weight_change


def suggestion(required: str, name: str | None) -> str:
    """Return which name may have been meant, and where all names are."""
    known = [pattern.replace("<metric>", name or "<metric>") for pattern in EVIDENCE_NAMES]
    return f"{did_you_mean(required, known)} tlplug.EVIDENCE_NAMES has them all."
