"""How good `rank` is: base models made of MiniLM, all of them fine-tuned.

    python -m bench.rank           everything; writes bench/rank/rank.md
    python -m bench.rank rows=64   a try with fewer rows: shown, not kept

MiniLM as it is, its lowest 1 to 4 layers, MiniLM with Gaussian noise of 0.5, 1 and 2 standard deviations of each matrix,
with the weights of each matrix permuted, and two random models. They are ranked for SST-2 (../shared/data/sst2), each is
fine-tuned by LoRA, and the ranking is held against the test scores, and so is the ranking by size.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from bench.machine import machine
from bench.markdown import listed, table
from bench.settings import DATA, MINILM, ROOT
from bench.subprocess_call import empty_cache, measured

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PAGE = Path(__file__).resolve().parent / "rank.md"
ROWS, TEST_ROWS, EPOCHS = 600, 400, 6
SEED = 0
NOTE = (
    "What is verified has to be trained enough. With 2 epochs in place of 6, by which MiniLM had learnt the task (78.8) and "
    "nothing else had (all four truncations at 50.0, the spoilt models from 50.0 to 52.2), tau of the metrics was -0.22 and "
    "of size alone 0.62, with a regret of 28.8 and 22.9 points. Six epochs were settled on one truncation, once the figures "
    "with two had been seen and before those with six: it had 50.0 after two and 74.5 after six."
)
"""Of an earlier run of the same words with `trainer.max_epochs=2`."""
Results = dict[str, Any]
Change = Callable[["PreTrainedModel"], "PreTrainedModel"]


def main(words: Sequence[str]) -> int:
    """Returns the exit code: 2 where it cannot be measured."""
    rows = next((word.removeprefix("rows=") for word in words if word.startswith("rows=")), str(ROWS))
    if not rows.isdecimal() or len(words) > 1:
        print(f"bench: {' '.join(words)} is not known\n\n{__doc__}", file=sys.stderr)
        return 2
    if not (ROOT / DATA / "sst2").is_dir():
        print(f"bench: {DATA} has no sst2", file=sys.stderr)
        return 2
    at_start = machine()
    with TemporaryDirectory() as folder:
        models = build(Path(folder) / "models")
        found = ranked(models, Path(folder) / "run", int(rows))
    told = page(found, at_start)
    print(told)
    if int(rows) == ROWS:
        PAGE.write_text(told, encoding="utf-8")
    return 0


def variants() -> dict[str, Change]:
    """What is done to MiniLM, by the name of what comes out."""
    return {
        "minilm": lambda model: model,
        **{f"first-{n}-layers": lambda model, n=n: truncated(model, n) for n in (4, 3, 2, 1)},
        **{f"noise-{s:g}": lambda model, s=s: noised(model, s) for s in (0.5, 1.0, 2.0)},
        "permuted": permuted,
        "random": random,
        "random-small": lambda model: random(
            model, num_hidden_layers=2, num_attention_heads=4, hidden_size=128, intermediate_size=512
        ),
    }


def build(folder: Path) -> list[Path]:
    """A folder for each variant, as a user has a base model."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from tlplug.models.locate import locate
    from tlplug.runtime.console import quiet_libraries
    from tlplug.settings import ModelSettings

    source = locate(ModelSettings(source=MINILM))
    for name, change in variants().items():
        torch.manual_seed(SEED)
        with torch.no_grad(), quiet_libraries():
            change(AutoModel.from_pretrained(source, use_safetensors=True)).save_pretrained(folder / name)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder / name)
    return [folder / name for name in variants()]


def truncated(model: PreTrainedModel, layers: int) -> PreTrainedModel:
    model.encoder.layer = model.encoder.layer[:layers]
    model.config.num_hidden_layers = layers
    return model


def noised(model: PreTrainedModel, deviations: float) -> PreTrainedModel:
    import torch

    for weight in matrices(model):
        weight += deviations * weight.std() * torch.randn_like(weight)
    return model


def permuted(model: PreTrainedModel) -> PreTrainedModel:
    import torch

    for weight in matrices(model):
        weight.copy_(weight.flatten()[torch.randperm(weight.numel())].view_as(weight))
    return model


def random(model: PreTrainedModel, **sizes: int) -> PreTrainedModel:
    from transformers import AutoModel

    model.config.update(sizes)
    return AutoModel.from_config(model.config)


