"""Checks of a strategy: what is saved, loaded, merged and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from tlplug.interfaces import LoadOptions
from tlplug.models.precision import cast_trainable_to_float32
from tlplug.testing.adapted import AdaptedModel
from tlplug.testing.check import CheckFailure, join_names, require_importable
from tlplug.testing.isolation import run_in_subprocesses
from tlplug.testing.strategy_case import StrategyCase
from tlplug.testing.tensors import difference, max_difference, seed, trainable
from tlplug.training.module import TransferModule

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy")


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="tlplug-testing-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def save_load_round_trip(case: StrategyCase) -> None:
    """Check that loading the saved weights over a new base model restores the predictions."""
    adapted = case.noisy
    before = adapted.outputs()
    with _temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        if pickles := [file.name for file in folder.rglob("*") if file.suffix in PICKLES]:
            raise CheckFailure(
                f"save writes {join_names(pickles)}, which can run code when it is loaded; write safetensors and JSON"
            )
        if max_difference(adapted.outputs(), before) > case.tolerance:
            raise CheckFailure("save modifies the model: its predictions differ afterwards")
        deviation = max_difference(_predict_saved(case, folder / "saved"), before)
    if deviation > case.tolerance:
        raise CheckFailure(
            f"the loaded model's predictions differ from those of the saved model (by {deviation:.2g}): save must "
            "write all trained weights, and load must restore them"
        )


def loads_in_new_process(case: StrategyCase) -> None:
    """Check that a new process loads the saved model with the same predictions."""
    require_importable(case.plugin)
    adapted = case.noisy
    with _temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        (answers,) = run_in_subprocesses([(_predict_saved, (case.without_models(), folder / "saved"))])
    deviation = max_difference(answers, adapted.outputs())
    if deviation > case.tolerance:
        raise CheckFailure(
            f"the saved model's predictions differ in a new process (by {deviation:.2g}): load needs something that "
            "is neither in the folder nor in the Config"
        )


def _predict_saved(case: StrategyCase, folder: Path) -> list[Any]:
    """Return the outputs of a newly loaded base model with the saved weights."""
    adapted = case.adapt()
    return adapted.outputs(_load_saved(case, adapted, folder))


def _load_saved(case: StrategyCase, adapted: AdaptedModel, folder: Path, quantized: bool = True) -> nn.Module:
    """Load the saved weights with a new strategy object, as for a finished run."""
    strategy = case.strategy()
    options = strategy.load_options(adapted.head) if quantized else LoadOptions()
    if options.quantization is not None:
        options = LoadOptions(quantization=options.quantization, device="cpu")
    seed(99)
    fresh = adapted.head.load_model(adapted.task.base, options)
    return cast_trainable_to_float32(strategy.load(fresh, folder, adapted.task.base))


def merge_matches_capability(case: StrategyCase) -> None:
    """Check that `merge` returns an equivalent transformers model if and only if capabilities.mergeable is True."""
    mergeable = case.plugin.capabilities.mergeable
    adapted = case.noisy
    with _temporary_folder() as folder:
        adapted.strategy.save(adapted.model, folder / "saved")
        try:
            problem = _find_merge_error(case, adapted, folder)
        except Exception as error:
            if mergeable:
                raise
            problem = f"merge raises {type(error).__name__}"
    if mergeable and problem:
        raise CheckFailure(
            f"capabilities.mergeable is True, but {problem}; fix merge, or set Capabilities(mergeable=False)"
        )
    if not mergeable and not problem:
        raise CheckFailure(
            "capabilities.mergeable is False, but merge returns a complete model; set Capabilities(mergeable=True)"
        )


def _find_merge_error(case: StrategyCase, adapted: AdaptedModel, folder: Path) -> str | None:
    from transformers import PreTrainedModel

    reloaded = _load_saved(case, adapted, folder / "saved", quantized=False)
    before = adapted.outputs(reloaded)
    merged = case.strategy().merge(reloaded)
    if not isinstance(merged, PreTrainedModel):
        return f"merge returns a {type(merged).__name__}, which is not a transformers model"
    if max_difference(adapted.outputs(merged), before) > 1e-3:
        return "the predictions of the merged model differ"
    merged.save_pretrained(folder / "merged")
    loaded, loading_info = type(merged).from_pretrained(folder / "merged", output_loading_info=True)
    if max_difference(adapted.outputs(loaded), before) > 1e-3:
        return f"the predictions of the merged model differ after saving and loading{_describe_misplaced(loading_info)}"
    return None


def _describe_misplaced(loading_info: dict[str, Any]) -> str:
    misplaced = [*loading_info["missing_keys"], *loading_info["unexpected_keys"]]
    return f": transformers does not load {join_names(misplaced)}" if misplaced else ""


def resumes_from_checkpoint(case: StrategyCase) -> None:
    """Check that a training run that is interrupted and resumed ends with the same weights."""
    case.require_training()
    with _temporary_folder() as folder:
        uninterrupted, resumed = _adapt_for_eight_steps(case), _adapt_for_eight_steps(case)
        _train(uninterrupted, folder, None)
        _train(resumed, None, folder / "epoch=1.ckpt")
    name, deviation = difference(trainable(uninterrupted.model), trainable(resumed.model))
    if deviation > 1e-5:
        raise CheckFailure(
            f"{name} differs (by {deviation:.2g}) after training is interrupted and resumed: restore the "
            "strategy's state other than parameters and optimizer from the checkpoint (Callback.state_dict)"
        )


def _adapt_for_eight_steps(case: StrategyCase) -> AdaptedModel:
    adapted = case.adapt(dropout=False)
    module = adapted.module
    resumed = TransferModule(module.model, module.strategy, adapted.task, module.settings, total_steps=8)
    return AdaptedModel(resumed.train(), adapted.task)


def _train(adapted: AdaptedModel, folder: Path | None, checkpoint: Path | None) -> None:
    """Train for four epochs, with a checkpoint in `folder` after each, or resume from a checkpoint."""
    checkpoints = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = adapted.plain_trainer(*checkpoints, max_epochs=4, enable_checkpointing=bool(checkpoints))
    torch.manual_seed(0)
    trainer.fit(adapted.module, datamodule=adapted.data, ckpt_path=checkpoint, weights_only=True)
