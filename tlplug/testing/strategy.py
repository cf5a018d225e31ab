"""All checks of a strategy on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tlplug.interfaces import Strategy
from tlplug.testing.check import Check, build_checks, require_all
from tlplug.testing.checks import claims, determinism, gradients, saving, weights
from tlplug.testing.checks import plugin as plugin_checks
from tlplug.testing.isolation import isolated
from tlplug.testing.strategy_case import StrategyCase

FINDS: dict[Callable[[Any], None], str] = {
    plugin_checks.implements_contract: "breaks of the contract: no version, a method that is missing, a frozen Config",
    plugin_checks.has_no_misspelt_names: "a method that nothing calls, a letter or two off a name of the contract",
    plugin_checks.has_docstring: "a class without a docstring that can be listed",
    plugin_checks.imports_nothing_heavy: "torch and its kin imported with the file",
    plugin_checks.config_is_typed: "fields without a default, or of a type that cannot be typed",
    plugin_checks.config_errors_are_readable: "odd values that end in a traceback",
    claims.optimizer_defaults_are_complete: "a setting left out, an unknown schedule, a rate of 0",
    claims.names_known_extra_data: "extra data that does not exist",
    weights.adapts_and_predicts: "a model that cannot be adapted, trained or asked",
    claims.works_unless_refused: "heads and base models that fail without having been refused",
    weights.trains_only_trainable_weights: "frozen weights or buffers that change",
    weights.trains_all_trainable_weights: "weights that no gradient reaches",
    weights.trains_head: "a head that stays random",
    weights.is_in_training_mode: "dropout that is off, or on in a frozen prefix",
    weights.staging_matches_capability: "stages that several processes are not told of",
    determinism.is_reproducible: "draws that no seed decides",
    determinism.does_not_modify_inputs: "batches or a base config that are changed",
    determinism.inference_is_deterministic: "answers that are drawn, or change the model",
    determinism.frozen_prefix_is_frozen: "a prefix that can be changed by what moves",
    determinism.frozen_prefix_matches_base_model: "a prefix that is another one than the base model's",
    determinism.cached_prefix_matches_uncached: "a prefix that cannot be kept",
    saving.save_load_round_trip: "trained weights that are not saved or not loaded",
    saving.loads_in_new_process: "what lives in the process alone",
    saving.merge_matches_capability: "a merged model that answers otherwise or does not stand alone",
    saving.resumes_from_checkpoint: "state that a checkpoint does not hold",
    gradients.supports_gradient_accumulation: "a loss that is no mean over rows, steps that leave something behind",
    gradients.supports_gradient_checkpointing: "forward passes that count how often they run",
    gradients.trains_in_float32: "frozen weights in 16 bits that cannot be trained beside",
    gradients.ddp_matches_single_process: "weights that are not synchronized",
}
"""The errors that each check finds."""

CHECKS = build_checks(
    FINDS,
    StrategyCase,
    stops={plugin_checks.implements_contract, weights.adapts_and_predicts},
    slow={saving.loads_in_new_process, gradients.ddp_matches_single_process},
    around=isolated,
)


def strategy_checks() -> tuple[Check, ...]:
    """Return all checks, for `@pytest.mark.parametrize("check", strategy_checks(), ids=str)`."""
    return CHECKS


def check_strategy(plugin: type[Strategy], **options: Any) -> None:
    """Run every check.

    Args:
        given: fields of the strategy's Config; `head` and `kind` choose what it is tried on, such as
            `head="summarization"` and `kind="decoder"`.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **options)
