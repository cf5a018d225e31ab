"""Open a finished run: its config, head, base model and trained weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tlplug.config.plugin_versions import warn_of_versions
from tlplug.config.reopen import FinishedRun, reopen
from tlplug.errors import UsageError
from tlplug.interfaces import BaseInfo, LoadOptions, TaskHead
from tlplug.models.base_model import find_base, save_processor
from tlplug.models.locate import PICKLES
from tlplug.models.precision import cast_trainable_to_float32, resolve_precision
from tlplug.runs import directory as run_directory
from tlplug.runs.directory import HEAD, HEAD_VERSION, read_object
from tlplug.runs.predict import Adapted
from tlplug.runtime import cache, files
from tlplug.runtime.imports import import_without_dynamo
from tlplug.settings import ModelSettings

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

ADAPTER_CONFIG = "adapter_config.json"
IMPORTS = "megatron_config"
"""Field of peft's config that makes it import a module named in the file; `auto_mapping` is not used here."""


def expect_safe(saved: Path) -> None:
    """Raise an error unless the saved folder exists and holds only formats that run no code when read.

    Raises:
        UsageError: the folder is missing, holds a pickle, or its adapter config names a module to import.
    """
    if not saved.is_dir():
        raise UsageError(f"{saved.parent} holds no {saved.name}/: the run did not finish")
    for file in sorted(saved.rglob("*")):
        if file.suffix in PICKLES:
            raise UsageError(
                f"{file} is a pickle, which can run code when it is read. tlplug saves safetensors and loads nothing "
                "else; if nothing here needs the file, remove it"
            )
    config = saved / ADAPTER_CONFIG
    if config.is_file() and read_object(config).get(IMPORTS):
        raise UsageError(
            f"{config} sets {IMPORTS}, and peft then imports the module that the file names. tlplug saves no such adapter"
        )


MERGED = "merged"


def load(run: str | Path, overrides: Sequence[str] = (), trust: bool = False) -> Adapted:
    """Load the adapted model of a run directory, on the GPU where there is one.

    Args:
        overrides: `data.key=value` in place of the run's own settings.
        trust: import a class that the run's config names by its dotted path.

    Raises:
        UsageError: there is no such run, or something that it needs is missing.
    """
    import torch

    finished = reopen(Path(run), overrides, trust)
    warn_of_versions(finished.folder, run_directory.recorded(finished.folder), finished.plugins)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    head, base = bound_head(finished), base_of(finished.model, finished.data.max_length)
    precision = resolve_precision(finished.trainer.precision, device.type, base.dtype)
    options = finished.strategy.load_options(head)
    model = load_model(finished, head, base, options, device).to(device).eval()
    return Adapted(finished, head, base, model, device, precision)


def base_of(settings: ModelSettings, max_length: int | None = None) -> BaseInfo:
    """Return the base model; where `model.from_run` names a run, its adaptation is merged into it.

    Raises:
        UsageError: the base model is missing, or that run adapted another one.
    """
    if settings.from_run is None:
        return find_base(settings, max_length)
    run = reopen(Path(settings.from_run).expanduser())
    if run.model.source != settings.source:
        raise UsageError(
            f"model.from_run={settings.from_run} adapted {run.model.source}, but model.source is {settings.source}"
        )
    folder = merged_folder(run)
    found = find_base(replace(settings, source=str(folder), sha256=None, from_run=None), max_length)
    return replace(found, source=f"{settings.source} adapted by {settings.from_run}")


def merged_folder(run: FinishedRun) -> Path:
    """Return the cache folder of the run's model merged in float32; it is written on first use."""
    head, base = bound_head(run), base_of(run.model, run.data.max_length)
    saved = sorted((run.folder / run.strategy.saved_folder).glob("*.safetensors"))
    digests = {file.name: files.file_digest(file) for file in saved}
    folder = cache.cache_folder() / MERGED / cache.key_of({"base": base.fingerprint, "adapter": digests})
    if not folder.is_dir():
        merged = merged_model(run, head, base)
        with files.atomic_cache_folder(folder) as beside:
            merged.save_pretrained(beside)
            save_processor(base, beside)
    return folder


def merged_model(run: FinishedRun, head: TaskHead, base: BaseInfo) -> PreTrainedModel:
    """Return the run's model merged in float32 into the unquantized base model.

    Raises:
        UsageError: the strategy's model is not a class of transformers.
    """
    import torch

    if not run.strategy.capabilities.mergeable:
        raise UsageError(
            f"strategy {run.strategy_name!r} makes a model that is not one of transformers' own, so there is nothing "
            f"to merge in {run.folder}"
        )
    whole = replace(base, dtype="float32", gradient_checkpointing=False)
    merged = run.strategy.merge(load_model(run, head, whole, LoadOptions(), torch.device("cpu")))
    return cast("PreTrainedModel", merged)


def bound_head(run: FinishedRun) -> TaskHead:
    """Return the head with the state from head.json.

    Raises:
        UsageError: the run did not finish, or head.json is damaged or of another version.
    """
    path = run.folder / HEAD
    if not path.is_file():
        raise UsageError(f"{run.folder} holds no {HEAD}: the run did not finish")
    known = read_object(path)
    if known.get("version") != HEAD_VERSION:
        raise UsageError(f"{path}: format version {known.get('version')}; this tlplug reads {HEAD_VERSION}")
    state = known.get("state")
    if not isinstance(state, dict) or not are_texts(state.get("labels", [])):
        raise UsageError(f"{path} cannot be read: `state` is an object, with a list of texts as `labels`")
    return run.head.with_state(state)


def are_texts(value: object) -> bool:
    """Return whether a value is a list of strings."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def load_model(
    run: FinishedRun, head: TaskHead, base: BaseInfo, options: LoadOptions, device: torch.device
) -> nn.Module:
    """Load the base model with its head and the weights that the run saved."""
    return adapted_model(run, bare_model(run, head, base, device, options), base)


def bare_model(
    run: FinishedRun, head: TaskHead, base: BaseInfo, device: torch.device, options: LoadOptions | None = None
) -> nn.Module:
    """Load the base model with its head, with `options` or those of the run's strategy.

    Raises:
        UsageError: the saved weights of the run are missing or not safe to read.
    """
    saved = run.folder / run.strategy.saved_folder
    expect_safe(saved)
    if (saved / ADAPTER_CONFIG).is_file():
        import_without_dynamo("peft")
    options = options or run.strategy.load_options(head)
    if options.quantization is not None:
        options = replace(options, device=str(device))
    return cast("nn.Module", head.load_model(base, options))


def adapted_model(run: FinishedRun, bare: nn.Module, base: BaseInfo) -> nn.Module:
    """Return the bare model with the saved weights of the run; trainable weights are cast to float32.

    Raises:
        UsageError: a saved file cannot be read.
    """
    from safetensors import SafetensorError

    saved = run.folder / run.strategy.saved_folder
    try:
        return cast_trainable_to_float32(run.strategy.load(bare, saved, base))
    except SafetensorError as error:
        raise UsageError(f"{saved} cannot be read: {error}") from error
