"""All checks of a head on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import TaskHead
from tlplug.testing.check import Check, require_all, table
from tlplug.testing.checks import head_data as reading
from tlplug.testing.checks import head_outputs as answering
from tlplug.testing.checks import plugin as declared
from tlplug.testing.head_case import HeadCase
from tlplug.testing.isolation import isolated

FINDS: dict[Callable[[Any], None], str] = {
    declared.implements_contract: "breaks of the contract: no version, a method that is missing, a frozen Config",
    declared.has_docstring: "a class without a docstring that can be listed",
    declared.imports_nothing_heavy: "torch and its kin imported with the file",
    declared.config_is_typed: "fields without a default, or of a type that cannot be typed",
    declared.config_errors_are_readable: "odd values that end in a traceback",
    reading.columns_are_consistent: "targets that are no columns, rows that it refuses",
    reading.works_on_some_base_model: "a head that fits nothing, or says too little of why",
    reading.rejects_invalid_rows: "wrong rows that pass, or end in a traceback",
    reading.binding_makes_a_copy: "a head that is changed by the rows of a run",
    reading.features_are_serializable: "features that cannot be stored, other ids, other keys",
    reading.encoding_is_independent_of_other_rows: "features that depend on other rows",
    reading.inputs_respect_max_length: "inputs that are not cut",
    reading.batches_are_padded: "batches of another form, masks that do not count tokens",
    reading.does_not_modify_rows: "rows or features that are changed",
    answering.new_modules_are_in_head_modules: "random modules that would stay random",
    answering.loss_is_mean: "sums, and means over something else than `num_items`",
    answering.loss_decreases: "a loss that nothing can be learnt from",
    answering.predicts_each_row: "predictions that are lost, out of order or no JSON",
    answering.primary_score_is_mean_of_example_scores: "intervals that belong to another score",
    answering.trivial_predictions_need_no_model: "a trivial baseline that cannot be scored",
    answering.predictions_are_independent_of_padding: "answers that depend on the batch",
    answering.single_forward_pass: "a model that is called more often than is said",
    answering.does_not_modify_batch: "batches that are changed",
    answering.tune_returns_numbers: "decoding values that cannot be stored",
}
"""What each check finds."""

CHECKS = table(
    FINDS,
    HeadCase,
    stops={declared.implements_contract, reading.columns_are_consistent, reading.works_on_some_base_model},
    around=isolated,
)


def head_checks() -> tuple[Check, ...]:
    """Every check, for `@pytest.mark.parametrize("check", head_checks(), ids=str)`."""
    return CHECKS


def check_head(plugin: type[TaskHead], **given: Any) -> None:
    """Run every check.

    Args:
        given: `rows`, a list of rows with the head's columns or a function that makes one; `base`, a base model's folder
            or a `BaseInfo`, for heads that work on none of the kit's base models, which read texts; and fields of the
            head's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **given)
