"""Checks of a strategy: equal gradients under accumulation, checkpointing, precision and distributed training."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from tlplug.errors import UsageError
from tlplug.interfaces import REQUIRED
from tlplug.settings import OptimizerSettings, TrainerSettings
from tlplug.testing.adapted import BATCH, AdaptedModel, TrainingLog
from tlplug.testing.check import CheckFailure, CheckSkipped, join_names
from tlplug.testing.checks.plugin import require_importable
from tlplug.testing.checks.saving import picklable
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.subprocesses import run_in_subprocesses
from tlplug.testing.tensors import Tensors, difference, trainable
from tlplug.training.trainer import settings_for

SMALL = 1e-3
"""The least divisor of a difference of gradients, as a share of the largest gradient."""
PLAIN = OptimizerSettings(learning_rate=0.05, weight_decay=0.0, schedule="constant", warmup=0.0)


def supports_gradient_accumulation(case: StrategyCase) -> None:
    """Check that the weighted gradients of two half batches add up to the gradient of the batch."""
    case.require_training()
    if case.not_comparable:
        raise CheckSkipped(case.not_comparable)
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
        raise CheckSkipped("its loss compares whole batches of several streams: what a batch is matters")
    raise CheckFailure(
        f"two half batches give {name} another gradient (by {deviation:.2g}) than one batch, so that "
        "trainer.accumulate_grad_batches changes the result; the loss has to be a mean over rows, and steps must not "
        "leave anything behind"
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
            f"model.gradient_checkpointing=true is refused when the model is loaded: {late} Ask "
            "base.gradient_checkpointing in why_incompatible(head, base)"
        ) from late
    name, deviation = difference(plain, checkpointed, SMALL)
    if deviation > 1e-3:
        lost = " (it has none)" if set(plain) - set(checkpointed) else ""
        raise CheckFailure(
            f"with model.gradient_checkpointing=true {name} has another gradient{lost}: what is injected must not "
            "depend on how often a forward pass runs"
        )


def trains_in_float32(case: StrategyCase) -> None:
    """Check that trainable weights are in float32, over frozen weights in float32 and in bfloat16."""
    case.require_training()
    for dtype in ("float32", "bfloat16"):
        case.require_compatible(dtype=dtype)
        adapted = case.adapt(dtype=dtype)
        if other := [name for name, p in trainable(adapted.model).items() if p.dtype != torch.float32]:
            raise CheckFailure(
                f"with model.dtype={dtype} {join_names(other)} moves in another format than float32"
            )
        optimizer = adapted.optimizer()
        for number in range(2):
            optimizer.zero_grad()
            loss, _ = adapted.step(number=number)
            optimizer.step()
        if not torch.isfinite(torch.tensor(loss)):
            raise CheckFailure(f"with model.dtype={dtype} the loss is {loss} after two steps")
        adapted.answers()


def ddp_matches_single_process(case: StrategyCase) -> None:
    """Check that two processes with half of each batch end with equal weights, and with those of one process."""
    case.require_training()
    require_importable(case.plugin)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first, second = run_in_subprocesses(
        [(train_one_of_two, (picklable(case), rank, port)) for rank in range(2)]
    )
    name, deviation = difference(first, second)
    if deviation > 0.0:
        raise CheckFailure(
            f"two processes end with {name} apart (by {deviation:.2g}): something moves that is not synchronized"
        )
    if case.not_comparable or REQUIRED in case.plugin.extra_data.values():
        return
    name, deviation = difference(train_one(case), first)
    if deviation > 1e-5:
        raise CheckFailure(
            f"two processes end with {name} apart (by {deviation:.2g}) from one with the same batches; a step must depend "
            "on nothing but its batch and what moves"
        )


def train_one(case: StrategyCase) -> Tensors:
    adapted = adapt_plainly(case, BATCH)
    train_plainly(adapted, "auto", 1)
    return trainable(adapted.model)


def train_one_of_two(case: StrategyCase, rank: int, port: int) -> Tensors:
    """Train in one of two processes that find each other by environment variables, as on a cluster."""
    os.environ.update(
        {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2"},
            **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            "TORCHELASTIC_RUN_ID": "tlplug-testing",
        }
    )
    adapted = adapt_plainly(case, BATCH // 2)
    train_plainly(adapted, settings_for(adapted.strategy, TrainerSettings(strategy="ddp")).strategy, 2)
    return trainable(adapted.model)


def adapt_plainly(case: StrategyCase, batch_size: int) -> AdaptedModel:
    """Adapt a model without dropout and with plain gradient descent, whose steps are the gradients."""
    adapted = case.adapt(dropout=False, batch_size=batch_size, settings=PLAIN)

    def descend(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.learning_rate or 0.0)

    adapted.strategy.optimizer = descend  # type: ignore[method-assign]
    return adapted


def train_plainly(adapted: AdaptedModel, strategy: str, devices: int) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        max_epochs=3,
        logger=False,
        callbacks=[TrainingLog(), *adapted.strategy.callbacks()],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=Path.cwd(),
    )
    trainer.fit(adapted.module, datamodule=adapted.data)
