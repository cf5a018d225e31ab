"""Summarize a comparison in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tlplug.evaluation.significance import ENOUGH_SEEDS
from tlplug.evaluation.verdict import points
from tlplug.reports.formatting import ends, figure, interval, listed, percent_of

BY = {"trainable_share": "share of weights trained", "seconds": "seconds"}


def overall(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return the summary of the task; for several tasks, how often each strategy is best, and all summaries."""
    if len(tasks) == 1:
        return str(tasks[0]["summary"])
    best = Counter(task["best"] for task in tasks).most_common()
    led = ", ".join(f"{name} on {count}" for name, count in best)
    return " ".join(
        [f"Best by mean score on {len(tasks)} tasks: {led}.", *(told["summary"] for told in tasks)]
    )


def sentence(task: Mapping[str, Any]) -> str:
    """Return the summary of a task: the best strategy, the lightest not significantly worse, and the Pareto front."""
    by_name = {each["name"]: each for each in task["strategies"]}
    best = by_name[task["best"]]
    if len(by_name) == 1:
        return f"{task['task']}: only {best['name']} was run, with {scored(best, task)}; nothing to compare it with."
    beyond = all(pair["significant"] for pair in task["pairs"] if pair["first"] == task["best"])
    leads = "is best" if beyond else "has the best mean"
    first = f"{task['task']}: {best['name']} {leads}, {scored(best, task)}."
    return " ".join([first, light(task, by_name), *few_seeds(task), fronts(task)])


def few_seeds(task: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence if pairs share too few seeds for p-values that include the variation between seeds."""
    fewest = min(len(pair["seeds"]) for pair in task["pairs"])
    if fewest < ENOUGH_SEEDS:
        some = (
            "Some pairs share"
            if fewest < max(len(pair["seeds"]) for pair in task["pairs"])
            else "Pairs share"
        )
        shared = f"{fewest or 'no'} seed{'' if fewest == 1 else 's'}"
        yield f"{some} {shared} only, so that how much seeds differ is not in their p."


def scored(found: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    score, scale = found["score"], task["display_scale"]
    return f"{task['primary_score']} {figure(score['mean'], scale)} (95% interval {ends(score, scale)})"


def light(task: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence on the lightest strategy that is not significantly worse than the best."""
    found = by_name[task["lightest"]]
    if task["lightest"] == task["best"]:
        tied = any(not pair["significant"] for pair in task["pairs"] if pair["first"] == task["best"])
        return (
            "It is also the lightest of those not told from it."
            if tied
            else "Every other is worse beyond noise."
        )
    pair = next(p for p in task["pairs"] if (p["first"], p["second"]) == (task["best"], task["lightest"]))
    gain, scale = pair["gain"], task["display_scale"]
    return (
        f"{task['lightest']} is the lightest that is not told from it: {moves(found)}, and the best is "
        f"{points(gain['mean'], scale)} better ({interval(gain['low'], gain['high'], scale)}; "
        f"p {p_value(pair['p_value_holm'])})."
    )


def moves(found: Mapping[str, Any]) -> str:
    if found["trainable_share"] is None:
        return "its share of trained weights is not known"
    return f"{percent_of(found['trainable_parameters'], found['total_parameters'])} of the weights trained"


def fronts(task: Mapping[str, Any]) -> str:
    """Return a sentence on the Pareto-optimal strategies by each cost, with one list if all costs give the same."""
    named = {
        words: [each["name"] for each in task["strategies"] if each["pareto"][cost]]
        for cost, words in BY.items()
    }
    named = {words: names for words, names in named.items() if names}
    if not named:
        return "What is Pareto-optimal is not known: no run recorded its cost."
    lists = [listed(names) for names in named.values()]
    if len(set(lists)) == 1:
        return f"Pareto-optimal by {' and by '.join(named)}: {lists[0]}."
    return f"Pareto-optimal by {'; by '.join(f'{words}: {listed(names)}' for words, names in named.items())}."


def p_value(value: float) -> str:
    """Return a p-value as text: `0.032`, `0.40`, `< 0.001`."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
