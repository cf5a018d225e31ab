"""What else was inherited, which base model to take, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlplug.reports.blocks import Block, Cell, Code, Fact, Facts, Section, Table, Text
from tlplug.reports.forgetting import named
from tlplug.reports.formatting import percent_of
from tlplug.reports.run_data import Material, known, lack, number, percent, points_of, three

RANKING = ("h_score", "logme", "leep", "nce", "knn", "transrate")
DISTANCES = {
    "proxy_a_distance": "how well a classifier tells the two apart: 0 not at all, 2 always",
    "mmd": "distance of their distributions: near 0, which may be a little below it, is alike",
    "coral_distance": "how differently their features vary together: 0 is the same",
}
TOLD = {
    *(
        "transfer_gain",
        "learning_curve",
        "negative_transfer",
        "retention",
        "source_nll",
        "cka",
        "weight_drift",
    ),
    *("calibration", "counterfactual_gap", "cost", *RANKING, *DISTANCES),
}
"""Metrics that have their place; others are shown as they are."""


def inherited(run: Material) -> Section:
    blocks = [*known(run, "calibration", calibration(run)), *known(run, "counterfactual_gap", COUNTERFACTUAL)]
    return Section("inherited", "What else was inherited?", blocks)


def calibration(run: Material) -> list[tuple[str, str, Any, str]]:
    against = [
        (
            f"change/{name}",
            f"Calibration error, change to {name}",
            points_of,
            "below zero: the run is more honest",
        )
        for name in run.result["baselines"]
    ]
    said = "by how much the model's sureness misses how often it is right; 0% is honest"
    return [
        ("error", "Calibration error", percent, said),
        ("change", "Change to the base model", points_of, "below zero: more honest than before"),
        *against,
    ]


COUNTERFACTUAL = [
    ("flip_rate", "Answers that flip", percent, "when words such as he and she are swapped in a text"),
    ("flip_rate/before", "Answers that flip, before", percent, "the same of the base model"),
    ("gap", "Shift of probabilities", three, "by such a swap: 0 none, 1 all of it"),
    ("gap/before", "Shift of probabilities, before", three, "the same of the base model"),
    (
        "feature_gap/before",
        "Shift of features, before",
        three,
        "1 - cosine of what the last layer makes of both texts",
    ),
    ("feature_gap/after", "Shift of features, after", three, "the same of the adapted model"),
    ("pairs", "Texts", number, "that had a word to swap. No flip in them is no proof that there is no bias"),
]


def base(run: Material) -> Section | None:
    """Ranking metrics and distances; None where none was asked for."""
    asked = [name for name in (*RANKING, *DISTANCES) if name in run.result["metrics"]]
    if not asked:
        return None
    return Section("base", "Does the base model suit the task?", list(_base(run, asked)))


def _base(run: Material, asked: list[str]) -> Iterator[Block]:
    ranking = [name for name in asked if name in RANKING]
    measured = [name for name in ranking if run.values(name)]
    if measured:
        yield Text(
            "These scores guess, without training, how useful a layer's features are for the task: higher is better. "
            "Compare them down a column, or with the same score of another base model; not across columns."
        )
        yield by_layer(run, measured)
    yield from (lack(run, name, name) for name in ranking if name not in measured)
    distances = [name for name in asked if name in DISTANCES]
    if any(run.values(name) for name in distances):
        yield Text(
            "How far the task's texts are from source texts, and from the target's, to the eye of the last layer."
        )
    for name in distances:
        if run.values(name):
            yield Facts(list(distance(run, name)))
        else:
            yield lack(run, name, name)


def by_layer(run: Material, measured: list[str]) -> Table:
    """The mean and each layer, before the run; the best layer of each column is marked."""
    by = {name: run.layers(name, "before/layer/{}") for name in measured}
    rows: list[list[str | Cell]] = []
    last = [] if any(by.values()) else [("before", "last layer")]
    for key, told in ("before/mean", "mean over layers"), *last, ("after", "last layer, after the run"):
        found = {name: run.values(name).get(key) for name in measured}
        if any(value is not None for value in found.values()):
            rows.append([told, *("—" if value is None else three(value) for value in found.values())])
    for layer in sorted({layer for values in by.values() for layer in values}, reverse=True):
        rows.append([named(layer), *(marked(values, layer) for values in by.values())])
    return Table("Ranking metrics", ["", *measured], rows)


def marked(values: Mapping[int, float], layer: int) -> str | Cell:
    if layer not in values:
        return "—"
    best = values[layer] == max(values.values())
    return Cell(f"{three(values[layer])} best" if best else three(values[layer]), 0.6 if best else 0.0)


def distance(run: Material, name: str) -> Iterator[Fact]:
    found = run.result["metrics"][name]
    for key in ("source", "source/after", "target", "target/after"):
        if key not in found:
            continue
        title = f"{name}, {key.replace('/', ', ')}"
        if key in run.values(name):
            yield Fact(title, three(run.values(name)[key]), DISTANCES[name])
        else:
            yield Fact(title, "not measured", run.why_not(name, key), lack=True)


def others(run: Material) -> Section | None:
    """What metrics of other plugins say, by their own names."""
    blocks: list[Block] = []
    for metric in run.result["metrics"]:
        if metric in TOLD:
            continue
        found = {
            k: v
            for k, v in run.result["metrics"][metric].items()
            if k != "not_measured" or isinstance(v, float)
        }
        if found:
            blocks += known(run, metric, [(key, f"{metric}, {key}", number, "") for key in found])
        else:
            blocks.append(lack(run, metric, metric))
    return Section("others", "Further metrics", blocks) if blocks else None


def cost(run: Material) -> Section:
    records = {**run.result["baseline_cost"], run.strategy: run.result["cost"]}
    energy = any((record or {}).get("energy_joules") is not None for record in records.values())
    heads = ["", "weights trained", "share", "seconds", "MB", "tokens/s", *(["energy, J"] if energy else [])]
    rows = [[name, *spent(record, energy)] for name, record in records.items()]
    blocks: list[Block] = [
        Table("Cost", heads, rows, marked=len(rows) - 1),
        Text(
            "Seconds are those of training alone. MB is the most memory at any time while training. A training that was "
            "kept from an earlier run shows what it cost then.",
            "note",
        ),
    ]
    if not energy:
        blocks.append(Text("Energy: not measured, no meter of this machine could be read.", "lack"))
    return Section("cost", "What did it cost?", blocks)


def spent(record: Mapping[str, float] | None, energy: bool) -> list[str]:
    if record is None:
        return ["no training", *[""] * (5 if energy else 4)]
    cells = [
        f"{record['trainable_parameters']:,.0f}",
        percent_of(record["trainable_parameters"], record["total_parameters"]),
        f"{record['seconds']:,.1f}",
        f"{record['peak_memory_mb']:,.0f}",
        f"{record['tokens_per_second']:,.0f}",
    ]
    joules = record.get("energy_joules")
    return cells + ([("—" if joules is None else f"{joules:,.0f}")] if energy else [])


def again(run: Material) -> Section:
    """The command line, and what has to be the same."""
    result = run.result
    command = result.get("command")
    blocks: list[Block] = [
        Code(
            command
            or f"python -m tlplug +strategy={run.strategy} +task={result['task']} seed={result['seed']}"
        )
    ]
    if not command:
        blocks.append(Text("What else was set is in config.yaml in the run's folder.", "note"))
    plugins = ", ".join(
        f"{p['kind']} {p['name']} ({p['distribution']} {p['version']})" for p in result["plugins"]
    )
    rows = [
        ["base model", result["base_model"]],
        ["head", result["head"]],
        ["seed", str(result["seed"])],
        *([name, as_words(result[name])] for name in ("data", "data_hashes") if result.get(name)),
        ["settings of the strategy", as_words(result["strategy_config"]) or "none"],
        ["versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())],
        ["plugins", plugins],
    ]
    return Section(
        "again", "How to do it again", [*blocks, Table("What it was done with", ["what", "value"], rows)]
    )


def as_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_words(each)}" for name, each in value.items())
    return "none" if value is None else str(value)
