"""Evidence -> the values of metrics, or why there are none."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from tlplug.interfaces import Evidence, Fact, NotMeasured, TransferMetric

REASONS = "reasons"
"""The evidence that says why other evidence is not there."""

log = logging.getLogger(__name__)


def measure(metrics: Mapping[str, TransferMetric], evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Each metric's values; `{"not_measured": why}` in place of what cannot be measured."""
    return {name: measure_one(name, metric, evidence) for name, metric in metrics.items()}


def measure_one(name: str, metric: TransferMetric, evidence: Evidence) -> dict[str, Any]:
    missing = sorted(need for need in metric.requires if evidence.get(need) is None)
    if missing:
        return {"not_measured": why(missing, evidence)}
    try:
        return {key: value_of(value) for key, value in metric.measure(evidence).items()}
    except NotMeasured as reason:
        return {"not_measured": str(reason)}
    except Exception as error:
        # A metric comes after hours of training; its fault must not cost the run's result.
        log.exception("metric %s failed", name)
        return {"not_measured": f"it failed: {type(error).__name__}: {error}"}


def describe(
    metrics: Mapping[str, TransferMetric], measured: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what the report says of each metric, by `section` and `facts` as plain JSON.

    Args:
        measured: what `measure` gave; a metric that is not in it was not asked for, and has no facts.
    """
    return {
        name: {"section": metric.section, "facts": facts_of(name, metric, measured.get(name) or {})}
        for name, metric in metrics.items()
    }


def facts_of(name: str, metric: TransferMetric, measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(measured.get("not_measured"), str):
        return []
    values = {
        key: NotMeasured(value["not_measured"]) if isinstance(value, Mapping) else value
        for key, value in measured.items()
    }
    try:
        return [plain(fact) for fact in metric.describe(values)]
    except Exception:
        log.exception("metric %s cannot be described", name)
        return [plain(fact) for fact in TransferMetric.describe(metric, values)]


def plain(fact: Fact) -> dict[str, Any]:
    """Return the fact as JSON: without what is not set, layers by their number as text."""
    found = {key: value for key, value in vars(fact).items() if value not in (None, "", {})}
    for key in ("layers", "shades"):
        if key in found:
            found[key] = {str(layer): value for layer, value in found[key].items()}
    if fact.interval is not None:
        found["interval"] = list(fact.interval)
    return found


def why(missing: list[str], evidence: Evidence) -> str:
    """The reasons that were written down; else the names of what is not there."""
    reasons = evidence.get(REASONS) or {}
    told = dict.fromkeys(reasons[name] for name in missing if name in reasons)
    if told:
        return "; ".join(told)
    return f"no evidence of {', '.join(missing)}"


def value_of(value: float | NotMeasured) -> Any:
    if isinstance(value, NotMeasured):
        return {"not_measured": str(value)}
    number = float(value)
    return number if math.isfinite(number) else {"not_measured": f"it is {value}"}
