"""Checks of a strategy's claims about itself."""

from __future__ import annotations

import math

import torch
from torch import nn

from tlplug.errors import no_such
from tlplug.interfaces import Capabilities, Requirement
from tlplug.settings import OptimizerSettings
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.combinations import HeadAndKind, list_combinations, refusal
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import add_noise, trainable


def optimizer_defaults_are_complete(case: StrategyCase) -> None:
    """Check that optimizer_defaults sets all four settings to valid values."""
    from transformers import get_scheduler

    defaults = case.plugin.optimizer_defaults
    if not isinstance(defaults, OptimizerSettings):
        raise CheckFailure(f"optimizer_defaults is {defaults!r}; it must be a tlplug.OptimizerSettings")
    if empty := [name for name, value in vars(defaults).items() if value is None]:
        raise CheckFailure(f"optimizer_defaults does not set {join_names(empty)}; set all four")
    rate, warmup = defaults.learning_rate or 0.0, defaults.warmup or 0.0
    if not (math.isfinite(rate) and rate >= 0.0) or not 0.0 <= warmup <= 1.0:
        raise CheckFailure(
            f"optimizer_defaults has learning_rate={rate} and warmup={warmup}; learning_rate must be at least 0 and warmup "
            "from 0 to 1"
        )
    if case.plugin.capabilities.trains and rate == 0.0:
        raise CheckFailure("optimizer_defaults has learning_rate=0.0, which trains nothing")
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    try:
        get_scheduler(defaults.schedule, optimizer, 1, 2)
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckFailure(
            f"optimizer_defaults.schedule={defaults.schedule!r} is not a schedule that transformers builds from the "
            f"numbers of warm-up steps and steps alone: {error}"
        ) from error


def names_known_extra_data(case: StrategyCase) -> None:
    """Check that capabilities, extra_data and saved_folder have valid types and names."""
    from tlplug.config.job import STREAMS

    capabilities = case.plugin.capabilities
    if not isinstance(capabilities, Capabilities):
        raise CheckFailure(f"capabilities is {capabilities!r}; it must be a tlplug.Capabilities")
    for name, requirement in case.plugin.extra_data.items():
        if name not in STREAMS:
            raise CheckFailure(f"extra_data: {no_such('extra data', name, STREAMS)}")
        if not isinstance(requirement, Requirement):
            raise CheckFailure(
                f"extra_data[{name!r}] is {requirement!r}; it must be tlplug.REQUIRED or tlplug.OPTIONAL"
            )
    if not case.plugin.saved_folder or "/" in case.plugin.saved_folder:
        raise CheckFailure(f"saved_folder is {case.plugin.saved_folder!r}; it must be the name of a folder")


def adapts_and_predicts(case: StrategyCase) -> None:
    """Check that the strategy adapts the model, and that the model computes a loss and predictions."""
    adapted = case.adapt()
    adapted.outputs()
    trains = bool(trainable(adapted.model))
    if trains != case.plugin.capabilities.trains:
        problem = "a parameter has requires_grad" if trains else "no parameter has requires_grad"
        raise CheckFailure(f"capabilities.trains is {not trains}, but {problem} after adapt")
    if trains:
        loss, weight = adapted.step()
        if not math.isfinite(loss) or weight < 1:
            raise CheckFailure(f"training_step returns a loss of {loss} with num_items={weight}")


def works_unless_refused(case: StrategyCase) -> None:
    """Check that a step works with each head and kind of base model that `why_incompatible` does not reject."""
    errors = []
    for combination in list_combinations():
        try:
            problem = _find_error(case, combination)
        except Exception as error:
            problem = f"raises {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
        if problem:
            errors.append(f"{combination} {problem}")
    if errors:
        raise CheckFailure(
            "; ".join(errors) + ". Make it work, or return the reason from why_incompatible(head, base)"
        )


def _find_error(case: StrategyCase, combination: HeadAndKind) -> str | None:
    reason = refusal(case.strategy(), combination.head, combination.base)
    if reason is not None:
        return None if len(reason.split()) > 2 else f"is rejected with {reason!r}, which is too short"
    adapted = case.adapt(combination)
    if trainable(adapted.model):
        adapted.step()
        add_noise(adapted.model, 0.01)
    adapted.outputs()
    return None
