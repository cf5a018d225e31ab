"""The names of all evidence that a run can record, and the check of a metric's `requires` against them."""

from __future__ import annotations

from collections.abc import Iterator

from tlplug.errors import did_you_mean
from tlplug.interfaces.metric import TransferMetric

EVIDENCE_NAMES = (
    "primary_score", "higher_is_better", "display_scale", "labels", "ids", "targets",
    "example_scores/after", "example_scores/before", "example_scores/baseline/<baseline>",
    "predictions/after", "predictions/before", "predictions/baseline/<baseline>",
    "curve/after", "curve/baseline/<baseline>",
    "cost", "cost/baseline/<baseline>",
    "features/before", "features/before/source", "features/before/target", "features/before/<rows>",
    "features/after", "features/after/source", "features/after/target", "features/after/<rows>",
    "predictions/before/<rows>", "predictions/after/<rows>",
    "classes", "classes/source", "classes/target", "source_probabilities",
    "nll/before/source", "nll/after/source", "scores/before/source", "scores/after/source",
    "weights/<metric>", "reasons", "recording_config",
)  # fmt: skip
"""Every name of evidence. `<baseline>` stands for a baseline's name, `<rows>` for a name that the metric's `extra_rows`
returns, and `<metric>` for the name of a metric with a `weight_change`. docs/metrics.md explains each name."""


def find_requires_errors(metric: type[TransferMetric], name: str | None = None) -> Iterator[str]:
    """Yield a sentence for each name in `requires` that no run can record.

    Args:
        name: the metric's name; None where it is unknown, as for a class outside any package.
    """
    requires = metric.requires
    if isinstance(requires, str) or not all(isinstance(required, str) for required in requires):
        yield f"its `requires` is {requires!r}; it is a set of names"
        return
    for required in sorted(requires):
        if name is not None and required == f"weights/{name}" and not asks_weights(metric):
            yield f"it requires {required!r}, and defines no `weight_change`, whose answers are recorded there"
        elif not is_recordable(required, metric, name):
            yield f"it requires {required!r}, which is no name of evidence.{suggest_name(required, name)}"


def is_recordable(required: str, metric: type[TransferMetric], name: str | None) -> bool:
    """Return whether a run with the metric can record evidence under the required name."""
    return any(
        required == pattern or (pattern.endswith(">") and matches_pattern(required, pattern, metric, name))
        for pattern in EVIDENCE_NAMES
    )


def matches_pattern(required: str, pattern: str, metric: type[TransferMetric], name: str | None) -> bool:
    """Return whether a required name matches a pattern, and the metric allows what is in place of the `<...>`."""
    start, _, placeholder = pattern.partition("<")
    value = required.removeprefix(start)
    if not required.startswith(start) or not value:
        return False
    if placeholder == "rows>":
        return metric.extra_rows is not TransferMetric.extra_rows
    if placeholder == "metric>":
        return asks_weights(metric) and name in (None, value)
    return True


def asks_weights(metric: type[TransferMetric]) -> bool:
    """Return whether the metric defines `weight_change`."""
    return metric.weight_change is not TransferMetric.weight_change


def suggest_name(required: str, name: str | None) -> str:
    """Return a hint with the most similar name, and where all names are listed."""
    names = [pattern.replace("<metric>", name or "<metric>") for pattern in EVIDENCE_NAMES]
    return f"{did_you_mean(required, names)} tlplug.EVIDENCE_NAMES has them all."
