"""Make the report of a ranking from the content of rank.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlplug.commands.rank.summary import tau
from tlplug.commands.rank.table import (
    DASH,
    order_columns,
    order_row,
    parameters_told,
    rank_told,
    score_told,
    value_of,
)
from tlplug.reports.blocks import Block, Cell, Code, Fact, Report, Section, Table, Text
from tlplug.reports.formatting import duration, figure, percent_of, unit

ORDER = (
    "Each model's features of the same training rows were scored by the metrics, without any training. For each metric the "
    "models have ranks, 1 for the best; they are ordered by their mean rank over the metrics that were measured for all."
)
COLUMNS = (
    "by size: the rank by the number of parameters, 1 for the largest. best layer: the one with the best value of the "
    "first metric that is measured layer by layer; 0 is what goes into the first block. Equal ones share the mean of "
    "their ranks."
)
AGREEMENT = (
    "Kendall's tau is 1 where each pair of models is in the right order, 0 by chance, -1 where each is in the wrong one. "
    "Regret at 1 is by how much the best score is better than that of the model that was ranked first."
)
UNTRIED = (
    "Not measured, no model was fine-tuned: `fine_tune_top=3` fine-tunes the first three and the smallest. "
    "A ranking by size alone is hard to beat."
)


def make_report(result: Mapping[str, Any]) -> Report:
    sections = (
        ("order", "Which base model?", order(result)),
        ("metrics", "What do the metrics say?", metrics(result)),
        ("excluded", "What was left out?", excluded(result)),
        ("verification", "How good is the ranking?", verification(result)),
        ("again", "How to adapt it", again(result)),
    )
    classes = f"{len(result['labels'])} classes"
    return Report(
        title=f"{result['task']}: base models ranked",
        about=f"head {result['head']}, {classes}; {result['rows']:,} training rows, drawn with seed {result['data_seed']}",
        verdict=[Text(result["summary"])],
        outcome="good" if result["top_model"] else "bad",
        glance=list(glance(result)),
        sections=[Section(name, title, found) for name, title, blocks in sections if (found := list(blocks))],
    )


def ranked(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [model for model in result["models"] if not model["error"]]


def tried(result: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    models: Sequence[Mapping[str, Any]] = (result["verification"] or {"models": []})["models"]
    return models


def glance(result: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the key figures: the models ranked first by metrics and by size, and the best fine-tuned one."""
    if not (models := ranked(result)):
        return
    first, largest = models[0], min(models, key=lambda model: float(model["size_rank"]))
    mean = "by size" if first["mean_rank"] is None else f"mean rank {first['mean_rank']:.1f}"
    yield Fact("ranked first", first["title"], f"{mean}, of {len(models)} models")
    yield Fact(
        "first by size alone", largest["title"], f"{parameters_told(largest['parameters'])} parameters"
    )
    if result["verification"] and (best := result["verification"]["best"]):
        score = score_told(by_name(tried(result))[best], result["display_scale"])
        yield Fact(
            "best when fine-tuned", by_name(models)[best]["title"], f"{result['primary_score']} {score}"
        )


