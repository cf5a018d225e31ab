"""Make the report of a comparison from the content of compare.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tlplug.commands.compare.table import columns, row, scored, skipped_note, tuned
from tlplug.reports.blocks import Block, Chart, Code, Fact, Report, Section, Table, Text
from tlplug.reports.charts import MARK, TAKEN, Mark, draw_marks, drawn, marks_height
from tlplug.reports.formatting import duration, ends, figure, interval, percent_of, signed, unit

TRAINED = "Every strategy was trained with the same seeds on the same rows in the same order, and tested on the same rows."
DECIDED = (
    "The strategy named is the first one, from the least invasive on, that the best is not better than beyond noise. "
    "That is no proof that the two are equal: with more test rows or seeds a smaller difference could be told."
)
TARGET = (
    "The strategy named is the first one, from the least invasive on, whose mean score reaches the target (the dashed "
    "line), or where none does, the first one that the best is not better than beyond noise."
)
INTERVALS = (
    "\u00b1 is half of a 95% interval, about other seeds and other rows of the same kind. Differences are of pairs, so two "
    "intervals of scores may overlap where the difference between them is beyond noise: go by the gains."
)
COLUMNS = (
    "gain: over the row above, positive where it is an improvement. trainable: the share of the weights that are trained. "
    "MB: the most memory in any training. time: the mean of one training."
)


def make_report(result: Mapping[str, Any]) -> Report:
    seeds = ", ".join(map(str, result["seeds"]))
    return Report(
        title=f"{result['task']}: strategies compared",
        about=f"base model {result['base_model']}, head {result['head']}; {result['test_rows']:,} test rows; seeds {seeds}",
        verdict=[Text(result["summary"]), *([Code(result["command"])] if result["command"] else [])],
        outcome="good" if result["lightest"] else "bad",
        glance=list(glance(result)),
        sections=[
            Section("scores", "Which strategy is enough?", list(scores(result))),
            *(Section(name, title, blocks) for name, title, blocks in further(result) if blocks),
            Section("decision", "How was this decided?", list(decision(result))),
        ],
    )


def trained(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in result["strategies"] if not each["error"]]


def glance(result: Mapping[str, Any]) -> Iterator[Fact]:
    """Yield the key figures: the recommended and the best strategy, and the training time."""
    by_name, scale = {each["name"]: each for each in trained(result)}, result["display_scale"]
    for title, name in (("lightest that is enough", result["lightest"]), ("best", result["best"])):
        if each := by_name.get(name):
            score = f"{result['primary_score']} {figure(each['score']['mean'], scale)}"
            share = percent_of(each["trainable_parameters"], each["total_parameters"])
            yield Fact(title, name, f"{score}; trains {share}, {duration(each['seconds'])}")
    runs = [run for each in trained(result) for run in each["runs"]]
    if runs:
        spent = sum((run["cost"] or {}).get("seconds", 0.0) for run in runs)
        yield Fact("time", duration(spent), f"for the {len(runs)} trainings of the table")


def scores(result: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the scores of all strategies, and which of them failed or were not run."""
    scale, better = result["display_scale"], "higher" if result["higher_is_better"] else "lower"
    yield Text(f"The score is {unit(result['primary_score'], scale)} on the test rows; {better} is better.")
    if result["lightest"]:
        shown = "; ".join(f"{each['name']} {spread(each['score'], scale)}" for each in rows_of(result))
        told = f"{result['primary_score']} of each strategy with its 95% interval: {shown}"
        yield Chart(partial(draw_scores, told, result), told, table(result), unfolded=True)
    else:
        yield table(result)
    for each in result["strategies"]:
        if each["error"]:
            yield Text(f"{each['name']} failed: {each['error']}", "lack")
    if result["skipped"]:
        yield Text(skipped_note(result))
    yield Text(COLUMNS, "note")