def matrices(model: PreTrainedModel) -> list[Any]:
    return [weight for weight in model.parameters() if weight.ndim == 2]


def ranked(models: Sequence[Path], place: Path, rows: int) -> Results:
    """rank.json, with the seconds of the process."""
    words = [
        *("tlplug", "rank", "+task=sentiment", f"models=[{','.join(map(str, models))}]", "fine_tune_top=all"),
        *(f"data.path={DATA}/sst2", "data.splits.validation=0.05", "data.splits.test=validation"),
        *(f"data.limit.train={rows}", f"data.limit.test={TEST_ROWS}", "data.limit.validation=20"),
        *(
            "data.batch_size=8",
            "data.max_length=64",
            f"trainer.max_epochs={EPOCHS}",
            "trainer.limit_val_batches=0",
        ),
        *("trainer.accelerator=cpu", f"seed={SEED}", f"run_dir={place}"),
    ]
    place.parent.mkdir(parents=True, exist_ok=True)
    return measured(
        words,
        lambda: json.loads((place / "rank.json").read_text(encoding="utf-8")),
        cache=empty_cache(place),
    )


def page(found: Results, at_start: Results) -> str:
    own, size = found["verification"]["ranking"], found["verification"]["size"]
    cost = sum(model["seconds"] for model in found["models"])
    trained = sum(each["cost"]["seconds"] for each in found["verification"]["models"])
    counted = [name for name, told in found["metrics"].items() if told["included"]]
    sizes = [model["parameters"] for model in found["models"]]
    largest = sizes.count(max(sizes))
    parts = [
        "# How good a ranking without training is",
        f"{len(found['models'])} base models made of MiniLM (`bench/rank/__main__.py` says how), ranked for SST-2 by "
        f"{found['rows']} training rows, then each fine-tuned by {found['verification']['strategy']} on these rows for "
        f"{EPOCHS} epochs with seed {found['verification']['seed']}, and tested on {TEST_ROWS} other rows. Rank 1 is the "
        "best; the scores and metrics are of that one seed.",
        f"`python -m bench.rank`, with {listed(at_start)}. Looking at all models and measuring took {cost:.0f} s, "
        f"fine-tuning them {trained:.0f} s.",
        table(
            ["ranked by", "Kendall's tau with the accuracy", "p", "regret at 1, points"],
            [agreement_cells("the metrics", own), agreement_cells("size alone", size)]
            + [agreement_cells(f"{name} alone", alone(name, found)) for name in counted],
        ),
        "Regret at 1 is by how much the best model's accuracy is above that of the model ranked first, or of the mean of "
        f"those that share the first place: {largest} of these models are of one size, the largest.",
        table(
            ["model", "rank", "mean rank", "rank by size", "parameters", *counted, "best layer", "accuracy"],
            [cells(model, counted, found) for model in found["models"]],
        ),
        NOTE,
        "How far to trust it: one base model's relatives, one task, one seed, and an accuracy over 400 rows has a standard "
        "error of about 2 points, so that the order of the models at the bottom is chance. Spoilt models are easier to "
        "tell from sound ones than two good models from each other.",
    ]
    return "\n\n".join(parts) + "\n"


def alone(name: str, found: Results) -> Results:
    """How well one metric by itself tells the scores."""
    from tlplug.commands.rank.consensus import agreement

    scores = {each["name"]: each["score"] for each in found["verification"]["models"]}
    models = found["models"]
    return agreement([model["ranks"][name] for model in models], [scores[model["name"]] for model in models])


def agreement_cells(name: str, found: Results) -> list[str]:
    if found["tau"] is None:
        return [name, found["tau_missing_reason"], "", f"{100 * found['regret']:.1f}"]
    return [name, f"{found['tau']:.2f}", f"{found['p_value']:.3f}", f"{100 * found['regret']:.1f}"]


def cells(model: Results, counted: Sequence[str], found: Results) -> list[str]:
    scores = {each["name"]: each["score"] for each in found["verification"]["models"]}
    best = model["best_layer"]
    return [
        model["title"],
        f"{model['rank']:g}",
        f"{model['mean_rank']:.1f}",
        f"{model['size_rank']:g}",
        f"{model['parameters'] / 1e6:.1f}M",
        *(f"{model['metrics'][name]['before']:.3f}" for name in counted),
        f"{best['layer']} of {model['layers']}",
        f"{100 * scores[model['name']]:.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