def by_name(models: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {model["name"]: model for model in models}


def order(result: Mapping[str, Any]) -> Iterator[Block]:
    if models := ranked(result):
        yield Text(ORDER)
        rows = [[model["title"], *order_row(model, result)] for model in models]
        yield Table("The order", ["", *order_columns(result)], rows, marked=0)
        yield Text(COLUMNS, "note")


def metrics(result: Mapping[str, Any]) -> Iterator[Block]:
    """Yield a table of each metric's value for each model, with the best of each column shaded."""
    models = ranked(result)
    names = [name for name in result["metrics"] if any(value_of(model, name) for model in models)]
    if not names:
        return
    yield Text("Values are of the last layer. Compare them down a column, not across columns.")
    yield Text("The best of each column is shaded.", "shades")
    columns = [metric_column(name, result["metrics"][name]["higher_is_better"], models) for name in names]
    rows = [[model["title"], *cells] for model, *cells in zip(models, *columns, strict=True)]
    heads = [
        name if result["metrics"][name]["higher_is_better"] else f"{name} (lower is better)" for name in names
    ]
    yield Table("Metrics, of the last layer", ["", *heads], rows)


def metric_column(name: str, higher_is_better: bool, models: Sequence[Mapping[str, Any]]) -> list[str | Cell]:
    shown = [(value_of(model, name), model["metrics"][name].get("before")) for model in models]
    measured = [value for words, value in shown if words]
    best = max(measured) if higher_is_better else min(measured)
    return [DASH if not words else Cell(words, 0.6) if value == best else words for words, value in shown]


def excluded(result: Mapping[str, Any]) -> Iterator[Text]:
    """Yield the models that failed and the metrics that are not counted, each with the reason."""
    for model in result["models"]:
        if model["error"]:
            yield Text(f"{model['title']} failed: {model['error']}", "lack")
    for name, metric in result["metrics"].items():
        if metric["exclusion_reason"]:
            yield Text(f"{name} is not counted: {metric['exclusion_reason']}.", "lack")


def verification(result: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the scores of the fine-tuned models, and how well the ranking predicted them."""
    checked = result["verification"]
    if not checked:
        if ranked(result):
            yield Text(UNTRIED, "lack")
        return
    titles = {model["name"]: model["title"] for model in result["models"]}
    yield Text(
        f"Models were fine-tuned by `{checked['strategy']}` with seed {checked['seed']} and tested on the test rows."
    )
    yield verified_table(result, titles)
    for each in tried(result):
        if each["error"]:
            yield Text(f"{titles[each['name']]} failed: {each['error']}", "lack")
    if checked["size"]:
        yield agreement_table(result)
        yield from no_tau(checked)
        yield Text(AGREEMENT, "note")


def verified_table(result: Mapping[str, Any], titles: Mapping[str, str]) -> Table:
    models, best = by_name(result["models"]), result["verification"]["best"]
    rows = [
        [
            titles[each["name"]],
            rank_told(models[each["name"]]["rank"]),
            rank_told(models[each["name"]]["size_rank"]),
            score_told(each, result["display_scale"]),
            *spent(each["cost"]),
        ]
        for each in tried(result)
    ]
    names = [each["name"] for each in tried(result)]
    heads = [
        "",
        "rank",
        "by size",
        unit(result["primary_score"], result["display_scale"]),
        "trainable",
        "time",
    ]
    return Table("Fine-tuned models", heads, rows, marked=names.index(best) if best else None)


def spent(cost: Mapping[str, float] | None) -> tuple[str, str]:
    if not cost:
        return "", ""
    return percent_of(cost["trainable_parameters"], cost["total_parameters"]), duration(cost["seconds"])


def agreement_table(result: Mapping[str, Any]) -> Table:
    checked = result["verification"]
    judged = (("this ranking", checked["ranking"]), ("by size alone", checked["size"]))
    rows = [
        [
            name,
            tau(found),
            DASH if found["p_value"] is None else f"{found['p_value']:.2f}",
            figure(found["regret"], result["display_scale"]),
        ]
        for name, found in judged
        if found
    ]
    heads = [
        "",
        "Kendall's tau",
        "p",
        f"regret at 1, {unit(result['primary_score'], result['display_scale'])}",
    ]
    return Table("How well they foretold the scores", heads, rows)


def no_tau(checked: Mapping[str, Any]) -> Iterator[Text]:
    reasons = [found["tau_missing_reason"] for found in (checked["ranking"], checked["size"]) if found]
    for reason in dict.fromkeys(filter(None, reasons)):
        yield Text(f"No tau: {reason}.", "lack")


def again(result: Mapping[str, Any]) -> Iterator[Block]:
    if result["command"]:
        yield Code(result["command"])
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    yield Text(f"Versions: {versions}.", "note")
