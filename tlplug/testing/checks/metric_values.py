"""Checks of a metric's values."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.evaluation import evidence
from tlplug.interfaces import FORMS, Fact, NotMeasured
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.metric_case import MetricCase


def requires_known_evidence(case: MetricCase) -> None:
    """Check that requires is a set of names of evidence, and higher_is_better is True, False or None."""
    needs, better = case.plugin.requires, case.plugin.higher_is_better
    if isinstance(needs, str) or not all(isinstance(need, str) and need for need in needs):
        raise CheckFailure(f"requires is {needs!r}; it must be a set of names")
    if better not in (True, False, None):
        raise CheckFailure(f"higher_is_better is {better!r}; it must be True, False or None")
    if missing := set(needs) - set(case.evidence):
        raise CheckFailure(f"the kit has no evidence {join_names(missing)}; pass evidence={{...}}")


def returns_numbers_by_name(case: MetricCase) -> None:
    """Check that `measure` returns a dict of finite numbers or NotMeasured."""
    if not isinstance(case.values, dict) or not case.values:
        raise CheckFailure(f"measure returns {case.values!r}; it must return a dict of values by name")
    for name, value in case.values.items():
        number = isinstance(value, int | float) and math.isfinite(value)
        if not isinstance(name, str) or not (number or isinstance(value, NotMeasured)):
            raise CheckFailure(
                f"measure returns {name!r}: {value!r}; use a finite number, or NotMeasured with the reason"
            )


def describes_its_values(case: MetricCase) -> None:
    """Check that `describe` returns facts for measured values and for NotMeasured."""
    for values in (case.values, dict.fromkeys(case.values, NotMeasured("it was not recorded"))):
        facts = case.metric().describe(dict(values))
        if not isinstance(facts, list) or not all(isinstance(fact, Fact) for fact in facts):
            raise CheckFailure(f"describe returns {facts!r}; it must return a list of tlplug.Fact")
        for fact in facts:
            numbers = [fact.value, *(fact.interval or ()), *fact.layers.values(), *fact.shades.values()]
            if not fact.name or fact.form not in FORMS:
                raise CheckFailure(f"{fact} has no name, or its form is not one of {join_names(FORMS)}")
            if not all(number is None or math.isfinite(number) for number in numbers):
                raise CheckFailure(f"{fact} has a value that is not a finite number; set not_measured")


def requires_is_complete(case: MetricCase) -> None:
    """Check that `measure` works with only the required evidence, or raises NotMeasured."""
    values = {name: case.evidence[name] for name in case.plugin.requires}
    try:
        case.metric().measure(copy.deepcopy(values))
    except NotMeasured as reason:
        if len(str(reason).split()) < 3:
            raise CheckFailure(
                f"the reason of NotMeasured is {str(reason)!r}, which is too short"
            ) from reason
    except Exception as error:
        raise CheckFailure(
            f"with only the required evidence ({join_names(values) or 'none'}), measure raises {type(error).__name__}: "
            f"{error}; add the evidence to `requires`, or use evidence.get or NotMeasured"
        ) from error


def does_not_modify_evidence(case: MetricCase) -> None:
    """Check that `measure` does not modify the evidence."""
    values = copy.deepcopy(case.evidence)
    case.metric().measure(values)
    if set(values) != set(case.evidence):
        raise CheckFailure(
            f"measure adds or removes {join_names(set(values) ^ set(case.evidence))}, which other metrics read"
        )
    for name, value in values.items():
        if not np.array_equal(np.asarray(value), np.asarray(case.evidence[name])):
            raise CheckFailure(f"measure modifies {name!r}, which other metrics read; make a copy")


def measure_is_deterministic(case: MetricCase) -> None:
    """Check that two calls of `measure` return the same values."""
    if not _is_same(case.metric().measure(copy.deepcopy(case.evidence)), case.values):
        raise CheckFailure(
            "two calls of measure return different values; draw from a generator with a seed from Config"
        )


def accepts_saved_evidence(case: MetricCase) -> None:
    """Check that `measure` returns the same values for evidence that was saved and loaded."""
    with tempfile.TemporaryDirectory(prefix="tlplug-testing-") as folder:
        evidence.write(case.evidence, Path(folder) / "evidence")
        reread = case.metric().measure(evidence.read(Path(folder) / "evidence"))
    if not _is_same(reread, case.values, 1e-9):
        raise CheckFailure("measure returns different values for evidence that was saved and loaded")


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any], tolerance: float = 0.0) -> bool:
    """Return whether two measurements have the same values, and the same reasons for missing ones."""

    def equal(first: Any, second: Any) -> bool:
        if isinstance(first, NotMeasured) or isinstance(second, NotMeasured):
            return str(first) == str(second)
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance / 1000)

    return set(one) == set(other) and all(equal(one[name], other[name]) for name in one)
