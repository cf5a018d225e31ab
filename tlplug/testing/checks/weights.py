"""Checks of a strategy: trainable and frozen weights, and training mode."""

from __future__ import annotations

from tlplug.models.layers import modules_to_save
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import changed, state, trainable

STAGED = 8
"""Epochs, of two steps each, for a strategy that trains in stages."""


def trains_only_trainable_weights(case: StrategyCase) -> None:
    """Check that two steps of the strategy's optimizer change trainable weights only."""
    case.require_training()
    adapted = case.adapt()
    before, allowed = state(adapted.model), set(trainable(adapted.model))
    _train_two_steps(adapted)
    if unexpected := changed(before, state(adapted.model)) - allowed:
        raise CheckFailure(
            f"{join_names(unexpected)} changed during training, but did not have requires_grad after adapt, so it "
            "is not saved. Set requires_grad, or do not change it"
        )
    grouped = [p for group in adapted.optimizer().param_groups for p in group["params"]]
    expected = [p for p in adapted.model.parameters() if p.requires_grad]
    if len({id(p) for p in grouped}) != len(grouped):
        raise CheckFailure("parameter_groups returns a parameter in two groups, which would be updated twice")
    if not case.plugin.capabilities.changes_trainable_weights and {id(p) for p in grouped} != {
        id(p) for p in expected
    }:
        raise CheckFailure(
            f"parameter_groups returns {len(grouped)} parameters, but {len(expected)} have requires_grad after adapt; "
            "return all of these and no other"
        )


def _train_two_steps(adapted: AdaptedModel) -> None:
    optimizer = adapted.optimizer()
    for number in range(2):
        optimizer.zero_grad()
        adapted.step(number=number)
        optimizer.step()


def trains_all_trainable_weights(case: StrategyCase) -> None:
    """Check that all trainable weights have gradients and change."""
    case.require_training()
    if case.plugin.capabilities.changes_trainable_weights:
        adapted = case.adapt(epochs=STAGED)
        before = state(adapted.model)
        log = adapted.fit(cache_prefix=False, epochs=STAGED)
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
            f"{join_names(unreached)} has requires_grad, but no gradient within {within}; freeze it, or "
            "make the loss depend on it"
        )


def trains_head(case: StrategyCase) -> None:
    """Check that the head's new modules, or modules that replace them, are trained."""
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
            f"the head's {module} is not trained, so its weights stay random. Train the modules that "
            "tlplug.modules_to_save(model, context.head.head_modules) returns"
        )


def is_in_training_mode(case: StrategyCase) -> None:
    """Check that at each step all modules are in training mode, except those of the frozen prefix."""
    adapted, log = case.fitted
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    parts = {id(inner) for part in (prefix.modules if prefix else ()) for inner in part.modules()}
    expected = {name for name, module in adapted.model.named_modules() if id(module) in parts}
    for number, eval_modules in enumerate(log.eval_modules):
        if unexpected := eval_modules - expected:
            raise CheckFailure(
                f"{join_names(unexpected)} is in eval mode at step {number}, which disables its dropout. Only "
                "the modules of frozen_prefix may be in eval mode"
            )
        if training := expected - eval_modules:
            raise CheckFailure(
                f"{join_names(training)} is in the frozen prefix, but in training mode at step {number}"
            )


def staging_matches_capability(case: StrategyCase) -> None:
    """Check that the set of trainable weights changes if and only if capabilities.changes_trainable_weights is True."""
    case.require_training()
    staged = case.plugin.capabilities.changes_trainable_weights
    log = case.adapt(epochs=STAGED).fit(cache_prefix=False, epochs=STAGED) if staged else case.fitted[1]
    changes = len(set(log.trainable_names)) > 1
    if changes and not staged:
        raise CheckFailure(
            "the parameters with requires_grad change during training; set Capabilities(changes_trainable_weights=True)"
        )
    if staged and not changes:
        raise CheckFailure(
            "capabilities.changes_trainable_weights is True, but the same parameters have requires_grad at each of "
            f"{len(log.trainable_names)} steps"
        )
