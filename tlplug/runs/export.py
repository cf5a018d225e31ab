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
from tlplug.interfaces import BaseInfo
from tlplug.models.base_model import DTYPES, save_processor
from tlplug.reports.formatting import figure
from tlplug.runs.directory import HEAD, RESULT, expect_empty
from tlplug.runs.evaluate import predict_all, stored_rows
from tlplug.runs.load import ADAPTER_CONFIG, merged_model
from tlplug.runs.predict import Adapted
from tlplug.runtime.files import write_whole

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


def model_card(adapted: Adapted, out: Path, result: dict[str, Any], drift: dict[str, Any]) -> str:
    """Data, scores, verdict, licence of the base model and how to load it, as Markdown with the hub's metadata."""
    run = adapted.run
    title = f"{run.task}: {run.strategy_name} on {adapted.base.source}"
    parts = [front_matter(adapted, out), f"# {title}", about(adapted, result)]
    parts += ["## Scores", scores_table(result), result["verdict"]["text"]]
    if drift:
        parts += ["## Merged", drift_sentence(drift, result)]
    parts += ["## How to load it", how_to_load(adapted, out), "## Licence", licence(adapted)]
    return "\n\n".join(parts) + "\n"


def front_matter(adapted: Adapted, out: Path) -> str:
    """Hub metadata; a base model that is no hub id is not named as one."""
    library = "peft" if (out / ADAPTER_CONFIG).is_file() else "transformers"
    lines = [f"library_name: {library}", "tags: [tlplug, transfer-learning]"]
    if on_hub(adapted):
        lines.append(f"base_model: {adapted.base.source}")
    if adapted.run.model.license:
        lines.append(f"license: {adapted.run.model.license.lower()}")
    return "\n".join(["---", *lines, "---"])


def about(adapted: Adapted, result: dict[str, Any]) -> str:
    cost = result["cost"]
    share = 100 * cost["trainable_parameters"] / cost["total_parameters"]
    return (
        f"The base model `{adapted.base.source}`, adapted by the strategy `{adapted.run.strategy_name}` to the task "
        f"`{adapted.run.task}` (head `{adapted.run.head_name}`), seed {result['seed']}. "
        f"{cost['trainable_parameters']:,} of {cost['total_parameters']:,} weights moved ({share:.2g}%). "
        f"Data: `{adapted.run.data.path}`; the scores are of its {result['test_rows']} test rows."
    )


def scores_table(result: dict[str, Any]) -> str:
    rows = [(f"**{result['strategy']}**", result["scores"]), *result["baselines"].items()]
    names = list(result["scores"])
    lines = [["", *names], ["---", *["---:"] * len(names)]]
    lines += [[name, *(f"{scores[score]:.4f}" for score in names)] for name, scores in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def drift_sentence(drift: dict[str, Any], result: dict[str, Any]) -> str:
    """What merging changed, in words."""
    before, after = (figure(drift[name], result["display_scale"]) for name in ("before", "after"))
    return (
        f"Merged into one model in {drift['dtype']}. On the {drift['rows']} test rows {100 * drift['same']:.1f}% of the "
        f"predictions are the same as before merging; {result['primary_score']} went from {before} to {after}."
    )


def how_to_load(adapted: Adapted, out: Path) -> str:
    """Lines of Python for plain peft or transformers; `THIS` stands for the folder or its id on the hub."""
    model = transformers_class(adapted.model)
    processor = processor_class(adapted.base)
    automatic = list(processor)
    if (out / ADAPTER_CONFIG).is_file():
        lines = [
            "from peft import PeftModel",
            f"from transformers import {', '.join(['AutoConfig', *automatic, model])}",
            "",
            'config = AutoConfig.from_pretrained("THIS")',
            f'base = {model}.from_pretrained("{adapted.base.source if on_hub(adapted) else "BASE"}", config=config)',
            'model = PeftModel.from_pretrained(base, "THIS")',
        ]
    elif (out / "config.json").is_file():
        lines = [
            f"from transformers import {', '.join([*automatic, model])}",
            "",
            f'model = {model}.from_pretrained("THIS")',
        ]
    else:
        return f"What was trained goes over `{adapted.base.source}`; its files say what they hold."
    lines += [f'{name} = {auto}.from_pretrained("THIS")' for auto, name in processor.items()]
    code = "```python\n" + "\n".join(lines) + "\n```"
    if '"BASE"' not in code:
        return code
    return f"{code}\n\n`BASE` is a folder with the base model `{adapted.base.source}`, which is on no hub by that name."


def processor_class(base: BaseInfo) -> dict[str, str]:
    """Return the Auto class that loads the base model's processor and a name for it; nothing where there is none."""
    if base.has_tokenizer:
        return {"AutoTokenizer": "tokenizer"}
    return {} if base.processor is None else {"AutoProcessor": "processor"}


def on_hub(adapted: Adapted) -> bool:
    """Whether the base model's name is one that the hub knows: no folder, file, package or merged run."""
    settings = adapted.run.model
    return settings.from_run is None and not Path(adapted.base.path).exists()


def transformers_class(model: nn.Module) -> str:
    """The name of the outermost class of transformers in a wrapped model."""
    from transformers import PreTrainedModel

    return next(type(part).__name__ for part in model.modules() if isinstance(part, PreTrainedModel))


def licence(adapted: Adapted) -> str:
    known = adapted.run.model.license
    told = f"The base model is under {known}" if known else "See the base model for its licence"
    return f"{told}; what was trained over it is a derived work of it. The data has a licence of its own."


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
    write_whole(out / CARD, model_card(adapted, out, result, drift))
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
        write_whole(config, json.dumps(known, indent=2) + "\n")
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
