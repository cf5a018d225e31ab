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
from tlplug.testing.checks.plugin import require_importable
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
    """Check that saved weights restore the model, over a newly loaded base model with other random modules."""
    adapted = case.noisy
    before = adapted.answers()
    with temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        if pickles := [file.name for file in folder.rglob("*") if file.suffix in PICKLES]:
            raise CheckFailure(
                f"save wrote {join_names(pickles)}, which can run code when it is read; write safetensors and JSON"
            )
        if max_difference(adapted.answers(), before) > case.tolerance:
            raise CheckFailure("save changed the model: it answers otherwise afterwards")
        deviation = max_difference(answers_of_saved(case, folder / "saved"), before)
    if deviation > case.tolerance:
        raise CheckFailure(
            f"what load gives answers otherwise than what was saved (by {deviation:.2g}): save has to write all that moved, "
            "and load to put all of it back"
        )


def loads_in_new_process(case: StrategyCase) -> None:
    require_importable(case.plugin)
    adapted = case.noisy
    with temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        (answers,) = run_in_subprocesses([(answers_of_saved, (picklable(case), folder / "saved"))])
    deviation = max_difference(answers, adapted.answers())
    if deviation > case.tolerance:
        raise CheckFailure(
            f"in a new process the saved model answers otherwise (by {deviation:.2g}): something that load needs is "
            "neither in the folder nor in the Config"
        )


def picklable(case: StrategyCase) -> StrategyCase:
    """Return the case without its cached models, for another process."""
    return StrategyCase(case.plugin, case.combination.name, case.combination.kind, **case.fields)


def answers_of_saved(case: StrategyCase, folder: Path) -> list[Any]:
    """Return the answers of a newly loaded base model with the saved weights."""
    adapted = case.adapt()
    return adapted.answers(load_saved(case, adapted, folder))


def load_saved(case: StrategyCase, adapted: AdaptedModel, folder: Path, quantized: bool = True) -> nn.Module:
    """Load the saved weights with a new strategy object, as for a finished run."""
    strategy = case.strategy()
    options = strategy.load_options(adapted.head) if quantized else LoadOptions()
    if options.quantization is not None:
        options = LoadOptions(quantization=options.quantization, device="cpu")
    seed(99)
    fresh = adapted.head.load_model(adapted.task.base, options)
    return cast_trainable_to_float32(strategy.load(fresh, folder, adapted.task.base))


def merge_matches_capability(case: StrategyCase) -> None:
    """Check that `merge` returns an equivalent, complete transformers model if and only if capabilities.mergeable."""
    mergeable = case.plugin.capabilities.mergeable
    adapted = case.noisy
    with temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        try:
            problem = find_merge_error(case, adapted, folder)
        except Exception as error:
            if mergeable:
                raise
            problem = f"it raises {type(error).__name__}"
    if mergeable and problem:
        raise CheckFailure(
            f"capabilities.mergeable is True, but {problem}; mend merge, or say Capabilities(mergeable=False)"
        )
    if not mergeable and not problem:
        raise CheckFailure(
            "capabilities.mergeable is False, but merge gives a model that stands alone; say so"
        )


def find_merge_error(case: StrategyCase, adapted: AdaptedModel, folder: Path) -> str | None:
    from transformers import PreTrainedModel

    reloaded = load_saved(case, adapted, folder / "saved", quantized=False)
    before = adapted.answers(reloaded)
    merged = case.strategy().merge(reloaded)
    if not isinstance(merged, PreTrainedModel):
        return f"merge gives a {type(merged).__name__}, which is no transformers model"
    if max_difference(adapted.answers(merged), before) > 1e-3:
        return "the merged model answers otherwise"
    merged.save_pretrained(folder / "merged")
    loaded, loading_info = type(merged).from_pretrained(folder / "merged", output_loading_info=True)
    if max_difference(adapted.answers(loaded), before) > 1e-3:
        return f"the merged model, saved and loaded, answers otherwise{describe_misplaced(loading_info)}"
    return None


def describe_misplaced(loading_info: dict[str, Any]) -> str:
    misplaced = [*loading_info["missing_keys"], *loading_info["unexpected_keys"]]
    return f": transformers has no place for {join_names(misplaced)}" if misplaced else ""


def resumes_from_checkpoint(case: StrategyCase) -> None:
    """Check that a run that is interrupted after two of four epochs and resumed ends with the same weights."""
    case.require_training()
    with temporary_folder() as folder:
        uninterrupted, resumed = build_resumable(case), build_resumable(case)
        train(uninterrupted, folder, None)
        train(resumed, None, folder / "epoch=1.ckpt")
    name, deviation = difference(trainable(uninterrupted.model), trainable(resumed.model))
    if deviation > 1e-5:
        raise CheckFailure(
            f"{name} is another one (by {deviation:.2g}) where a training is cut off and resumed: what the strategy keeps "
            "beside parameters and the optimizer has to come back from the checkpoint (Callback.state_dict) or be "
            "the same at its start"
        )


def build_resumable(case: StrategyCase) -> AdaptedModel:
    """Adapt a model for a run of eight steps."""
    adapted = case.adapt(dropout=False)
    module = adapted.module
    resumed = TransferModule(module.model, module.strategy, adapted.task, module.settings, total_steps=8)
    return AdaptedModel(resumed.train(), adapted.task)


def train(adapted: AdaptedModel, folder: Path | None, checkpoint: Path | None) -> None:
    """Train for four epochs, with a checkpoint in `folder` after each, or resume from a checkpoint."""
    keeps = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=4,
        precision="32-true",
        logger=False,
        callbacks=[TrainingLog(), *adapted.strategy.callbacks(), *keeps],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=bool(keeps),
    )
    torch.manual_seed(0)
    trainer.fit(adapted.module, datamodule=adapted.data, ckpt_path=checkpoint, weights_only=True)
