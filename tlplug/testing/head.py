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
from tlplug.testing.isolation import quiet_and_alone

FINDS: dict[Callable[[Any], None], str] = {
    declared.is_a_plugin: "breaks of the contract: no version, a method that is missing, a frozen Config",
    declared.says_what_it_is: "a class without a docstring that can be listed",
    declared.imports_nothing_heavy: "torch and its kin imported with the file",
    declared.config_is_typed: "fields without a default, or of a type that cannot be typed",
    declared.config_refuses_in_words: "odd values that end in a traceback",
    reading.columns_fit_together: "targets that are no columns, rows that it refuses",
    reading.works_on_some_base_model: "a head that fits nothing, or says too little of why",
    reading.finds_what_is_wrong_with_a_row: "wrong rows that pass, or end in a traceback",
    reading.binding_makes_a_copy: "a head that is changed by the rows of a run",
    reading.features_are_plain: "features that cannot be stored, other ids, other keys",
    reading.a_row_is_encoded_for_itself: "features that depend on other rows",
    reading.nothing_is_longer_than_the_model_takes: "inputs that are not cut",
    reading.batches_are_padded: "batches of another form, masks that do not count tokens",
    reading.reading_changes_nothing: "rows or features that are changed",
    answering.new_modules_are_named: "random modules that would stay random",
    answering.loss_is_a_mean: "sums, and means over something else than `num_items`",
    answering.loss_falls: "a loss that nothing can be learnt from",
    answering.predicts_each_row: "predictions that are lost, out of order or no JSON",
    answering.scores_are_means_of_examples: "intervals that belong to another score",
    answering.trivial_needs_no_model: "a trivial baseline that cannot be scored",
    answering.padding_changes_no_prediction: "answers that depend on the batch",
    answering.one_pass_is_true: "a model that is called more often than is said",
    answering.asking_changes_no_batch: "batches that are changed",
    answering.tunes_as_it_says: "decoding values that cannot be stored",
}
"""What each check finds."""

CHECKS = table(
    FINDS,
    HeadCase,
    stops={declared.is_a_plugin, reading.columns_fit_together, reading.works_on_some_base_model},
    around=quiet_and_alone,
)


def head_checks() -> tuple[Check, ...]:
    """Every check, for `@pytest.mark.parametrize("check", head_checks(), ids=str)`."""
    return CHECKS


def check_head(plugin: type[TaskHead], **given: Any) -> None:
    """Run every check.

    Args:
        given: `rows`, a list of rows with the head's columns or a function that makes one; and fields of the head's
            Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **given)
