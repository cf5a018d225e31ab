"""What was forgotten, and where the model changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tlplug.reports.blocks import Block, Cell, Chart, Section, Table, Text
from tlplug.reports.charts import SVG, heat
from tlplug.reports.run_data import Material, known, lack, number, percent, plus, points_of, three

DRIFT = {
    "relative_change": "weights moved",
    "effective_rank": "effective rank",
    "stable_rank": "stable rank",
    "intruder_dimensions": "intruder dimensions",
}


def forgotten(run: Material) -> Section:
    return Section("forgotten", "What was forgotten?", list(_forgotten(run)))


def _forgotten(run: Material) -> Iterator[Block]:
    yield Text(
        "Source data are of the kind that the base model knew before (`transfer.source_domain`). What it does on them "
        "before and after the run tells what the run overwrote."
    )
    yield from known(run, "retention", retention(run))
    yield from known(run, "source_nll", SOURCE_NLL)


def retention(run: Material) -> list[tuple[str, str, Any, str]]:
    lost = "below" if run.sign > 0 else "above"
    return [
        (
            "source_score/before",
            "Source score, before",
            run.score,
            f"{run.unit} on labelled source rows, base model",
        ),
        ("source_score/after", "Source score, after", run.score, "of the adapted model on the same rows"),
        (
            "source_score/change",
            "Change of the source score",
            run.points,
            f"backward transfer: {lost} zero is forgetting",
        ),
        (
            *("probe/before", "Source classes readable, before", percent),
            "accuracy of a simple classifier on what the last layer makes of source rows",
        ),
        ("probe/after", "Source classes readable, after", percent, "the same of the adapted model"),
        (
            "probe/change",
            "Change of that",
            points_of,
            "below zero: the last layer tells less of the source than it did",
        ),
    ]


SOURCE_NLL = [
    ("before", "Surprise at source text, before", three, "mean of -log p(token) in nats: lower is better"),
    ("after", "Surprise at source text, after", three, "the same of the adapted model"),
    ("change", "Change of surprise", plus, "above zero is forgetting; with its 95% interval over texts"),
    ("perplexity_ratio", "Perplexity, after to before", number, "1 is unchanged, above 1 is forgetting"),
]


def layers(run: Material) -> Section:
    return Section("layers", "Where did the model change?", list(_layers(run)))


def _layers(run: Material) -> Iterator[Block]:
    cka, drift = run.layers("cka"), {key: run.layers("weight_drift", f"layer/{{}}/{key}") for key in DRIFT}
    moved = drift["relative_change"]
    if cka or moved:
        yield Text(
            "A model is a stack of layers: 0 is what goes in (the embeddings), the highest number is the last one. "
            "CKA says how alike a layer's picture of the same texts is before and after: 1 is the same, 0 unrelated. "
            "Weights moved is the size of the change relative to the weights."
        )
        yield Text("The darker a cell, the more has changed.", "shades")
        numbers = sorted({*cka, *moved})
        told = finding(cka, moved)
        yield Chart(partial(picture, numbers, cka, moved, told), told, table(numbers, cka, drift))
    if not cka:
        yield lack(run, "cka", "CKA")
    if not moved:
        yield lack(run, "weight_drift", "Weight drift")
    for metric, entries in ("cka", CKA), ("weight_drift", WHOLE):
        if run.values(metric):
            yield from known(run, metric, entries)


CKA = [("mean", "CKA, mean over layers", three, "1: nothing that matters to it has changed")]
WHOLE = [
    (
        "relative_change",
        "Weights moved",
        percent,
        "size of the change relative to the weights, all matrices together",
    ),
    ("effective_rank", "Effective rank of the change", number, "how many directions it uses, by entropy"),
    (
        "stable_rank",
        "Stable rank of the change",
        number,
        "the same, by energy: few directions is a narrow change",
    ),
    (
        *("intruder_dimensions", "Intruder dimensions", number),
        "strong new directions that the base model did not have, mean over matrices; many go with forgetting",
    ),
]


def finding(cka: Mapping[int, float], moved: Mapping[int, float]) -> str:
    parts = []
    if cka:
        least = min(cka, key=lambda layer: cka[layer])
        parts.append(f"CKA before to after is lowest, {cka[least]:.3f}, in layer {least}")
    if moved:
        most = max(moved, key=lambda layer: moved[layer])
        parts.append(f"weights moved most, {percent(moved[most])}, in layer {most}")
    return f"Change by layer: {'; '.join(parts)}"


def picture(
    numbers: Sequence[int], cka: Mapping[int, float], moved: Mapping[int, float], told: str, kind: str = SVG
) -> Any:
    columns: dict[str, list[tuple[str, float] | None]] = {}
    if cka:
        # An unbiased estimate may lie a little outside of 0 to 1.
        columns["CKA"] = [
            (three(cka[n]), min(max(1 - cka[n], 0.0), 1.0)) if n in cka else None for n in numbers
        ]
    if moved:
        most = max(moved.values()) or 1.0
        columns["weights moved"] = [
            (percent(moved[n]), moved[n] / most) if n in moved else None for n in numbers
        ]
    return heat(told, [named(n) for n in numbers], columns, kind)


def named(layer: int) -> str:
    return "embeddings" if layer == 0 else f"layer {layer}"


def table(
    numbers: Sequence[int], cka: Mapping[int, float], drift: Mapping[str, Mapping[int, float]]
) -> Table:
    there = {name: values for name, values in drift.items() if values}
    heads = ["", *(["CKA"] if cka else []), *(DRIFT[name] for name in there)]
    rows: list[list[str | Cell]] = []
    for layer in reversed(numbers):
        cells = [three(cka[layer]) if layer in cka else "—"] if cka else []
        for name, values in there.items():
            write = percent if name == "relative_change" else number
            cells.append(write(values[layer]) if layer in values else "—")
        rows.append([named(layer), *cells])
    return Table("Change by layer", heads, rows)
