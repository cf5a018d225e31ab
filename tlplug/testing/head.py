"""All checks of a head on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import TaskHead
from tlplug.testing.check import Check, build_checks, require_all
from tlplug.testing.checks import head_data, head_outputs
from tlplug.testing.checks import plugin as plugin_checks
from tlplug.testing.head_case import HeadCase
from tlplug.testing.isolation import isolated

FINDS: dict[Callable[[Any], None], str] = {
    plugin_checks.implements_contract: "breaks of the contract: no version, a method that is missing, a frozen Config",
    plugin_checks.has_no_misspelt_names: "a method that nothing calls, a letter or two off a name of the contract",
    plugin_checks.has_docstring: "a class without a docstring that can be listed",
    plugin_checks.imports_nothing_heavy: "torch and its kin imported with the file",
    plugin_checks.config_is_typed: "fields without a default, or of a type that cannot be typed",
    plugin_checks.config_errors_are_readable: "odd values that end in a traceback",
    head_data.columns_are_consistent: "targets that are no columns, rows that it refuses",
    head_data.works_on_some_base_model: "a head that fits nothing, or says too little of why",
    head_data.rejects_invalid_rows: "wrong rows that pass, or end in a traceback",
    head_data.binding_makes_a_copy: "a head that is changed by the rows of a run",
    head_data.encodes_rows: "columns that are read and not declared, an `encode` that raises",
    head_data.features_are_serializable: "features that cannot be stored, other ids, other keys",
    head_data.encoding_is_independent_of_other_rows: "features that depend on other rows",
    head_data.inputs_respect_max_length: "inputs that are not cut",
    head_data.batches_are_padded: "batches of another form, masks that do not count tokens",
    head_data.does_not_modify_rows: "rows or features that are changed",
    head_outputs.new_modules_are_in_head_modules: "random modules that would stay random",
    head_outputs.loss_is_mean: "sums, and means over something else than `num_items`",
    head_outputs.loss_decreases: "a loss that nothing can be learnt from",
    head_outputs.predicts_each_row: "predictions that are lost, out of order or no JSON",
    head_outputs.primary_score_is_mean_of_example_scores: "intervals that belong to another score",
    head_outputs.trivial_predictions_need_no_model: "a trivial baseline that cannot be scored",
    head_outputs.predictions_are_independent_of_padding: "answers that depend on the batch",
    head_outputs.single_forward_pass: "a model that is called more often than is said",
    head_outputs.does_not_modify_batch: "batches that are changed",
    head_outputs.collate_draws_from_torch: "batches that change with the number of workers",
    head_outputs.tune_returns_numbers: "decoding values that cannot be stored",
}
"""The errors that each check finds."""

CHECKS = build_checks(
    FINDS,
    HeadCase,
    stops={
        plugin_checks.implements_contract,
        head_data.columns_are_consistent,
        head_data.works_on_some_base_model,
        head_data.encodes_rows,
    },
    around=isolated,
)


def head_checks() -> tuple[Check, ...]:
    """Return all checks, for `@pytest.mark.parametrize("check", head_checks(), ids=str)`."""
    return CHECKS


def check_head(plugin: type[TaskHead], **options: Any) -> None:
    """Run every check.

    Args:
        given: `rows`, a list of rows with the head's columns or a function that makes one; `base`, a base model's folder
            or a `BaseInfo`, for heads that work on none of the kit's base models, which read texts; and fields of the
            head's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **options)
