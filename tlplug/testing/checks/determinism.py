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
from tlplug.training.prefix_cache.check import why_not_cacheable


def is_reproducible(case: StrategyCase) -> None:
    """Check that the same seed gives the same model and the same step."""
    one, other = case.adapt(), case.adapt()
    if differing := changed(state(one.model), state(other.model)):
        raise CheckFailure(
            f"{join_names(differing)} differs between two runs with the same seed; draw from torch's generator, or from one "
            "seeded by context.seed"
        )
    if trainable(one.model):
        name, deviation = difference(one.gradients()[0], other.gradients()[0])
        if deviation > 1e-6:
            raise CheckFailure(f"the gradient of {name} differs between two steps with the same seed")


def does_not_modify_inputs(case: StrategyCase) -> None:
    """Check that the strategy does not modify batches or the base model's config."""
    adapted = case.adapt()
    config = tiny.base(case.combination.kind).config.to_dict()
    if adapted.task.base.config.to_dict() != config:
        raise CheckFailure("adapt modifies context.base.config; copy it, or modify the model's own config")
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
        raise CheckFailure(f"training_step modifies {join_names(modified)} of the batch; make a copy")


def inference_is_deterministic(case: StrategyCase) -> None:
    """Check that prediction draws no random numbers and does not modify the model."""
    adapted = case.adapt()
    before = state(adapted.model)
    first, second = adapted.outputs(), adapted.outputs()
    if first != second:
        raise CheckFailure(
            "two predictions of the model in eval mode differ; draw random numbers only if self.training"
        )
    if differing := changed(before, state(adapted.model)):
        raise CheckFailure(f"{join_names(differing)} changes when the model predicts in eval mode")


def frozen_prefix_is_frozen(case: StrategyCase) -> None:
    """Check that the output of the frozen prefix does not depend on trainable weights."""
    case.require_training()
    adapted = case.adapt()
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    if prefix is None:
        raise CheckSkipped("frozen_prefix returns None")
    inside = {id(p) for module in prefix.modules for p in module.parameters()}
    if trainable_inside := [
        n for n, p in adapted.model.named_parameters() if p.requires_grad and id(p) in inside
    ]:
        raise CheckFailure(f"{join_names(trainable_inside)} has requires_grad, but is in frozen_prefix")
    if outside := [
        m
        for m in prefix.cacheable
        if not any(m is inner for part in prefix.modules for inner in part.modules())
    ]:
        raise CheckFailure(
            f"{type(outside[0]).__name__} is in frozen_prefix.cacheable, but not in frozen_prefix.modules"
        )
    before = _record_outputs(adapted, prefix.modules)
    add_noise(adapted.model)
    if _record_outputs(adapted, prefix.modules) != before:
        raise CheckFailure(
            "the output of frozen_prefix depends on trainable weights, which run before it or in it"
        )


def _record_outputs(adapted: AdaptedModel, modules: Sequence[nn.Module]) -> list[list[float]]:
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
    """Check that the blocks in the frozen prefix have the same outputs as in the base model."""
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
            f"the output of a block in frozen_prefix differs from that of the base model (by {deviation:.2g}); exclude the "
            "modules that adapt changes"
        )


def cached_prefix_matches_uncached(case: StrategyCase) -> None:
    """Check that training on the cached output of the frozen prefix gives the same weights as without the cache."""
    case.require_training()
    adapted = case.adapt()
    prefix = adapted.strategy.frozen_prefix(adapted.model)
    if prefix is None or not prefix.cacheable or not adapted.head.single_forward_pass:
        raise CheckSkipped(
            "nothing is cached: frozen_prefix has no cacheable modules, or the head calls the model more than once"
        )
    if reason := why_not_cacheable(adapted.module, prefix, adapted.data, "train", "32-true"):
        raise CheckFailure(
            f"the output of frozen_prefix cannot be cached, so it is computed in every epoch: {reason}"
        )
    cached, computed = case.adapt(), case.adapt()
    cached.fit(cache_prefix=True)
    computed.fit(cache_prefix=False)
    name, deviation = difference(trainable(cached.model), trainable(computed.model))
    if deviation > 1e-5:
        raise CheckFailure(
            f"{name} differs (by {deviation:.2g}) when the output of the frozen prefix is cached: each cacheable "
            "module must be called once, with the previous output as its first argument, and depend on nothing else"
        )
