"""Checks of a strategy: what is saved, loaded, merged and resumed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tlplug.interfaces import LoadOptions
from tlplug.models.precision import cast_trainable_to_float32
from tlplug.testing.adapted import AdaptedModel, TrainingLog
from tlplug.testing.check import CheckFailure, join_names
from tlplug.testing.checks.plugin import importable
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.subprocesses import run_in_subprocesses
from tlplug.testing.tensors import difference, max_difference, seed, trainable
from tlplug.training.module import TransferModule

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tlplug-testing-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save_load_round_trip(case: StrategyCase) -> None:
    """Over a freshly loaded base model, whose new modules are random and others."""
    made = case.shaken
    before = made.answers()
    with temporary_folder() as folder:
        made.strategy.save(made.model, folder / "saved")
        if pickles := [file.name for file in folder.rglob("*") if file.suffix in PICKLES]:
            raise CheckFailure(
                f"save wrote {join_names(pickles)}, which can run code when it is read; write safetensors and JSON"
            )
        if max_difference(made.answers(), before) > case.tolerance:
            raise CheckFailure("save changed the model: it answers otherwise afterwards")
        far = max_difference(answers_of_saved(case, folder / "saved"), before)
    if far > case.tolerance:
        raise CheckFailure(
            f"what load gives answers otherwise than what was saved (by {far:.2g}): save has to write all that moved, "
            "and load to put all of it back"
        )


def loads_in_new_process(case: StrategyCase) -> None:
    importable(case.plugin)
    made = case.shaken
    with temporary_folder() as folder:
        made.strategy.save(made.model, folder / "saved")
        (found,) = run_in_subprocesses([(answers_of_saved, (picklable(case), folder / "saved"))])
    far = max_difference(found, made.answers())
    if far > case.tolerance:
        raise CheckFailure(
            f"in a new process the saved model answers otherwise (by {far:.2g}): something that load needs is "
            "neither in the folder nor in the Config"
        )


def picklable(case: StrategyCase) -> StrategyCase:
    """The same case without what it has made, for another process."""
    return StrategyCase(case.plugin, case.cell.name, case.cell.kind, **case.fields)


def answers_of_saved(case: StrategyCase, folder: Path) -> list[Any]:
    """What a freshly loaded base model with the saved weights over it says."""
    made = case.made()
    return made.answers(loaded(case, made, folder))


def loaded(case: StrategyCase, made: AdaptedModel, folder: Path, quantized: bool = True) -> nn.Module:
    """By a strategy of its own, as a finished run is reopened."""
    strategy = case.strategy()
    options = strategy.load_options(made.head) if quantized else LoadOptions()
    if options.quantization is not None:
        options = LoadOptions(quantization=options.quantization, device="cpu")
    seed(99)
    fresh = made.head.load_model(made.task.base, options)
    return cast_trainable_to_float32(strategy.load(fresh, folder, made.task.base))


def merge_matches_capability(case: StrategyCase) -> None:
    """`merge` gives a transformers model that answers the same and stands alone, if and only if capabilities.mergeable."""
    says = case.plugin.capabilities.mergeable
    made = case.shaken
    with temporary_folder() as folder:
        made.strategy.save(made.model, folder / "saved")
        try:
            problem = merging_problem(case, made, folder)
        except Exception as error:
            if says:
                raise
            problem = f"it raises {type(error).__name__}"
    if says and problem:
        raise CheckFailure(
            f"capabilities.mergeable is True, but {problem}; mend merge, or say Capabilities(mergeable=False)"
        )
    if not says and not problem:
        raise CheckFailure(
            "capabilities.mergeable is False, but merge gives a model that stands alone; say so"
        )


def merging_problem(case: StrategyCase, made: AdaptedModel, folder: Path) -> str | None:
    from transformers import PreTrainedModel

    adapted = loaded(case, made, folder / "saved", quantized=False)
    before = made.answers(adapted)
    merged = case.strategy().merge(adapted)
    if not isinstance(merged, PreTrainedModel):
        return f"merge gives a {type(merged).__name__}, which is no transformers model"
    if max_difference(made.answers(merged), before) > 1e-3:
        return "the merged model answers otherwise"
    merged.save_pretrained(folder / "merged")
    again, told = type(merged).from_pretrained(folder / "merged", output_loading_info=True)
    if max_difference(made.answers(again), before) > 1e-3:
        return f"the merged model, saved and loaded, answers otherwise{lacking(told)}"
    return None


def lacking(told: dict[str, Any]) -> str:
    strange = [*told["missing_keys"], *told["unexpected_keys"]]
    return f": transformers has no place for {join_names(strange)}" if strange else ""


def resumes_from_checkpoint(case: StrategyCase) -> None:
    """Cut off after the second of four epochs and gone on with, it ends at the same weights."""
    case.require_training()
    with temporary_folder() as folder:
        whole, again = resumable(case), resumable(case)
        trained(whole, folder, None)
        trained(again, None, folder / "epoch=1.ckpt")
    name, far = difference(trainable(whole.model), trainable(again.model))
    if far > 1e-5:
        raise CheckFailure(
            f"{name} is another one (by {far:.2g}) where a training is cut off and resumed: what the strategy keeps "
            "beside parameters and the optimizer has to come back from the checkpoint (Callback.state_dict) or be "
            "the same at its start"
        )


def resumable(case: StrategyCase) -> AdaptedModel:
    """Eight steps in all, for the schedule."""
    made = case.made(dropout=False)
    module = made.module
    again = TransferModule(
        module.model, module.strategy, module.head, module.settings, 8, module.rows, module.base
    )
    return AdaptedModel(again.train(), made.task)


def trained(made: AdaptedModel, folder: Path | None, checkpoint: Path | None) -> None:
    """Four epochs, with a checkpoint in `folder` after each, or from a checkpoint on."""
    keeps = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=4,
        precision="32-true",
        logger=False,
        callbacks=[TrainingLog(), *made.strategy.callbacks(), *keeps],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(keeps),
    )
    torch.manual_seed(0)
    trainer.fit(made.module, datamodule=made.data, ckpt_path=checkpoint, weights_only=True)
