"""Write the sections of a comparison, for HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tlplug.commands.report import charts
from tlplug.commands.report.result import FORGETTING
from tlplug.commands.report.summary import BY, p_value
from tlplug.commands.report.table import costs, plus_minus
from tlplug.reports.blocks import Block, Cell, Chart, Section, Table, Text
from tlplug.reports.formatting import ends, figure, interval, listed, signed, unit

HOW = (
    "A score's 95% interval is about other seeds and other test rows of the same kind; of a single seed it is about other "
    "test rows alone. A gain is a mean of paired differences, by seed and test row where seeds are shared, so two "
    "intervals of scores may overlap where their difference is beyond noise: go by the pairs."
)
TESTED = (
    "p is corrected for the number of pairs by Holm's method (1979); two strategies are told apart where it is below 0.05. "
    "With three shared seeds or more it is the larger of the p of a paired t test over seeds and of a permutation test over "
    "test rows, so that a difference counts only where neither other seeds nor other rows could undo it; with fewer seeds "
    "it is that over test rows alone. The interval is that of one pair, not corrected. Not told apart is no proof of being "
    "equal: with few seeds only large differences can be told."
)
OPTIMAL = (
    "Pareto-optimal (filled dots, *): no other has as good a mean score at a lower cost, or a better one at the same cost. "
    "It goes by means alone, noise left aside."
)


def sections(gathered: Mapping[str, Any]) -> list[Section]:
    """Return the sections: all tasks, each task, and the runs with their folders and those left out."""
    tasks = gathered["tasks"]
    found = [Section("tasks", "All tasks", [matrix(tasks)])] if len(tasks) > 1 else []
    for number, task in enumerate(tasks):
        found += of_task(task, number, f"{task['task']}: " if len(tasks) > 1 else "")
    return [*found, again(gathered)]


def matrix(tasks: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of strategies by tasks, with the best of each task shaded."""
    scores = {task["task"]: {each["name"]: each["score"] for each in task["strategies"]} for task in tasks}
    names = list(dict.fromkeys(name for found in scores.values() for name in found))

    def cell(name: str, task: Mapping[str, Any]) -> str | Cell:
        score = scores[task["task"]].get(name)
        words = "" if score is None else plus_minus(score, task["display_scale"])
        return Cell(words, 0.6) if name == task["best"] else words

    heads = ["", *(f"{task['task']} ({unit_of(task)})" for task in tasks)]
    rows = [[name, *(cell(name, task) for task in tasks)] for name in names]
    return Table("Mean scores, ± half of a 95% interval; shaded: the best", heads, rows)


def unit_of(task: Mapping[str, Any]) -> str:
    return unit(task["primary_score"], task["display_scale"])


def of_task(task: Mapping[str, Any], number: int, before: str) -> Iterator[Section]:
    for name, title, blocks in (
        ("scores", "Which strategy is best?", scores(task)),
        ("costs", "What does it cost?", cost(task)),
        ("harm", "Did it do harm?", harm(task)),
        ("forgetting", "What was forgotten?", metrics(task, forgetting=True)),
        ("metrics", "What else was measured?", metrics(task, forgetting=False)),
    ):
        if written := list(blocks):
            yield Section(f"{name}-{number}", before + title, written)


def scores(task: Mapping[str, Any]) -> Iterator[Block]:
    scale, better = task["display_scale"], "higher" if task["higher_is_better"] else "lower"
    seeds = ", ".join(map(str, task["seeds"]))
    yield Text(
        f"{task['primary_score']} on {task['test_rows']:,} test rows, seeds {seeds}; {better} is better."
    )
    rows = [
        [
            each["name"],
            ", ".join(map(str, each["seeds"])),
            figure(each["score"]["mean"], scale),
            ends(each["score"], scale),
        ]
        for each in task["strategies"]
    ]
    named = f"{unit_of(task)}: " + "; ".join(f"{row[0]} {row[2]} ({row[3]})" for row in rows)
    own = [each["name"] for each in task["strategies"]].index(task["lightest"])
    data = Table("Scores", ["", "seeds", unit_of(task), "95% interval"], rows, own)
    yield Chart(partial(charts.scores, named, task, unit_of(task)), named, data, unfolded=True)
    for key, values in task["differing_settings"].items():
        yield Text(f"`{key}` is not the same for all: {', '.join(values)}.")
    if task["pairs"]:
        yield pairs(task)
        yield Text(TESTED, "note")
    yield Text(HOW, "note")


def pairs(task: Mapping[str, Any]) -> Table:
    """Return the table of pairs: the better strategy, its gain and the significance."""
    rows, paired = [], []
    for pair in task["pairs"]:
        gain, shared = pair["gain"], len(pair["seeds"])
        paired.append(f"{shared} seeds" if shared > 1 else "one seed" if shared else "no shared seed")
        shown = [
            signed(gain["mean"], task["display_scale"]),
            interval(gain["low"], gain["high"], task["display_scale"]),
        ]
        told = "yes" if pair["significant"] else "no"
        rows.append([f"{pair['first']} over {pair['second']}", *shown, p_value(pair["p_value_holm"]), told])
    heads = ["", "gain", "95% interval", "p (Holm)", "told apart"]
    return with_or_above("Pairs, by test row", heads, rows, "seeds", paired)


