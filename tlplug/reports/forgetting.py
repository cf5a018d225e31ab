"""What was forgotten, and where the model changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from tlplug.reports.blocks import Block, Chart, Section, Text
from tlplug.reports.charts import SVG, heat
from tlplug.reports.metric_facts import (
    Described,
    blocks,
    facts_of,
    layer_table,
    layers_of,
    metrics_in,
    named,
    values,
    written,
)
from tlplug.reports.run_data import Material, lack


def forgotten(run: Material) -> Section:
    return Section("forgotten", "What was forgotten?", list(_forgotten(run)))


def _forgotten(run: Material) -> Iterator[Block]:
    yield Text(
        "Source data are of the kind that the base model knew before (`transfer.source_domain`). What it does on them "
        "before and after the run tells what the run overwrote."
    )
    yield from blocks(run, "forgotten", ask=True)


def layers(run: Material) -> Section:
    return Section("layers", "Where did the model change?", list(_layers(run)))


def _layers(run: Material) -> Iterator[Block]:
    metrics = metrics_in(run, "layers")
    layered = [fact for metric in metrics for fact in facts_of(run, metric) if fact.get("layers")]
    shaded = [fact for fact in layered if fact.get("shades")]
    if shaded:
        yield Text(
            "A model is a stack of layers: 0 is what goes in (the embeddings), the highest number is the last one. "
            + " ".join(fact["meaning"] for fact in shaded if fact.get("meaning"))
        )
        yield Text("The darker a cell, the more has changed.", "shades")
        told = f"Change by layer: {'; '.join(fact['finding'] for fact in shaded if fact.get('finding'))}"
        data = layer_table(run, "Change by layer", {fact["name"]: fact for fact in layered})
        yield Chart(partial(picture, run, shaded, told), told, data)
    for metric in metrics:
        facts = facts_of(run, metric)
        if not any(fact.get("layers") for fact in facts):
            yield lack(run, metric, metric)
        if any("value" in fact for fact in facts):
            yield from values(run, metric)


def picture(run: Material, facts: Sequence[Described], told: str, kind: str = SVG) -> Any:
    """Draw a column for each fact, each layer as dark as the fact says."""
    found = {fact["name"]: layers_of(fact) for fact in facts}
    numbers = sorted({layer for own in found.values() for layer in own})
    columns: dict[str, list[tuple[str, float] | None]] = {
        fact["name"]: [cell(run, fact, found[fact["name"]], layer) for layer in numbers] for fact in facts
    }
    return heat(told, [named(layer) for layer in numbers], columns, kind)


def cell(run: Material, fact: Described, own: dict[int, float], layer: int) -> tuple[str, float] | None:
    if layer not in own:
        return None
    return written(run, fact, own[layer]), float(fact["shades"].get(str(layer), 0.0))
