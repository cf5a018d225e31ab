"""Make the report of several runs from the content of comparison.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tlplug.commands.report.sections import sections
from tlplug.commands.report.table import MARK, costs
from tlplug.reports.blocks import Fact, Report, Text
from tlplug.reports.formatting import figure


def make_report(gathered: Mapping[str, Any]) -> Report:
    tasks = gathered["tasks"]
    first, *others = verdicts(gathered)
    return Report(
        title=f"{tasks[0]['task'] if len(tasks) == 1 else f'{len(tasks)} tasks'}: runs compared",
        verdict=[Text(first), *(Text(line, "advice") for line in others)],
        glance=glance(gathered),
        sections=sections(gathered),
    )


def verdicts(gathered: Mapping[str, Any]) -> list[str]:
    """Return the verdict; for several tasks an overall line, then the verdict of each."""
    tasks = [task["summary"] for task in gathered["tasks"]]
    if len(tasks) == 1:
        return tasks
    return [gathered["summary"].removesuffix(" " + " ".join(tasks)), *tasks]


def glance(gathered: Mapping[str, Any]) -> list[Fact]:
    """Return the key figures: the number of runs, and the tasks or the best and the lightest strategy."""
    tasks = gathered["tasks"]
    runs = sum(len(each["runs"]) for task in tasks for each in task["strategies"])
    facts = [
        Fact(
            "runs",
            str(runs),
            f"{len(gathered['excluded'])} left out" if gathered["excluded"] else "none left out",
        )
    ]
    if len(tasks) > 1:
        return [*facts, Fact("tasks", str(len(tasks)), ", ".join(task["task"] for task in tasks))]
    task = tasks[0]
    by_name = {each["name"]: each for each in task["strategies"]}
    for title, name in (("best", task["best"]), ("lightest not told from it", task["lightest"])):
        score = figure(by_name[name]["score"]["mean"], task["display_scale"])
        share, seconds = (word.removeprefix(MARK) for word in costs(by_name[name]))
        facts.append(Fact(title, name, f"{task['primary_score']} {score}; trains {share}, {seconds} s"))
    return facts
