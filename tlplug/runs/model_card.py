"""Write the model card of an export: the hub's metadata, scores, verdict, how to load it and the licence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.data.readers.sources import is_hub_id
from tlplug.interfaces import BaseInfo
from tlplug.reports.formatting import figure
from tlplug.runs.load import ADAPTER_CONFIG
from tlplug.runs.predict import Adapted
from tlplug.settings import DataSettings, DomainSettings

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData
    from torch import nn

MODEL_CONFIG = "config.json"


def model_card(adapted: Adapted, out: Path, result: dict[str, Any], drift: dict[str, Any]) -> str:
    """Return the Markdown of the card, with the hub's metadata at its top."""
    from huggingface_hub import ModelCard

    parts = [f"# {title(adapted)}", about(adapted, result)]
    parts += ["## Scores", scores_table(result), result["verdict"]["text"]]
    if drift:
        parts += ["## Merged", drift_sentence(drift, result)]
    parts += ["## How to load it", how_to_load(adapted, out), "## Licence", licence(adapted)]
    return str(ModelCard("\n\n".join([f"---\n{metadata(adapted, out, result)}\n---", *parts]) + "\n"))


def title(adapted: Adapted) -> str:
    run = adapted.run
    return f"{run.task}: {run.strategy_name} on {adapted.base.source}"


def metadata(adapted: Adapted, out: Path, result: dict[str, Any]) -> ModelCardData:
    """Return the metadata for the hub: only known values, and only names that exist on the hub."""
    from huggingface_hub import ModelCardData

    run, adapter = adapted.run, (out / ADAPTER_CONFIG).is_file()
    library = "peft" if adapter else "transformers" if (out / MODEL_CONFIG).is_file() else None
    random_weights = run.strategy.load_options(adapted.head).random_weights
    base = adapted.base.source if on_hub(adapted) and not random_weights else None
    task = adapted.head.pipeline_tag(adapted.base)
    return ModelCardData(
        library_name=library,
        tags=["tlplug", "transfer-learning", run.strategy_name],
        pipeline_tag=task,
        license=run.model.license and run.model.license.lower(),
        base_model=base,
        base_model_relation=base and ("adapter" if adapter else "finetune"),
        datasets=[run.data.path] if is_hub_id(run.data.path) else None,
        model_name=task and title(adapted),
        eval_results=eval_results(task, run.data, result["scores"]) if task else None,
    )


def eval_results(task: str, data: DataSettings, scores: dict[str, float]) -> list[EvalResult]:
    """Return an entry of the hub's `model-index` for each score on the test rows."""
    from huggingface_hub import EvalResult

    tested: DataSettings | DomainSettings = data.target_domain if data.target_domain.path else data
    path = str(tested.path)
    known = is_hub_id(path)
    split = tested.test if isinstance(tested, DomainSettings) else tested.splits.test
    return [
        EvalResult(
            task_type=task,
            # Data that is not on the hub still needs a name in the form of the hub.
            dataset_type=path if known else re.sub(r"[^\w-]+", "-", Path(path).stem).strip("-") or "files",
            dataset_name=path if known else Path(path).name,
            dataset_config=tested.subset,
            dataset_split=split if known and isinstance(split, str) else "test",
            dataset_revision=tested.revision,
            metric_type=name,
            metric_value=value,
        )
        for name, value in scores.items()
    ]


def about(adapted: Adapted, result: dict[str, Any]) -> str:
    cost, domain = result["cost"], adapted.run.data.target_domain.path
    share = 100 * cost["trainable_parameters"] / cost["total_parameters"]
    return (
        f"The base model `{adapted.base.source}`, adapted by the strategy `{adapted.run.strategy_name}` to the task "
        f"`{adapted.run.task}` (head `{adapted.run.head_name}`), seed {result['seed']}. "
        f"{cost['trainable_parameters']:,} of {cost['total_parameters']:,} weights were trained ({share:.2g}%). "
        f"Data: `{adapted.run.data.path}`; the scores are of the {result['test_rows']} test rows of "
        f"{f'`{domain}`' if domain else 'it'}."
    )


def scores_table(result: dict[str, Any]) -> str:
    rows = [(f"**{result['strategy']}**", result["scores"]), *result["baselines"].items()]
    names = list(result["scores"])
    lines = [["", *names], ["---", *["---:"] * len(names)]]
    lines += [[name, *(f"{scores[score]:.4f}" for score in names)] for name, scores in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def drift_sentence(drift: dict[str, Any], result: dict[str, Any]) -> str:
    """Return a sentence on how merging changed the predictions and the primary score."""
    before, after = (figure(drift[name], result["display_scale"]) for name in ("before", "after"))
    return (
        f"Merged into one model in {drift['dtype']}. On the {drift['rows']} test rows {100 * drift['same']:.1f}% of the "
        f"predictions are the same as before merging; {result['primary_score']} went from {before} to {after}."
    )


def how_to_load(adapted: Adapted, out: Path) -> str:
    """Return the Python for plain peft or transformers; `THIS` stands for the folder or its id on the hub."""
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
    elif (out / MODEL_CONFIG).is_file():
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
    """Return the Auto class that loads the base model's processor and a name for it; empty where there is none."""
    if base.has_tokenizer:
        return {"AutoTokenizer": "tokenizer"}
    return {} if base.processor is None else {"AutoProcessor": "processor"}


def on_hub(adapted: Adapted) -> bool:
    """Return whether the hub knows the base model by its name: it is no folder, file, package or merged run."""
    settings = adapted.run.model
    return settings.from_run is None and not Path(adapted.base.path).exists()


def transformers_class(model: nn.Module) -> str:
    """Return the name of the outermost class of transformers in a wrapped model."""
    from transformers import PreTrainedModel

    return next(type(part).__name__ for part in model.modules() if isinstance(part, PreTrainedModel))


def licence(adapted: Adapted) -> str:
    known = adapted.run.model.license
    of_base = f"The base model is under {known}" if known else "See the base model for its licence"
    return f"{of_base}; what was trained over it is a derived work of it. The data has a licence of its own."
