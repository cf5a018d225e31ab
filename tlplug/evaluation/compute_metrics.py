"""Compute metrics from evidence."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from tlplug.interfaces import Evidence, Fact, NotMeasured, TransferMetric

REASONS = "reasons"
"""The evidence that holds the reasons for missing evidence."""

log = logging.getLogger(__name__)


def measure(metrics: Mapping[str, TransferMetric], evidence: Evidence) -> dict[str, dict[str, Any]]:
    """Return each metric's values by name; `{"not_measured": reason}` replaces values that cannot be measured."""
    return {name: measure_one(name, metric, evidence) for name, metric in metrics.items()}


def measure_one(name: str, metric: TransferMetric, evidence: Evidence) -> dict[str, Any]:
    missing = sorted(need for need in metric.requires if evidence.get(need) is None)
    if missing:
        return {"not_measured": find_reasons(missing, evidence)}
    try:
        return {key: to_json_value(value) for key, value in metric.measure(evidence).items()}
    except NotMeasured as reason:
        return {"not_measured": str(reason)}
    except Exception as error:
        # An error in a metric must not lose the result of a long training run.
        log.exception("metric %s failed", name)
        return {"not_measured": f"it failed: {type(error).__name__}: {error}"}


def describe(
    metrics: Mapping[str, TransferMetric], measured: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return each metric's `section` in the report and its `facts`, as plain JSON.

    Args:
        measured: the result of `measure`; a metric that is not in it has no facts.
    """
    return {
        name: {"section": metric.section, "facts": describe_metric(name, metric, measured.get(name) or {})}
        for name, metric in metrics.items()
    }


def describe_metric(name: str, metric: TransferMetric, measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(measured.get("not_measured"), str):
        return []
    values = {
        key: NotMeasured(value["not_measured"]) if isinstance(value, Mapping) else value
        for key, value in measured.items()
    }
    try:
        return [fact_to_json(fact) for fact in metric.describe(values)]
    except Exception:
        log.exception("metric %s cannot be described", name)
        return [fact_to_json(fact) for fact in TransferMetric.describe(metric, values)]


def fact_to_json(fact: Fact) -> dict[str, Any]:
    """Return the fact's fields that are set, as JSON; layers have their number as text."""
    fields = {key: value for key, value in vars(fact).items() if value not in (None, "", {})}
    for key in ("layers", "shades"):
        if key in fields:
            fields[key] = {str(layer): value for layer, value in fields[key].items()}
    if fact.interval is not None:
        fields["interval"] = list(fact.interval)
    return fields


def find_reasons(missing: list[str], evidence: Evidence) -> str:
    """Return the recorded reasons for missing evidence; without any, a sentence with the missing names."""
    recorded = evidence.get(REASONS) or {}
    reasons = dict.fromkeys(recorded[name] for name in missing if name in recorded)
    return "; ".join(reasons) or f"no evidence of {', '.join(missing)}"


def to_json_value(value: float | NotMeasured) -> Any:
    if isinstance(value, NotMeasured):
        return {"not_measured": str(value)}
    number = float(value)
    return number if math.isfinite(number) else {"not_measured": f"it is {value}"}