def rows_of(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the trivial baseline and the trained strategies."""
    return [{"name": "trivial", **result["trivial"]}, *trained(result)]


def spread(score: Mapping[str, float], scale: int) -> str:
    return f"{figure(score['mean'], scale)} ({ends(score, scale)})"


def table(result: Mapping[str, Any]) -> Table:
    heads = ["", *columns(result)]
    rows = [["trivial", scored(result["trivial"], result["display_scale"])]]
    rows += [
        [each["name"], *(["failed"] if each["error"] else row(each, result))] for each in result["strategies"]
    ]
    rows += [[name, "not run"] for name in result["skipped"]]
    filled = [[*cells, *[""] * (len(heads) - len(cells))] for cells in rows]
    names = [cells[0] for cells in rows]
    own = names.index(result["lightest"], 1) if result["lightest"] else None
    return Table("Scores, gains and costs", heads, filled, marked=own)


def draw_scores(told: str, result: Mapping[str, Any]) -> Any:
    """Draw each strategy's mean and interval, a small mark for each seed, and a line at the target."""
    scale, primary, target = result["display_scale"], result["primary_score"], result["target_score"]
    marks = [mark("trivial", result["trivial"]["score"], result)]
    for each in trained(result):
        seeds = [scale * run["scores"][primary] for run in each["runs"]]
        marks.append(mark(each["name"], each["score"], result, seeds))
    with drawn("scores", told, marks_height(marks)) as (axes, written):
        draw_marks(axes, marks, unit(primary, scale), reference=None if target is None else scale * target)
    return written[0]


def mark(
    name: str, found: Mapping[str, float], result: Mapping[str, Any], seeds: Sequence[float] = ()
) -> Mark:
    mean, low, high = (result["display_scale"] * found[end] for end in ("mean", "low", "high"))
    return Mark(name, mean, low, high, TAKEN if name == result["lightest"] else MARK, seeds)


def further(result: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Block]]]:
    yield "gaps", "How far are the others from the best?", list(gaps(result))
    yield "rates", "Which learning rates were tried?", list(rates(result))


def gaps(result: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the differences between the best strategy and the others."""
    scale, below = result["display_scale"], [each for each in trained(result) if each["gap_to_best"]]
    if not below:
        return
    rows = [
        [
            each["name"],
            signed(each["gap_to_best"]["mean"], scale),
            interval(each["gap_to_best"]["low"], each["gap_to_best"]["high"], scale),
        ]
        for each in below
    ]
    shown = "; ".join(f"than {name} by {mean} ({between})" for name, mean, between in rows)
    told = f"{result['best']}, the best, is better {shown}"
    label = f"difference in {unit(result['primary_score'], scale)}"
    data = Table(f"By how much {result['best']} is better", ["", "difference", "95% interval"], rows)
    yield Chart(partial(draw_gaps, told, below, label, result), told, data)
    yield Text("An interval that holds zero (a hollow dot) means that no difference could be shown.", "note")


def draw_gaps(told: str, below: list[Mapping[str, Any]], label: str, result: Mapping[str, Any]) -> Any:
    marks = [mark(each["name"], each["gap_to_best"], result) for each in below]
    with drawn("gaps", told, marks_height(marks)) as (axes, written):
        draw_marks(axes, marks, label, signs=True, reference=0)
    return written[0]


def rates(result: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the validation score of each learning rate; nothing unless the rate was tuned."""
    if not tuned(result):
        return
    rows = [
        [
            each["name"],
            f"{tried['learning_rate']:g}",
            figure(tried["validation"], result["display_scale"]),
            "taken" if tried["learning_rate"] == each["learning_rate"] else "",
        ]
        for each in trained(result)
        for tried in each["learning_rates"]
    ]
    heads = ["", "learning rate", f"validation {result['primary_score']}", ""]
    yield Table("Mean validation score of each learning rate", heads, rows)


def decision(result: Mapping[str, Any]) -> Iterator[Block]:
    yield Text(TRAINED)
    yield Text(DECIDED if result["target_score"] is None else TARGET)
    yield Text(INTERVALS)
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    yield Text(f"Versions: {versions}.", "note")
