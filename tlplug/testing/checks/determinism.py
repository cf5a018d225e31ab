"""Checks of a strategy: determinism, unchanged inputs and the frozen prefix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from tlplug.evaluation.layer_features import layer_features, prefix_covers_blocks
from tlplug.testing import tiny_models as tiny
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import add_noise, changed, difference, seed, state, trainable
from tlplug.training.prefix_cache.check import fault


def is_reproducible(case: StrategyCase) -> None:
    """Check that the same seed gives the same model and the same step."""
    one, other = case.adapt(), case.adapt()
    if differing := changed(state(one.model), state(other.model)):
        raise CheckFailure(
            f"{join_names(differing)} is another one each time, with the same seed; draw from torch's generator, or one "
            "seeded by context.seed"
        )
    if trainable(one.model):
        name, deviation = difference(one.gradients()[0], other.gradients()[0])
        if deviation > 1e-6:
            raise CheckFailure(f"a step with the same seed gives {name} another gradient each time")


def does_not_modify_inputs(case: StrategyCase) -> None:
    """Check that batches and the base model's config, which others use too, are not changed."""
    adapted = case.adapt()
    config = tiny.base(case.combination.kind).config.to_dict()
    if adapted.task.base.config.to_dict() != config:
        raise CheckFailure("context.base.config was changed; make a copy, or change the model's own config")
    if not trainable(adapted.model):
        return
    batches = adapted.batches()
    before = {
        f"{stream}/{name}": value.clone()
        for stream, batch in batches.items()
        for name, value in batch.items()
        if isinstance(value, torch.Tensor)
    }
    adapted.step(batches)
    after = {f"{stream}/{name}": value for stream, batch in batches.items() for name, value in batch.items()}
    if modified := set(before) ^ set(after) or changed(before, after):
        raise CheckFailure(f"training_step changed {join_names(modified)} of the batch; make a copy")


def inference_is_deterministic(case: StrategyCase) -> None:
    """Check that prediction draws no random numbers and changes no state of the model."""
    adapted = case.adapt()
    before = state(adapted.model)
    first, second = adapted.answers(), adapted.answers()
    if first != second:
        raise CheckFailure(
            "the model in eval mode answers otherwise the second time; draw only where self.training"
        )
    if differing := changed(before, state(adapted.model)):
        raise CheckFailure(f"{join_names(differing)} changes when the model is asked in eval mode")


def frozen_prefix_is_frozen(case: StrategyCase) -> None:
    """Check that the prefix has no trainable weights and that its output does not depend on any."""
    case.require_training()
    adapted = case.adapt()
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    if prefix is None:
        raise CheckSkipped("frozen_prefix gives None")
    inside = {id(p) for module in prefix.modules for p in module.parameters()}
    if trainable_inside := [
        n for n, p in adapted.model.named_parameters() if p.requires_grad and id(p) in inside
    ]:
        raise CheckFailure(f"{join_names(trainable_inside)} has requires_grad and lies in frozen_prefix")
    if outside := [
        m
        for m in prefix.cacheable
        if not any(m is inner for part in prefix.modules for inner in part.modules())
    ]:
        raise CheckFailure(f"{type(outside[0]).__name__} is in the prefix's chain and not in its modules")
    before = record_outputs(adapted, prefix.modules)
    add_noise(adapted.model)
    if record_outputs(adapted, prefix.modules) != before:
        raise CheckFailure(
            "the output of frozen_prefix depends on what moves: something that moves runs before it, or in it"
        )


def record_outputs(adapted: AdaptedModel, modules: Sequence[nn.Module]) -> list[list[float]]:
    """Return the outputs of the modules during a forward pass, in the order of the calls."""
    outputs: list[list[float]] = []

    def record(module: nn.Module, inputs: object, output: object) -> None:
        output = getattr(output, "last_hidden_state", output)
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            outputs.append(first.detach().float().flatten().tolist())

    handles = [module.register_forward_hook(record) for module in modules]
    seed(0)
    with torch.no_grad():
        adapted.head.training_step(adapted.model, adapted.batches()["main"])
    for handle in handles:
        handle.remove()
    return outputs


def frozen_prefix_matches_base_model(case: StrategyCase) -> None:
    """Check that blocks in the prefix have the same outputs as in the base model, since they are not computed again."""
    case.require_training()
    adapted = case.adapt()
    base, prefix = adapted.task.base, adapted.strategy.frozen_prefix(adapted.model)
    if prefix is None or not prefix_covers_blocks(adapted.model, prefix, base):
        raise CheckSkipped("frozen_prefix ends before the last block")
    bare = adapted.head.load_model(base, adapted.strategy.load_options(adapted.head))
    batch = adapted.batches()["main"]
    with torch.no_grad():
        before, after = (
            layer_features(model.eval(), adapted.head, base, [batch]) for model in (bare, adapted.model)
        )
    if deviation := float(abs(before - after).max()):
        raise CheckFailure(
            f"a block in frozen_prefix gives other states than in the base model (by {deviation:.2g}); what adapt changes "
            "is no part of it"
        )


def cached_prefix_matches_uncached(case: StrategyCase) -> None:
    """Check that training on the cached output of the frozen prefix gives the same weights as computing it."""
    case.require_training()
    adapted = case.adapt()
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    if prefix is None or not prefix.cacheable or not adapted.head.single_forward_pass:
        raise CheckSkipped(
            "nothing is kept: frozen_prefix gives no chain, or the head calls the model more than once"
        )
    if reason := fault(adapted.module, prefix, adapted.data, "train", "32-true"):
        raise CheckFailure(f"the chain of frozen_prefix cannot be kept, and runs in every epoch: {reason}")
    cached, computed = case.adapt(), case.adapt()
    cached.fit(keep=True)
    computed.fit(keep=False)
    name, deviation = difference(trainable(cached.model), trainable(computed.model))
    if deviation > 1e-5:
        raise CheckFailure(
            f"{name} is another one (by {deviation:.2g}) when the frozen prefix runs once: each module of its chain has "
            "to be called once, with the output of the one before as its first argument, and nothing else may matter"
        )
