"""Checks of a strategy: trainable and frozen weights, and training mode."""

from __future__ import annotations

import math

from tlplug.models.layers import modules_to_save
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import changed, state, trainable

STAGED = 8
"""Epochs, of two steps each, for a strategy that trains in stages."""


def adapts_and_predicts(case: StrategyCase) -> None:
    """Check that the strategy adapts the model, and that the model computes a loss and predictions."""
    adapted = case.adapt()
    adapted.answers()
    trains = bool(trainable(adapted.model))
    if trains != case.plugin.capabilities.trains:
        problem = "nothing has requires_grad" if not trains else "something has requires_grad"
        raise CheckFailure(f"capabilities.trains is {not trains}, but {problem} after adapt")
    if trains:
        loss, weight = adapted.step()
        if not math.isfinite(loss) or weight < 1:
            raise CheckFailure(f"training_step gives a loss of {loss} over {weight} examples")


def trains_only_trainable_weights(case: StrategyCase) -> None:
    """Check that two steps of the strategy's optimizer change only trainable weights."""
    case.require_training()
    adapted = case.adapt()
    before, allowed = state(adapted.model), set(trainable(adapted.model))
    two_steps(adapted)
    if unexpected := changed(before, state(adapted.model)) - allowed:
        raise CheckFailure(
            f"{join_names(unexpected)} changed in training without requires_grad after adapt; it is in no checkpoint and is "
            "not saved. Let it have requires_grad, or leave it alone"
        )
    grouped = [p for group in adapted.optimizer().param_groups for p in group["params"]]
    expected = [p for p in adapted.model.parameters() if p.requires_grad]
    if len({id(p) for p in grouped}) != len(grouped):
        raise CheckFailure("parameter_groups gives a parameter in two groups, which would be stepped twice")
    if not case.plugin.capabilities.changes_trainable_weights and {id(p) for p in grouped} != {
        id(p) for p in expected
    }:
        raise CheckFailure(
            f"parameter_groups gives {len(grouped)} parameters, but {len(expected)} have requires_grad after adapt; "
            "they have to be the same"
        )


def two_steps(adapted: AdaptedModel) -> None:
    optimizer = adapted.optimizer()
    for number in range(2):
        optimizer.zero_grad()
        adapted.step(number=number)
        optimizer.step()


def trains_all_trainable_weights(case: StrategyCase) -> None:
    """Check that all trainable weights get gradients and change, within two steps or, with stages, a training run."""
    case.require_training()
    if case.plugin.capabilities.changes_trainable_weights:
        adapted = case.adapt(epochs=STAGED)
        before = state(adapted.model)
        log = adapted.fit(keep=False, epochs=STAGED)
        unreached = frozenset().union(*log.trainable_names) - changed(before, state(adapted.model))
        within = f"{STAGED} short epochs"
    else:
        adapted = case.adapt()
        before, reached = trainable(adapted.model), set()
        optimizer = adapted.optimizer()
        for number in range(2):
            optimizer.zero_grad()
            adapted.step(number=number)
            reached |= {n for n, p in adapted.model.named_parameters() if p.grad is not None and p.grad.any()}
            optimizer.step()
        unreached = frozenset(before) - (changed(before, trainable(adapted.model)) & reached)
        within = "two steps"
    if unreached:
        raise CheckFailure(
            f"{join_names(unreached)} has requires_grad, but no gradient reaches it within {within}; freeze it, or let the "
            "loss depend on it"
        )


def trains_head(case: StrategyCase) -> None:
    """Check that the head's modules, which are random at first, or modules in their place, are trained."""
    case.require_training()
    adapted = case.adapt()
    fresh = adapted.head.load_model(adapted.task.base, case.strategy().load_options(adapted.head))
    module_names = {name for name, _ in adapted.model.named_modules()}
    pretrained, trained = {name for name, _ in fresh.named_parameters()}, list(trainable(adapted.model))
    for module in modules_to_save(fresh, adapted.head.head_modules):
        if any(f".{module}." in f".{name}" for name in trained):
            continue
        if not any(f".{name}".endswith(f".{module}") for name in module_names) and set(trained) - pretrained:
            continue
        raise CheckFailure(
            f"the head's {module} does not move: it would stay random. Use tlplug.modules_to_save(model, "
            "context.head.head_modules) to find what to train whole"
        )


def is_in_training_mode(case: StrategyCase) -> None:
    """Check that all modules outside the frozen prefix are in training mode at each step, also after a validation."""
    adapted, log = case.fitted
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    parts = {id(inner) for part in (prefix.modules if prefix else ()) for inner in part.modules()}
    expected = {name for name, module in adapted.model.named_modules() if id(module) in parts}
    for number, eval_modules in enumerate(log.eval_modules):
        if unexpected := eval_modules - expected:
            raise CheckFailure(
                f"{join_names(unexpected)} is in eval mode at step {number}: its dropout is off. Only what frozen_prefix "
                "names is meant to be"
            )
        if training := expected - eval_modules:
            raise CheckFailure(
                f"{join_names(training)} is in the frozen prefix, but in training mode at step {number}"
            )


def staging_matches_capability(case: StrategyCase) -> None:
    """Check that the trainable weights change during training if and only if capabilities.changes_trainable_weights."""
    case.require_training()
    staged = case.plugin.capabilities.changes_trainable_weights
    log = case.adapt(epochs=STAGED).fit(keep=False, epochs=STAGED) if staged else case.fitted[1]
    changes = len(set(log.trainable_names)) > 1
    if changes and not staged:
        raise CheckFailure(
            "what has requires_grad changes while training; say Capabilities(changes_trainable_weights=True)"
        )
    if staged and not changes:
        raise CheckFailure(
            "capabilities.changes_trainable_weights is True, but the same has requires_grad at each of "
            f"{len(log.trainable_names)} steps"
        )
