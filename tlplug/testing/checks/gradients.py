"""Checks of a strategy: equal gradients under accumulation, checkpointing, precision and distributed training."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import torch

from tlplug.errors import UsageError
from tlplug.interfaces import REQUIRED
from tlplug.settings import OptimizerSettings, TrainerSettings
from tlplug.testing.adapted import BATCH, AdaptedModel
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names, require_importable
from tlplug.testing.isolation import run_in_subprocesses
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import Tensors, difference, trainable
from tlplug.training.trainer import adjust_for_strategy

SMALL = 1e-3
"""The least divisor of a difference of gradients, as a share of the largest gradient."""
PLAIN = OptimizerSettings(learning_rate=0.05, weight_decay=0.0, schedule="constant", warmup=0.0)


def supports_gradient_accumulation(case: StrategyCase) -> None:
    """Check that the gradients of two half batches add up to the gradient of the batch."""
    case.require_training()
    if case.incomparable_reason:
        raise CheckSkipped(case.incomparable_reason)
    adapted = case.adapt(dropout=False)
    whole, _ = adapted.gradients()
    halves = [
        adapted.gradients(adapted.batches(*rows))[0] for rows in (range(BATCH // 2), range(BATCH // 2, BATCH))
    ]
    combined = {name: sum(half[name] for half in halves) / 2 for name in halves[0]}
    name, deviation = difference(whole, combined, SMALL)  # type: ignore[arg-type]
    if deviation <= 1e-4:
        return
    if REQUIRED in case.plugin.extra_data.values():
        raise CheckSkipped(
            "its loss compares whole batches of several streams, so halves of a batch have another loss"
        )
    raise CheckFailure(
        f"the gradient of {name} over two half batches differs from that over the batch (by {deviation:.2g}), so "
        "trainer.accumulate_grad_batches changes the result; the loss must be a mean over rows, and a step must not depend "
        "on earlier ones"
    )


def supports_gradient_checkpointing(case: StrategyCase) -> None:
    """Check that model.gradient_checkpointing gives the same gradients."""
    case.require_training()
    case.require_compatible(gradient_checkpointing=True)
    plain, _ = case.adapt(dropout=False).gradients()
    try:
        checkpointed, _ = case.adapt(dropout=False, gradient_checkpointing=True).gradients()
    except UsageError as late:
        raise CheckFailure(
            f"model.gradient_checkpointing=true raises an error when the model is loaded: {late} Check "
            "base.gradient_checkpointing in why_incompatible(head, base)"
        ) from late
    name, deviation = difference(plain, checkpointed, SMALL)
    if deviation > 1e-3:
        missing = " (it is missing)" if set(plain) - set(checkpointed) else ""
        raise CheckFailure(
            f"model.gradient_checkpointing=true changes the gradient of {name}{missing}: modules must not depend "
            "on the number of forward passes"
        )


def trains_in_float32(case: StrategyCase) -> None:
    """Check that trainable weights are in float32, with frozen weights in float32 or bfloat16."""
    case.require_training()
    for dtype in ("float32", "bfloat16"):
        case.require_compatible(dtype=dtype)
        adapted = case.adapt(dtype=dtype)
        if other := [name for name, p in trainable(adapted.model).items() if p.dtype != torch.float32]:
            raise CheckFailure(
                f"with model.dtype={dtype}, {join_names(other)} is trainable and not in float32"
            )
        optimizer = adapted.optimizer()
        for number in range(2):
            optimizer.zero_grad()
            loss, _ = adapted.step(number=number)
            optimizer.step()
        if not torch.isfinite(torch.tensor(loss)):
            raise CheckFailure(f"with model.dtype={dtype}, the loss is {loss} after two steps")
        adapted.outputs()


def ddp_matches_single_process(case: StrategyCase) -> None:
    """Check that two processes with half of each batch end with the same weights as one process."""
    case.require_training()
    require_importable(case.plugin)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first, second = run_in_subprocesses(
        [(_train_one_of_two, (case.without_models(), rank, port)) for rank in range(2)]
    )
    name, deviation = difference(first, second)
    if deviation > 0.0:
        raise CheckFailure(
            f"{name} differs between two processes (by {deviation:.2g}): its gradient is not synchronized"
        )
    if case.incomparable_reason or REQUIRED in case.plugin.extra_data.values():
        return
    name, deviation = difference(_train_one(case), first)
    if deviation > 1e-5:
        raise CheckFailure(
            f"{name} differs between two processes and one with the same batches (by {deviation:.2g}); a step must "
            "depend only on its batch and the trainable weights"
        )


def _train_one(case: StrategyCase) -> Tensors:
    adapted = _adapt_with_sgd(case, BATCH)
    _train(adapted, "auto", 1)
    return trainable(adapted.model)


def _train_one_of_two(case: StrategyCase, rank: int, port: int) -> Tensors:
    """Train in one of two processes that are connected by environment variables, as on a cluster."""
    os.environ.update(
        {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2"},
            **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            "TORCHELASTIC_RUN_ID": "tlplug-testing",
        }
    )
    adapted = _adapt_with_sgd(case, BATCH // 2)
    _train(adapted, adjust_for_strategy(adapted.strategy, TrainerSettings(strategy="ddp")).strategy, 2)
    return trainable(adapted.model)


def _adapt_with_sgd(case: StrategyCase, batch_size: int) -> AdaptedModel:
    """Adapt a model without dropout and with plain gradient descent, whose steps are the gradients."""
    adapted = case.adapt(dropout=False, batch_size=batch_size, settings=PLAIN)

    def descend(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.learning_rate or 0.0)

    adapted.strategy.optimizer = descend  # type: ignore[method-assign]
    return adapted


def _train(adapted: AdaptedModel, strategy: str, devices: int) -> None:
    trainer = adapted.plain_trainer(
        devices=devices, strategy=strategy, max_epochs=3, default_root_dir=Path.cwd()
    )
    trainer.fit(adapted.module, datamodule=adapted.data)
