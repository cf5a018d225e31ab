"""Export a finished run for plain transformers and peft, with a model card."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.errors import UsageError
from tlplug.models.base_model import DTYPES, save_processor
from tlplug.runs.directory import HEAD, RESULT, expect_empty
from tlplug.runs.evaluate import predict_all, stored_rows
from tlplug.runs.load import ADAPTER_CONFIG, merged_model
from tlplug.runs.model_card import model_card
from tlplug.runs.predict import Adapted
from tlplug.runtime.files import atomic_write

if TYPE_CHECKING:
    from transformers import PreTrainedModel


CARD = "README.md"


def export(adapted: Adapted, out: Path, merge: bool = False, dtype: str | None = None) -> dict[str, Any]:
    """Write what the run trained into `out`.

    Args:
        merge: one model that stands alone; else what the strategy saved, an adapter or a model.
        dtype: number format of a merged model; None: that of the base model, and bfloat16 where that was quantized.

    Returns:
        The drift of a merged model from the run's own on its test rows: `rows`, `same` (share of equal predictions),
        `before` and `after` (the primary score), `dtype`; empty where nothing was merged.

    Raises:
        UsageError: something lies in `out`, or the strategy's model cannot be merged.
    """
    check(out, merge, dtype)
    drift = save_merged(adapted, out, dtype) if merge else save_as_it_is(adapted, out)
    shutil.copy(adapted.run.folder / HEAD, out / HEAD)
    result = json.loads((adapted.run.folder / RESULT).read_text(encoding="utf-8"))
    atomic_write(out / CARD, model_card(adapted, out, result, drift))
    return drift


def check(out: Path, merge: bool, dtype: str | None) -> None:
    """What can be known to be wrong before anything is loaded."""
    expect_empty(out, str(out))
    if dtype is not None and (not merge or dtype not in DTYPES[1:]):
        raise UsageError(f"--dtype goes with --merge and is one of {', '.join(DTYPES[1:])}")


def save_as_it_is(adapted: Adapted, out: Path) -> dict[str, Any]:
    shutil.copytree(adapted.run.folder / adapted.run.strategy.saved_folder, out, dirs_exist_ok=True)
    config = out / ADAPTER_CONFIG
    if config.is_file():
        # What peft wrote is where the base model lay on this machine.
        known = json.loads(config.read_text(encoding="utf-8"))
        known["base_model_name_or_path"] = adapted.base.source
        atomic_write(config, json.dumps(known, indent=2) + "\n")
    return {}


def save_merged(adapted: Adapted, out: Path, dtype: str | None) -> dict[str, Any]:
    """Merge, round once, and see what that did to the predictions."""
    import torch

    quantized = adapted.run.strategy.load_options(adapted.head).quantization is not None
    dtype = dtype or ("bfloat16" if quantized else adapted.base.dtype)
    merged = merged_model(adapted.run, adapted.head, adapted.base).to(getattr(torch, dtype))
    merged.save_pretrained(out)
    save_processor(adapted.base, out)
    return measured_drift(adapted, merged, dtype)


def measured_drift(adapted: Adapted, merged: PreTrainedModel, dtype: str) -> dict[str, Any]:
    """Predictions of the merged model beside those that the run made of the same rows."""
    head, (rows, before) = adapted.head, stored_rows(adapted)
    after = predict_all(replace(adapted, model=merged.to(adapted.device).eval()), rows)
    same = [alike(old["prediction"], new["prediction"]) for old, new in zip(before, after, strict=True)]
    return {
        "dtype": dtype,
        "rows": len(rows),
        "same": sum(same) / len(same),
        "before": head.scores(before, rows)[head.primary_score],
        "after": head.scores(after, rows)[head.primary_score],
    }


def alike(one: Any, other: Any) -> bool:
    """Whether two predictions are the same; numbers are where they differ by less than a hundredth."""
    if isinstance(one, float):
        return bool(abs(one - other) <= 0.01 * abs(one))
    return bool(one == other)


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Upload an exported folder to the hub as `owner/name`; the address it is at.

    Args:
        private: only into a private repository; without it a new one is what is usual for its owner.

    Raises:
        UsageError: the hub refuses or cannot be reached; what was exported stays where it is.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        # `private=False` would make it public in an organization whose repositories are private by default.
        repository = api.create_repo(repository, private=private or None, exist_ok=True).repo_id
        if private and not api.model_info(repository).private:
            raise ValueError(
                "it is there already and public; before trying again make it private, or name another"
            )
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Export by tlplug")
    except Exception as error:  # the hub's client, its HTTP client and its transfer each raise their own
        # That of a large file only names it; why it was refused is the cause.
        cause = error.__cause__ or error if isinstance(error, RuntimeError) else error
        reason = str(cause)
        if isinstance(cause, HfHubHTTPError):
            answer = cause.response
            reason = f"{answer.status_code} {answer.reason_phrase}. {cause.server_message or ''}"
            if answer.status_code in (401, 403, 404):
                reason += "\nLog in with `hf auth login`, or set HF_TOKEN, to a token that may write there."
        reason = re.sub(r"Bearer [^'\"]+", "Bearer ...", reason.strip()) or type(cause).__name__
        again = ["hf", "upload", *(["--private"] if private else []), repository, str(folder)]
        raise UsageError(
            f"{folder} was exported, but could not be uploaded to {api.endpoint}/{repository}: {reason}\n"
            f"Try again with: {shlex.join(again)}"
        ) from error
    return f"{api.endpoint}/{repository}"
