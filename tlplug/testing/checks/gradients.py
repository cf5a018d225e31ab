"""Checks of a strategy: the same gradients however a batch is divided, computed or stored."""

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
from tlplug.testing.checks.plugin import importable
from tlplug.testing.checks.saving import picklable
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.subprocesses import run_in_subprocesses
from tlplug.testing.tensors import Tensors, difference, trainable
from tlplug.training.trainer import settings_for

SMALL = 1e-3
"""A gradient that is smaller than this share of the largest one is measured against that."""
PLAIN = OptimizerSettings(learning_rate=0.05, weight_decay=0.0, schedule="constant", warmup=0.0)


def supports_gradient_accumulation(case: StrategyCase) -> None:
    """Two halves of a batch, weighted, give the gradient of the whole."""
    case.require_training()
    if case.not_comparable:
        raise CheckSkipped(case.not_comparable)
    made = case.made(dropout=False)
    whole, _ = made.gradients()
    halves = [
        made.gradients(made.batches(*rows))[0] for rows in (range(BATCH // 2), range(BATCH // 2, BATCH))
    ]
    together = {name: sum(half[name] for half in halves) / 2 for name in halves[0]}
    name, far = difference(whole, together, SMALL)  # type: ignore[arg-type]
    if far <= 1e-4:
        return
    if REQUIRED in case.plugin.extra_data.values():
        raise CheckSkipped("its loss compares whole batches of several streams: what a batch is matters")
    raise CheckFailure(
        f"two half batches give {name} another gradient (by {far:.2g}) than one batch, so that "
        "trainer.accumulate_grad_batches changes the result; the loss has to be a mean over rows, and steps must not "
        "leave anything behind"
    )


def supports_gradient_checkpointing(case: StrategyCase) -> None:
    """model.gradient_checkpointing gives the same gradients."""
    case.require_training()
    case.require_compatible(gradient_checkpointing=True)
    plain, _ = case.made(dropout=False).gradients()
    try:
        again, _ = case.made(dropout=False, gradient_checkpointing=True).gradients()
    except UsageError as late:
        raise CheckFailure(
            f"model.gradient_checkpointing=true is refused when the model is loaded: {late} Ask "
            "base.gradient_checkpointing in why_incompatible(head, base)"
        ) from late
    name, far = difference(plain, again, SMALL)
    if far > 1e-3:
        lost = " (it has none)" if set(plain) - set(again) else ""
        raise CheckFailure(
            f"with model.gradient_checkpointing=true {name} has another gradient{lost}: what is injected must not "
            "depend on how often a forward pass runs"
        )


def trains_in_float32(case: StrategyCase) -> None:
    """Over frozen weights in float32 and in bfloat16."""
    case.require_training()
    for dtype in ("float32", "bfloat16"):
        case.require_compatible(dtype=dtype)
        made = case.made(dtype=dtype)
        if other := [name for name, p in trainable(made.model).items() if p.dtype != torch.float32]:
            raise CheckFailure(
                f"with model.dtype={dtype} {join_names(other)} moves in another format than float32"
            )
        optimizer = made.optimizer()
        for number in range(2):
            optimizer.zero_grad()
            loss, _ = made.step(number=number)
            optimizer.step()
        if not torch.isfinite(torch.tensor(loss)):
            raise CheckFailure(f"with model.dtype={dtype} the loss is {loss} after two steps")
        made.answers()


def ddp_matches_single_process(case: StrategyCase) -> None:
    """With half of each batch they end at the weights of one process, and at the same as each other."""
    case.require_training()
    importable(case.plugin)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    first, second = run_in_subprocesses(
        [(weights_of_two, (picklable(case), rank, port)) for rank in range(2)]
    )
    name, far = difference(first, second)
    if far > 0.0:
        raise CheckFailure(
            f"two processes end with {name} apart (by {far:.2g}): something moves that is not synchronized"
        )
    if case.not_comparable or REQUIRED in case.plugin.extra_data.values():
        return
    name, far = difference(weights_of_one(case), first)
    if far > 1e-5:
        raise CheckFailure(
            f"two processes end with {name} apart (by {far:.2g}) from one with the same batches; a step must depend on "
            "nothing but its batch and what moves"
        )


def weights_of_one(case: StrategyCase) -> Tensors:
    made = plain_made(case, BATCH)
    fit(made, "auto", 1)
    return trainable(made.model)


def weights_of_two(case: StrategyCase, rank: int, port: int) -> Tensors:
    """In one of two processes, which its environment tells of the other, as a cluster does."""
    os.environ.update(
        {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0", "WORLD_SIZE": "2"},
            **{"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            "TORCHELASTIC_RUN_ID": "tlplug-testing",
        }
    )
    made = plain_made(case, BATCH // 2)
    fit(made, settings_for(made.strategy, TrainerSettings(strategy="ddp")).strategy, 2)
    return trainable(made.model)


def plain_made(case: StrategyCase, batch_size: int) -> AdaptedModel:
    """Without dropout and with plain gradient descent, whose steps are the gradients."""
    made = case.made(dropout=False, batch_size=batch_size, settings=PLAIN)

    def descend(groups: list[dict[str, Any]], settings: OptimizerSettings) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, lr=settings.learning_rate or 0.0)

    made.strategy.optimizer = descend  # type: ignore[method-assign]
    return made


def fit(made: AdaptedModel, strategy: str, devices: int) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=devices,
        strategy=strategy,
        max_epochs=3,
        logger=False,
        callbacks=[TrainingLog(), *made.strategy.callbacks()],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=Path.cwd(),
    )
    trainer.fit(made.module, datamodule=made.data)
