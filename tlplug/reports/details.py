"""What else was inherited, which base model to take, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tlplug.reports.blocks import Block, Cell, Code, Section, Table, Text
from tlplug.reports.formatting import percent_of
from tlplug.reports.metric_facts import Described, blocks, facts_of, layers_of, metrics_in, named, written
from tlplug.reports.run_data import Material, lack


def inherited(run: Material) -> Section:
    return Section("inherited", "What else was inherited?", list(blocks(run, "inherited", ask=True)))


def base(run: Material) -> Section | None:
    """Ranking metrics and distances; None where none was asked for."""
    found = [*_ranking(run), *_distances(run)]
    return Section("base", "Does the base model suit the task?", found) if found else None


def _ranking(run: Material) -> Iterator[Block]:
    asked = [name for name in metrics_in(run, "ranking") if name in run.result["metrics"]]
    measured = {name: facts for name in asked if any(map(is_shown, facts := facts_of(run, name)))}
    if measured:
        yield Text(
            "These scores guess, without training, how useful a layer's features are for the task: higher is better. "
            "Compare them down a column, or with the same score of another base model; not across columns."
        )
        yield ranking_table(run, measured)
    yield from (lack(run, name, name) for name in asked if name not in measured)


def is_shown(fact: Described) -> bool:
    return "value" in fact or bool(fact.get("layers"))


def ranking_table(run: Material, measured: Mapping[str, list[Described]]) -> Table:
    """Return a column for each metric: its single values by their names, then each layer, the best one marked."""
    rows: list[list[str | Cell]] = []
    for name in dict.fromkeys(f["name"] for facts in measured.values() for f in facts if "value" in f):
        known = ({fact["name"]: fact for fact in facts if "value" in fact} for facts in measured.values())
        own = [each.get(name) for each in known]
        rows.append([name, *("—" if fact is None else written(run, fact, fact["value"]) for fact in own)])
    layered = [next((f for f in facts if f.get("layers")), {}) for facts in measured.values()]
    numbers = {layer for fact in layered for layer in layers_of(fact)}
    for layer in sorted(numbers, reverse=True):
        rows.append([named(layer), *(marked(run, fact, layer) for fact in layered)])
    return Table("Ranking metrics", ["", *measured], rows)


def marked(run: Material, fact: Described, layer: int) -> str | Cell:
    found = layers_of(fact)
    if layer not in found:
        return "—"
    best, words = found[layer] == max(found.values()), written(run, fact, found[layer])
    return Cell(f"{words} best" if best else words, 0.6 if best else 0.0)


def _distances(run: Material) -> Iterator[Block]:
    if any(run.is_measured(name) for name in metrics_in(run, "distances")):
        yield Text(
            "How far the task's texts are from source texts, and from the target's, to the eye of the last layer."
        )
    yield from blocks(run, "distances")


def others(run: Material) -> Section | None:
    """Return the section of metrics that belong to no other section."""
    found = list(blocks(run, "others"))
    return Section("others", "Further metrics", found) if found else None


def cost(run: Material) -> Section:
    records = {**run.result["baseline_cost"], run.strategy: run.result["cost"]}
    energy = any((record or {}).get("energy_joules") is not None for record in records.values())
    tokens = any("tokens_per_second" in (record or {}) for record in records.values())
    more = [*(["tokens/s"] if tokens else []), *(["energy, J"] if energy else [])]
    heads = ["", "weights trained", "share", "seconds", "MB", *more]
    rows = [[name, *spent(record, tokens, energy)] for name, record in records.items()]
    found: list[Block] = [
        Table("Cost", heads, rows, marked=len(rows) - 1),
        Text(
            "Seconds are those of training alone. MB is the most memory at any time while training. A training that was "
            "kept from an earlier run shows what it cost then.",
            "note",
        ),
    ]
    found += blocks(run, "cost")
    if not energy:
        found.append(Text("Energy: not measured, no meter of this machine could be read.", "lack"))
    return Section("cost", "What did it cost?", found)


def spent(record: Mapping[str, float] | None, tokens: bool, energy: bool) -> list[str]:
    optional = [*(["tokens_per_second"] if tokens else []), *(["energy_joules"] if energy else [])]
    if record is None:
        return ["no training", *[""] * (3 + len(optional))]
    more = [record.get(name) for name in optional]
    return [
        f"{record['trainable_parameters']:,.0f}",
        percent_of(record["trainable_parameters"], record["total_parameters"]),
        f"{record['seconds']:,.1f}",
        f"{record['peak_memory_mb']:,.0f}",
        *("—" if value is None else f"{value:,.0f}" for value in more),
    ]


def again(run: Material) -> Section:
    """Return the section with the command line and what it takes to reproduce the run."""
    result = run.result
    command = result.get("command")
    found: list[Block] = [
        Code(
            command
            or f"python -m tlplug +strategy={run.strategy} +task={result['task']} seed={result['seed']}"
        )
    ]
    if not command:
        found.append(Text("What else was set is in config.yaml in the run's folder.", "note"))
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
        "again", "How to do it again", [*found, Table("What it was done with", ["what", "value"], rows)]
    )


def as_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {as_words(each)}" for name, each in value.items())
    return "none" if value is None else str(value)
