"""Write what metrics say of themselves: the facts that a run keeps of each, by the part of the report they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tlplug.reports.blocks import Block, Cell, Fact, Facts, Table
from tlplug.reports.run_data import Material, lack, number, percent, plus, points_of, three

Described = Mapping[str, Any]
"""One fact as result.json has it: `name`, `value`, `meaning`, `form`, `interval`, `not_measured`, `layers`, `shades`,
`finding`, `headline`; what is not set is left out."""

FORMS: Mapping[str, Callable[[float], str]] = {
    "number": number,
    "decimal": three,
    "signed": plus,
    "percent": percent,
    "points": points_of,
}


def metrics_in(run: Material, section: str) -> list[str]:
    """Return the metrics of a part of the report, those that were not asked for among them."""
    others = (name for name in run.result["metrics"] if name not in run.described)
    own = (name for name, each in run.described.items() if each["section"] == section)
    return sorted([*own, *(others if section == "others" else ())])


def facts_of(run: Material, metric: str) -> list[Described]:
    """Return the facts of a metric that was measured; where the run keeps none, each value by its key."""
    if not run.is_measured(metric):
        return []
    if metric in run.described:
        return list(run.described[metric]["facts"])
    found = run.result["metrics"].get(metric) or {}
    return [
        {"name": key, "not_measured": value["not_measured"]}
        if isinstance(value, Mapping)
        else {"name": key, "value": value}
        for key, value in found.items()
        if isinstance(value, Mapping | int | float)
    ]


def written(run: Material, fact: Described, value: float) -> str:
    """Return a value of the fact in the fact's form."""
    form = fact.get("form", "number")
    if form == "score":
        return run.score(value)
    return run.points(value) if form == "gain" else FORMS.get(form, number)(value)


def blocks(run: Material, section: str, ask: bool = False) -> Iterator[Block]:
    """Yield the facts of a part's metrics.

    Args:
        ask: name the metrics that were not asked for too, and how to ask.
    """
    for metric in metrics_in(run, section):
        if ask or metric in run.result["metrics"]:
            yield from values(run, metric, f"{metric}, " if section == "others" else "")


def values(run: Material, metric: str, before: str = "") -> Iterator[Block]:
    """Yield a metric's values, or why there are none; what it says by layer, in a table.

    Args:
        before: stands before each name.
    """
    found = facts_of(run, metric)
    if not run.is_measured(metric):
        yield lack(run, metric, metric)
        return
    single = [fact for fact in found if not fact.get("layers")]
    if single:
        yield Facts([*measured(run, single, before), *lacking(single, before)])
    if before and (layered := [fact for fact in found if fact.get("layers")]):
        yield layer_table(run, f"{metric} by layer", {fact["name"]: fact for fact in layered})


def measured(run: Material, facts: list[Described], before: str) -> Iterator[Fact]:
    for fact in facts:
        if "value" in fact:
            ends = [written(run, fact, end) for end in fact.get("interval") or ()]
            between = f" ({' to '.join(ends)})" if ends else ""
            shown = written(run, fact, fact["value"]) + between
            yield Fact(before + fact["name"], shown, fact.get("meaning", ""))


def lacking(facts: list[Described], before: str) -> Iterator[Fact]:
    """Yield one fact for each reason, with the names of all that it keeps from being measured."""
    reasons: dict[str, list[str]] = {}
    for fact in facts:
        if "value" not in fact:
            reasons.setdefault(fact.get("not_measured", "no value"), []).append(before + fact["name"])
    for why, names in reasons.items():
        yield Fact("; ".join(names), "not measured", why, lack=True)


def layers_of(fact: Described) -> dict[int, float]:
    """Return the fact's values by layer, from the lowest."""
    return dict(sorted((int(layer), value) for layer, value in fact.get("layers", {}).items()))


def layer_table(run: Material, title: str, columns: Mapping[str, Described]) -> Table:
    """Return a table of one row for each layer, the top one first."""
    found = {name: layers_of(fact) for name, fact in columns.items()}
    rows: list[list[str | Cell]] = [
        [
            named(layer),
            *(
                written(run, columns[name], own[layer]) if layer in own else "—"
                for name, own in found.items()
            ),
        ]
        for layer in sorted({layer for own in found.values() for layer in own}, reverse=True)
    ]
    return Table(title, ["", *columns], rows)


def named(layer: int) -> str:
    return "embeddings" if layer == 0 else f"layer {layer}"


def headlines(run: Material) -> Iterator[Fact]:
    """Yield what metrics have to say among the figures to know first."""
    for metric in sorted(run.result["metrics"]):
        for fact in facts_of(run, metric):
            if fact.get("headline") and "value" in fact:
                words = "; ".join(filter(None, (fact["name"], fact.get("meaning"))))
                yield Fact(fact["headline"], written(run, fact, fact["value"]), words)