def with_or_above(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], name: str, values: Sequence[str]
) -> Table:
    """Return a table with a further column `name`, or with its value in the title if it is the same in all rows."""
    if len(set(values)) == 1:
        return Table(f"{title}, {values[0]}", heads, rows)
    return Table(title, [*heads, name], [[*row, value] for row, value in zip(rows, values, strict=True)])


def cost(task: Mapping[str, Any]) -> Iterator[Block]:
    """Yield a chart with its data for each cost, or a note if the cost is not measured."""
    for name, words in BY.items():
        known = [each for each in task["strategies"] if each[name] is not None]
        if not known:
            yield Text(f"Score against {words}: not measured, no run recorded it.", "lack")
            continue
        best = listed([each["name"] for each in known if each["pareto"][name]])
        told = f"{task['primary_score']} against {words}; Pareto-optimal: {best}"
        axis = "share of weights trained, %" if name == "trainable_share" else "seconds of a training"
        place = list(BY).index(name)
        rows = [
            [each["name"], figure(each["score"]["mean"], task["display_scale"]), costs(each)[place]]
            for each in known
        ]
        data = Table(f"Score and {words}; * is Pareto-optimal", ["", unit_of(task), words], rows)
        yield Chart(partial(charts.against, told, task, name, axis, unit_of(task)), told, data)
    yield Text(OPTIMAL, "note")


def harm(task: Mapping[str, Any]) -> Iterator[Block]:
    """Yield the comparison with training from scratch by each run's own baseline."""
    found = {each["name"]: each["against_scratch"] for each in task["strategies"]}
    if all("not_measured" in each for each in found.values()):
        yield Text(
            f"Against training from scratch: not measured, {next(iter(found.values()))['not_measured']}.",
            "lack",
        )
        return
    known = {name: each for name, each in found.items() if "not_measured" not in each}
    rows = [
        [
            name,
            signed(each["error_difference"], task["display_scale"]),
            interval(each["low"], each["high"], task["display_scale"]),
            each["label"],
        ]
        for name, each in known.items()
    ]
    how = [
        f"t over {each['seeds']} seeds" if each["seeds"] > 1 else "over test rows" for each in known.values()
    ]
    heads = ["", "less that of scratch", "95% interval", "transfer"]
    yield with_or_above("Error against training from scratch", heads, rows, "interval", how)
    yield from lacks(found)
    yield Text(
        "Below zero the base model's knowledge helped; above zero it did harm (negative transfer). The runs' own baseline "
        "from random weights is compared, by seed: with several seeds by a paired t interval over them, on these test "
        "rows; with one seed by a paired bootstrap over test rows, which says nothing of other seeds.",
        "note",
    )


def lacks(found: Mapping[str, Mapping[str, Any]]) -> Iterator[Text]:
    """Yield a line for each reason why values are not measured."""
    reasons: dict[str, list[str]] = {}
    for name, each in found.items():
        if "not_measured" in each:
            reasons.setdefault(each["not_measured"], []).append(name)
    for reason, names in reasons.items():
        yield Text(f"Not measured of {listed(names)}: {reason.removesuffix('.')}.", "lack")


def metrics(task: Mapping[str, Any], forgetting: bool) -> Iterator[Block]:
    """Yield the metrics of forgetting, or all others: a table for each, or the reason why it is not measured."""
    for metric, each in task["metrics"].items():
        if (each["section"] == FORGETTING) is forgetting:
            values = {strategy["name"]: strategy["metrics"][metric] for strategy in task["strategies"]}
            yield from metric_table(metric, each["columns"], values)


def metric_table(
    metric: str, columns: Mapping[str, str], values: Mapping[str, Mapping[str, Any]]
) -> Iterator[Block]:
    """Yield the table of one metric, without the columns in which no strategy has a value."""
    measured = [key for key in columns if any("not_measured" not in each[key] for each in values.values())]
    if not measured:
        lacking = (each[key] for each in values.values() for key in columns) if columns else values.values()
        reasons = dict.fromkeys(each["not_measured"] for each in lacking)
        yield Text(f"{metric}: not measured, {'; '.join(reasons)}.", "lack")
        return
    rows = [[name, *(mean(each[key]) for key in measured)] for name, each in values.items()]
    heads = ["", *(columns[key] for key in measured)]
    yield Table(f"{metric}, mean over seeds (95% interval)", heads, rows)
    yield from lacks({name: each[measured[0]] for name, each in values.items()})


def mean(found: Mapping[str, Any]) -> str:
    if "not_measured" in found:
        return "not measured"
    between = "" if found["low"] is None else f" ({found['low']:.3f} to {found['high']:.3f})"
    return f"{found['mean']:.3f}{between}"


def again(gathered: Mapping[str, Any]) -> Section:
    """Return the section with the folder of each run, which has all that reproduces it, and the folders left out."""
    rows = [
        [
            each["name"],
            task["task"],
            str(run["seed"]),
            figure(run["score"], task["display_scale"]),
            run["folder"],
        ]
        for task in gathered["tasks"]
        for each in task["strategies"]
        for run in each["runs"]
    ]
    told = (
        "Every run's settings are in `config.yaml`, its figures and versions in `result.json`, in its folder."
    )
    blocks: list[Block] = [Text(told), Table("Runs", ["", "task", "seed", "score", "folder"], rows)]
    if others := [[each["folder"], each["reason"]] for each in gathered["excluded"]]:
        blocks.append(Table("Left out", ["folder", "why"], others))
    return Section("again", "How to do it again", blocks)
