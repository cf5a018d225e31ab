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
    """Write the trained weights of a run into `out`, with head.json and a model card.

    Args:
        merge: write one merged model; otherwise the files that the strategy saved, an adapter or a model.
        dtype: number format of a merged model; None: that of the base model, or bfloat16 where it was quantized.

    Returns:
        The drift of a merged model on the run's test rows: `rows`, `same` (share of equal predictions), `before` and
        `after` (the primary score), `dtype`; empty without `merge`.

    Raises:
        UsageError: `out` is not empty, `dtype` does not fit, or the strategy's model cannot be merged.
    """
    check(out, merge, dtype)
    drift = save_merged(adapted, out, dtype) if merge else save_as_it_is(adapted, out)
    shutil.copy(adapted.run.folder / HEAD, out / HEAD)
    result = json.loads((adapted.run.folder / RESULT).read_text(encoding="utf-8"))
    atomic_write(out / CARD, model_card(adapted, out, result, drift))
    return drift


def check(out: Path, merge: bool, dtype: str | None) -> None:
    """Raise an error where the arguments of `export` are wrong, before anything is loaded."""
    expect_empty(out, str(out))
    if dtype is not None and (not merge or dtype not in DTYPES[1:]):
        raise UsageError(f"--dtype goes with --merge and is one of {', '.join(DTYPES[1:])}")


def save_as_it_is(adapted: Adapted, out: Path) -> dict[str, Any]:
    shutil.copytree(adapted.run.folder / adapted.run.strategy.saved_folder, out, dirs_exist_ok=True)
    config = out / ADAPTER_CONFIG
    if config.is_file():
        # peft wrote the path of the base model on this machine.
        known = json.loads(config.read_text(encoding="utf-8"))
        known["base_model_name_or_path"] = adapted.base.source
        atomic_write(config, json.dumps(known, indent=2) + "\n")
    return {}


def save_merged(adapted: Adapted, out: Path, dtype: str | None) -> dict[str, Any]:
    """Write the merged model, converted once to `dtype`, with its processor; return its drift."""
    import torch

    quantized = adapted.run.strategy.load_options(adapted.head).quantization is not None
    dtype = dtype or ("bfloat16" if quantized else adapted.base.dtype)
    merged = merged_model(adapted.run, adapted.head, adapted.base).to(getattr(torch, dtype))
    merged.save_pretrained(out)
    save_processor(adapted.base, out)
    return measured_drift(adapted, merged, dtype)


def measured_drift(adapted: Adapted, merged: PreTrainedModel, dtype: str) -> dict[str, Any]:
    """Return the comparison of the merged model's predictions with the run's own on the same rows."""
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
    """Return whether two predictions are equal; numbers may differ by 1% of `one`."""
    if isinstance(one, float):
        return bool(abs(one - other) <= 0.01 * abs(one))
    return bool(one == other)


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Upload an exported folder to the hub as `owner/name` and return its address.

    Args:
        private: upload only into a private repository; otherwise a new one gets its owner's default visibility.

    Raises:
        UsageError: the hub refuses or cannot be reached; the exported folder stays in place.
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
        # The error for a large file only names the file; the reason is in its cause.
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
