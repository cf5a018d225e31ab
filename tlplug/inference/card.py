"""The model card of an export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tlplug.inference.adapted import Adapted
from tlplug.inference.saved import ADAPTER_CONFIG
from tlplug.reports.formatting import figure

if TYPE_CHECKING:
    from torch import nn


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
    before, after = (figure(drift[name], result["scale"]) for name in ("before", "after"))
    return (
        f"Merged into one model in {drift['dtype']}. On the {drift['rows']} test rows {100 * drift['same']:.1f}% of the "
        f"predictions are the same as before merging; {result['primary']} went from {before} to {after}."
    )


def how_to_load(adapted: Adapted, out: Path) -> str:
    """Lines of Python for plain peft or transformers; `THIS` stands for the folder or its id on the hub."""
    model = transformers_class(adapted.model)
    if (out / ADAPTER_CONFIG).is_file():
        lines = [
            "from peft import PeftModel",
            f"from transformers import AutoConfig, AutoTokenizer, {model}",
            "",
            'config = AutoConfig.from_pretrained("THIS")',
            f'base = {model}.from_pretrained("{adapted.base.source if on_hub(adapted) else "BASE"}", config=config)',
            'model = PeftModel.from_pretrained(base, "THIS")',
        ]
    elif (out / "config.json").is_file():
        lines = [
            f"from transformers import AutoTokenizer, {model}",
            "",
            f'model = {model}.from_pretrained("THIS")',
        ]
    else:
        return f"What was trained goes over `{adapted.base.source}`; its files say what they hold."
    lines.append('tokenizer = AutoTokenizer.from_pretrained("THIS")')
    code = "```python\n" + "\n".join(lines) + "\n```"
    if '"BASE"' not in code:
        return code
    return f"{code}\n\n`BASE` is a folder with the base model `{adapted.base.source}`, which is on no hub by that name."


def on_hub(adapted: Adapted) -> bool:
    """Whether the base model's name is one that the hub knows: no folder, file, package or merged run."""
    settings = adapted.run.model
    return settings.adapter is None and not Path(adapted.base.path).exists()


def transformers_class(model: nn.Module) -> str:
    """The name of the outermost class of transformers in a wrapped model."""
    from transformers import PreTrainedModel

    return next(type(part).__name__ for part in model.modules() if isinstance(part, PreTrainedModel))


def licence(adapted: Adapted) -> str:
    known = adapted.run.model.license
    told = f"The base model is under {known}" if known else "See the base model for its licence"
    return f"{told}; what was trained over it is a derived work of it. The data has a licence of its own."
