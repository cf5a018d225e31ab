"""All checks of a strategy on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import Strategy
from tlplug.testing.check import Check, require_all, table
from tlplug.testing.checks import claims as stated
from tlplug.testing.checks import determinism as steady
from tlplug.testing.checks import gradients
from tlplug.testing.checks import plugin as declared
from tlplug.testing.checks import saving as lasting
from tlplug.testing.checks import weights as moves
from tlplug.testing.isolation import quiet_and_alone
from tlplug.testing.strategy_case import StrategyCase

FINDS: dict[Callable[[Any], None], str] = {
    declared.is_a_plugin: "breaks of the contract: no version, a method that is missing, a frozen Config",
    declared.says_what_it_is: "a class without a docstring that can be listed",
    declared.imports_nothing_heavy: "torch and its kin imported with the file",
    declared.config_is_typed: "fields without a default, or of a type that cannot be typed",
    declared.config_refuses_in_words: "odd values that end in a traceback",
    stated.optimizer_defaults_are_whole: "a setting left out, an unknown schedule, a rate of 0",
    stated.names_what_there_is: "heads and streams that do not exist",
    moves.takes_a_step: "a model that cannot be adapted, trained or asked",
    stated.works_where_it_is_not_refused: "heads and base models that fail without having been refused",
    moves.only_what_should_moves: "frozen weights or buffers that change",
    moves.all_that_should_moves: "weights that no gradient reaches",
    moves.head_moves: "a head that stays random",
    moves.is_in_training_mode: "dropout that is off, or on in a frozen prefix",
    moves.is_staged_as_it_says: "stages that several processes are not told of",
    steady.is_repeatable: "draws that no seed decides",
    steady.leaves_its_inputs_alone: "batches or a base config that are changed",
    steady.answers_the_same_twice: "answers that are drawn, or change the model",
    steady.frozen_prefix_is_frozen: "a prefix that can be changed by what moves",
    steady.frozen_prefix_is_the_base_models: "a prefix that is another one than the base model's",
    steady.computed_once_is_computed_each_time: "a prefix that cannot be kept",
    lasting.comes_back_as_it_was_saved: "trained weights that are not saved or not loaded",
    lasting.comes_back_in_a_new_process: "what lives in the process alone",
    lasting.merges_as_it_says: "a merged model that answers otherwise or does not stand alone",
    lasting.resumes: "state that a checkpoint does not hold",
    gradients.accumulates: "a loss that is no mean over rows, steps that leave something behind",
    gradients.recomputes: "forward passes that count how often they run",
    gradients.moves_in_float32: "frozen weights in 16 bits that cannot be trained beside",
    gradients.two_processes_are_one: "weights that are not synchronized",
}
"""What each check finds."""

CHECKS = table(
    FINDS,
    StrategyCase,
    stops={declared.is_a_plugin, moves.takes_a_step},
    slow={lasting.comes_back_in_a_new_process, gradients.two_processes_are_one},
    around=quiet_and_alone,
)


def strategy_checks() -> tuple[Check, ...]:
    """Every check, for `@pytest.mark.parametrize("check", strategy_checks(), ids=str)`."""
    return CHECKS


def check_strategy(plugin: type[Strategy], **given: Any) -> None:
    """Run every check.

    Args:
        given: fields of the strategy's Config; `head` and `kind` choose what it is tried on, such as
            `head="summarization"` and `kind="decoder"`.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **given)
