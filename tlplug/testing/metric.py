"""All checks of a metric on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import TransferMetric
from tlplug.testing.check import Check, build_checks, require_all
from tlplug.testing.checks import plugin as plugin_checks
from tlplug.testing.checks.metric_values import (
    accepts_saved_evidence,
    describes_its_values,
    does_not_modify_evidence,
    measure_is_deterministic,
    requires_is_complete,
    requires_known_evidence,
    returns_numbers_by_name,
)
from tlplug.testing.metric_case import MetricCase

FINDS: dict[Callable[[Any], None], str] = {
    plugin_checks.implements_contract: "breaks of the contract: no version, a method that is missing, a frozen Config",
    plugin_checks.has_no_misspelt_names: "a method that nothing calls, a letter or two off a name of the contract",
    plugin_checks.has_docstring: "a class without a docstring that can be listed",
    plugin_checks.imports_nothing_heavy: "torch and its kin imported with the file",
    plugin_checks.config_is_typed: "fields without a default, or of a type that cannot be typed",
    plugin_checks.config_errors_are_readable: "odd values that end in a traceback",
    requires_known_evidence: "needs that are no names, or that there is no evidence of",
    returns_numbers_by_name: "values that are no finite numbers",
    describes_its_values: "facts without a name, of an unknown form, or no list of facts at all",
    requires_is_complete: "evidence that is read without being in `requires`",
    does_not_modify_evidence: "evidence that is changed",
    measure_is_deterministic: "values that are drawn",
    accepts_saved_evidence: "evidence that is used in a form which files do not keep",
}
"""The errors that each check finds."""

CHECKS = build_checks(
    FINDS,
    MetricCase,
    stops={plugin_checks.implements_contract, requires_known_evidence, returns_numbers_by_name},
)


def metric_checks() -> tuple[Check, ...]:
    """Return all checks, for `@pytest.mark.parametrize("check", metric_checks(), ids=str)`."""
    return CHECKS


def check_metric(plugin: type[TransferMetric], **options: Any) -> None:
    """Run every check.

    Args:
        given: `evidence`, a mapping over what the kit makes up; and fields of the metric's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **options)
