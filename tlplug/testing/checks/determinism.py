"""Checks of a strategy: the same each time, nothing of others changed, a frozen prefix that is frozen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from tlplug.evaluation.layer_features import layer_features, stay
from tlplug.testing import tiny_models as tiny
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import add_noise, changed, difference, seed, state, trainable
from tlplug.training.prefix_cache.check import fault


def is_reproducible(case: StrategyCase) -> None:
    """The same seed gives the same model and the same step."""
    one, other = case.made(), case.made()
    if differing := changed(state(one.model), state(other.model)):
        raise CheckFailure(
            f"{join_names(differing)} is another one each time, with the same seed; draw from torch's generator, or one "
            "seeded by context.seed"
        )
    if trainable(one.model):
        name, apart = difference(one.gradients()[0], other.gradients()[0])
        if apart > 1e-6:
            raise CheckFailure(f"a step with the same seed gives {name} another gradient each time")


def does_not_modify_inputs(case: StrategyCase) -> None:
    """Batches, and the base model's config, are others' too."""
    made = case.made()
    config = tiny.base(case.cell.kind).config.to_dict()
    if made.task.base.config.to_dict() != config:
        raise CheckFailure("context.base.config was changed; make a copy, or change the model's own config")
    if not trainable(made.model):
        return
    batches = made.batches()
    before = {
        f"{stream}/{name}": value.clone()
        for stream, batch in batches.items()
        for name, value in batch.items()
        if isinstance(value, torch.Tensor)
    }
    made.step(batches)
    after = {f"{stream}/{name}": value for stream, batch in batches.items() for name, value in batch.items()}
    if touched := set(before) ^ set(after) or changed(before, after):
        raise CheckFailure(f"training_step changed {join_names(touched)} of the batch; make a copy")


def inference_is_deterministic(case: StrategyCase) -> None:
    """Nothing is drawn, counted or updated where nothing is learnt."""
    made = case.made()
    before = state(made.model)
    first, second = made.answers(), made.answers()
    if first != second:
        raise CheckFailure(
            "the model in eval mode answers otherwise the second time; draw only where self.training"
        )
    if differing := changed(before, state(made.model)):
        raise CheckFailure(f"{join_names(differing)} changes when the model is asked in eval mode")


def frozen_prefix_is_frozen(case: StrategyCase) -> None:
    """Nothing in it moves, and nothing that moves changes what it gives."""
    case.require_training()
    made = case.made()
    prefix = made.strategy.frozen_prefix(made.model)
    if prefix is None:
        raise CheckSkipped("frozen_prefix gives None")
    inside = {id(p) for module in prefix.modules for p in module.parameters()}
    if moves := [n for n, p in made.model.named_parameters() if p.requires_grad and id(p) in inside]:
        raise CheckFailure(f"{join_names(moves)} has requires_grad and lies in frozen_prefix")
    if outside := [
        m
        for m in prefix.cacheable
        if not any(m is inner for part in prefix.modules for inner in part.modules())
    ]:
        raise CheckFailure(f"{type(outside[0]).__name__} is in the prefix's chain and not in its modules")
    before = record_outputs(made, prefix.modules)
    add_noise(made.model)
    if record_outputs(made, prefix.modules) != before:
        raise CheckFailure(
            "the output of frozen_prefix depends on what moves: something that moves runs before it, or in it"
        )


def record_outputs(made: AdaptedModel, modules: Sequence[nn.Module]) -> list[list[float]]:
    """What these modules give while a batch goes through the model, in the order of the calls."""
    found: list[list[float]] = []

    def hear(module: nn.Module, given: object, output: object) -> None:
        output = getattr(output, "last_hidden_state", output)
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor):
            found.append(first.detach().float().flatten().tolist())

    handles = [module.register_forward_hook(hear) for module in modules]
    seed(0)
    with torch.no_grad():
        made.head.training_step(made.model, made.batches()["main"])
    for handle in handles:
        handle.remove()
    return found


def frozen_prefix_matches_base_model(case: StrategyCase) -> None:
    """Blocks that lie in it give what they gave before the model was adapted: nobody looks at them again."""
    case.require_training()
    made = case.made()
    base, prefix = made.task.base, made.strategy.frozen_prefix(made.model)
    if prefix is None or not stay(made.model, prefix, base):
        raise CheckSkipped("frozen_prefix ends before the last block")
    bare = made.head.load_model(base, made.strategy.load_options(made.head))
    batch = made.batches()["main"]
    with torch.no_grad():
        before, after = (
            layer_features(model.eval(), made.head, base, [batch]) for model in (bare, made.model)
        )
    if apart := float(abs(before - after).max()):
        raise CheckFailure(
            f"a block in frozen_prefix gives other states than in the base model (by {apart:.2g}); what adapt changes "
            "is no part of it"
        )


def cached_prefix_matches_uncached(case: StrategyCase) -> None:
    """A training on what was kept of the frozen prefix gives the same weights as one that computes it."""
    case.require_training()
    made = case.made()
    prefix = made.strategy.frozen_prefix(made.model)
    if prefix is None or not prefix.cacheable or not made.head.single_forward_pass:
        raise CheckSkipped(
            "nothing is kept: frozen_prefix gives no chain, or the head calls the model more than once"
        )
    if reason := fault(made.module, prefix, made.data, "train", "32-true"):
        raise CheckFailure(f"the chain of frozen_prefix cannot be kept, and runs in every epoch: {reason}")
    kept, computed = case.made(), case.made()
    kept.fit(keep=True)
    computed.fit(keep=False)
    name, apart = difference(trainable(kept.model), trainable(computed.model))
    if apart > 1e-5:
        raise CheckFailure(
            f"{name} is another one (by {apart:.2g}) when the frozen prefix runs once: each module of its chain has "
            "to be called once, with the output of the one before as its first argument, and nothing else may matter"
        )
