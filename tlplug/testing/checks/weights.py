"""Checks of a strategy: what moves, in which mode, and what does not."""

from __future__ import annotations

import math

from tlplug.models.layers import modules_to_save
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import changed, state, trainable

STAGED = 8
"""Epochs that a strategy in stages gets, of two steps each."""


def adapts_and_predicts(case: StrategyCase) -> None:
    """Adapts the model, gives a loss that can be learnt from, and answers."""
    made = case.made()
    made.answers()
    moves = bool(trainable(made.model))
    if moves != case.plugin.capabilities.trains:
        told = "nothing has requires_grad" if not moves else "something has requires_grad"
        raise CheckFailure(f"capabilities.trains is {not moves}, but {told} after adapt")
    if moves:
        loss, weight = made.step()
        if not math.isfinite(loss) or weight < 1:
            raise CheckFailure(f"training_step gives a loss of {loss} over {weight} examples")


def trains_only_trainable_weights(case: StrategyCase) -> None:
    """Two steps of the strategy's own optimizer change what has requires_grad and nothing else."""
    case.require_training()
    made = case.made()
    before, allowed = state(made.model), set(trainable(made.model))
    two_steps(made)
    if strays := changed(before, state(made.model)) - allowed:
        raise CheckFailure(
            f"{join_names(strays)} changed in training without requires_grad after adapt; it is in no checkpoint and is "
            "not saved. Let it have requires_grad, or leave it alone"
        )
    held = [p for group in made.optimizer().param_groups for p in group["params"]]
    asked = [p for p in made.model.parameters() if p.requires_grad]
    if len({id(p) for p in held}) != len(held):
        raise CheckFailure("parameter_groups gives a parameter in two groups, which would be stepped twice")
    if not case.plugin.capabilities.changes_trainable_weights and {id(p) for p in held} != {
        id(p) for p in asked
    }:
        raise CheckFailure(
            f"parameter_groups gives {len(held)} parameters, but {len(asked)} have requires_grad after adapt; "
            "they have to be the same"
        )


def two_steps(made: AdaptedModel) -> None:
    optimizer = made.optimizer()
    for number in range(2):
        optimizer.zero_grad()
        made.step(number=number)
        optimizer.step()


def trains_all_trainable_weights(case: StrategyCase) -> None:
    """All that has requires_grad has a gradient and changes within two steps; of a staged one by the end of a training."""
    case.require_training()
    if case.plugin.capabilities.changes_trainable_weights:
        made = case.made(epochs=STAGED)
        before = state(made.model)
        watch = made.fit(keep=False, epochs=STAGED)
        left = frozenset().union(*watch.moving) - changed(before, state(made.model))
        within = f"{STAGED} short epochs"
    else:
        made = case.made()
        before, reached = trainable(made.model), set()
        optimizer = made.optimizer()
        for number in range(2):
            optimizer.zero_grad()
            made.step(number=number)
            reached |= {n for n, p in made.model.named_parameters() if p.grad is not None and p.grad.any()}
            optimizer.step()
        left = frozenset(before) - (changed(before, trainable(made.model)) & reached)
        within = "two steps"
    if left:
        raise CheckFailure(
            f"{join_names(left)} has requires_grad, but no gradient reaches it within {within}; freeze it, or let the "
            "loss depend on it"
        )


def trains_head(case: StrategyCase) -> None:
    """The head's modules, which are random at first, or new modules in their place."""
    case.require_training()
    made = case.made()
    fresh = made.head.load_model(made.task.base, case.strategy().load_options(made.head))
    there = {name for name, _ in made.model.named_modules()}
    known, trained = {name for name, _ in fresh.named_parameters()}, list(trainable(made.model))
    for module in modules_to_save(fresh, made.head.head_modules):
        if any(f".{module}." in f".{name}" for name in trained):
            continue
        if not any(f".{name}".endswith(f".{module}") for name in there) and set(trained) - known:
            continue
        raise CheckFailure(
            f"the head's {module} does not move: it would stay random. Use tlplug.modules_to_save(model, "
            "context.head.head_modules) to find what to train whole"
        )


def is_in_training_mode(case: StrategyCase) -> None:
    """Everything but the frozen prefix is, at each step, after a validation too."""
    made, watch = case.fitted
    prefix = made.strategy.frozen_prefix(made.model)
    parts = {id(inner) for part in (prefix.modules if prefix else ()) for inner in part.modules()}
    expected = {name for name, module in made.model.named_modules() if id(module) in parts}
    for number, resting in enumerate(watch.resting):
        if strays := resting - expected:
            raise CheckFailure(
                f"{join_names(strays)} is in eval mode at step {number}: its dropout is off. Only what frozen_prefix names "
                "is meant to be"
            )
        if awake := expected - resting:
            raise CheckFailure(
                f"{join_names(awake)} is in the frozen prefix, but in training mode at step {number}"
            )


def staging_matches_capability(case: StrategyCase) -> None:
    """What has requires_grad changes in the course of a training if and only if capabilities.changes_trainable_weights."""
    case.require_training()
    staged = case.plugin.capabilities.changes_trainable_weights
    watch = case.made(epochs=STAGED).fit(keep=False, epochs=STAGED) if staged else case.fitted[1]
    seen = len(set(watch.moving)) > 1
    if seen and not staged:
        raise CheckFailure(
            "what has requires_grad changes while training; say Capabilities(changes_trainable_weights=True)"
        )
    if staged and not seen:
        raise CheckFailure(
            "capabilities.changes_trainable_weights is True, but the same has requires_grad at each of "
            f"{len(watch.moving)} steps"
        )
