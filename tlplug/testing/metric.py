"""All checks of a metric on one screen, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import TransferMetric
from tlplug.testing.check import Check, require_all, table
from tlplug.testing.checks import plugin as declared
from tlplug.testing.checks.metric_values import (
    changes_no_evidence,
    declares_what_it_reads,
    gives_numbers_by_name,
    measures_the_same_twice,
    measures_what_was_written,
    needs_no_more_than_it_says,
)
from tlplug.testing.metric_case import MetricCase

FINDS: dict[Callable[[Any], None], str] = {
    declared.is_a_plugin: "breaks of the contract: no version, a method that is missing, a frozen Config",
    declared.says_what_it_is: "a class without a docstring that can be listed",
    declared.imports_nothing_heavy: "torch and its kin imported with the file",
    declared.config_is_typed: "fields without a default, or of a type that cannot be typed",
    declared.config_refuses_in_words: "odd values that end in a traceback",
    declares_what_it_reads: "needs that are no names, or that there is no evidence of",
    gives_numbers_by_name: "values that are no finite numbers",
    needs_no_more_than_it_says: "evidence that is read without being in `requires`",
    changes_no_evidence: "evidence that is changed",
    measures_the_same_twice: "values that are drawn",
    measures_what_was_written: "evidence that is used in a form which files do not keep",
}
"""What each check finds."""

CHECKS = table(
    FINDS,
    MetricCase,
    stops={declared.is_a_plugin, declares_what_it_reads, gives_numbers_by_name},
)


def metric_checks() -> tuple[Check, ...]:
    """Every check, for `@pytest.mark.parametrize("check", metric_checks(), ids=str)`."""
    return CHECKS


def check_metric(plugin: type[TransferMetric], **given: Any) -> None:
    """Run every check.

    Args:
        given: `evidence`, a mapping over what the kit makes up; and fields of the metric's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **given)
