"""Did it transfer? The score against the baselines, and how it was learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tlplug.reports.blocks import Block, Chart, Section, Table, Text
from tlplug.reports.charts import curves, gains
from tlplug.reports.formatting import figure, interval, signed
from tlplug.reports.metric_facts import blocks
from tlplug.reports.run_data import RUN, Material


def scores(run: Material) -> Section:
    return Section("scores", "Did it transfer?", list(_scores(run)))


def _scores(run: Material) -> Iterator[Block]:
    result = run.result
    better = "higher" if run.sign > 0 else "lower"
    times = f" Figures are {run.primary} times {run.scale}." if run.scale != 1 else ""
    yield Text(
        f"The score is {run.primary} on the {result['test_rows']:,} test rows; {better} is better.{times} A baseline is "
        "what the run is compared with: it answers the same test rows, so differences are taken row by row."
    )
    yield from descriptions(run)
    compared = [(name, *gain(run, found)) for name, found in result["comparisons"].items()]
    if not compared:
        yield Text("Gain: not measured, no baseline was run (`transfer.baselines` is empty).", "lack")
        yield table(run)
        return
    told = f"Gain in {run.unit}: " + "; ".join(
        f"{signed(g, 1)} over {name} (95% interval {interval(low, high, 1)})"
        for name, g, low, high in compared
    )
    yield Chart(partial(gains, told, compared, run.unit), told, table(run), unfolded=True)
    yield Text(
        "A gain is an improvement. If other test rows of the same kind were drawn, it would fall inside the 95% interval "
        "in about 95 of 100 draws; an interval that holds zero (a hollow dot) means that no difference could be shown.",
        "note",
    )
    yield from blocks(run, "scores")


def gain(run: Material, found: Mapping[str, float]) -> tuple[float, float, float]:
    """Return a comparison as a gain times the scale: value, low, high."""
    low, high = sorted(run.sign * run.scale * found[end] for end in ("low", "high"))
    return run.sign * run.scale * found["difference"], low, high


def table(run: Material) -> Table:
    result = run.result
    rows = []
    for name, found in result["baselines"].items():
        value, low, high = gain(run, result["comparisons"][name])
        shown = figure(found[run.primary], run.scale)
        rows.append([name, shown, signed(value, 1), interval(low, high, 1)])
    rows.append([run.strategy, figure(result["scores"][run.primary], run.scale), "", ""])
    heads = ["", run.unit, "gain of the run", "95% interval"]
    return Table("Scores and gains", heads, rows, marked=len(rows) - 1)


def other_scores(run: Material) -> Table | None:
    """Return the table of all scores but the primary one, in their own units."""
    names = [name for name in run.result["scores"] if name != run.primary]
    if not names:
        return None
    all_scores = {**run.result["baselines"], run.strategy: run.result["scores"]}
    rows = [[who, *(cell(found.get(name)) for name in names)] for who, found in all_scores.items()]
    return Table("Further scores", ["", *names], rows, marked=len(rows) - 1)


def cell(score: float | None) -> str:
    return "not measured" if score is None else f"{score:,.3f}"


def descriptions(run: Material) -> Iterator[Text]:
    """Yield what each baseline is."""
    sentences = run.result["baseline_descriptions"]
    described = [f"`{name}`: {sentences[name]}" for name in run.result["baselines"] if sentences.get(name)]
    if described:
        yield Text(" ".join(described))


def curve(run: Material) -> Section:
    return Section("curve", "How fast was it learnt?", list(_curve(run)))


def lines(run: Material) -> dict[str, list[list[float]]]:
    """Return the learning curves, the run's first, then that of training from scratch; scores times the scale."""
    found: dict[str, Any] = dict(run.result.get("curve") or recorded(run.evidence))
    order = sorted(found, key=lambda name: (name != RUN, name != run.scratch))
    return {
        run.strategy if name == RUN else name: [[seen, run.scale * score] for seen, score in found[name]]
        for name in order
        if len(found[name])
    }


def recorded(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the learning curves from the evidence."""
    prefix = "curve/baseline/"
    found = {RUN: evidence["curve/after"]} if "curve/after" in evidence else {}
    return found | {n.removeprefix(prefix): v for n, v in evidence.items() if n.startswith(prefix)}


def _curve(run: Material) -> Iterator[Block]:
    found = lines(run)
    if not found:
        reason = run.evidence.get("reasons", {}).get("curve/after", "no score was recorded while training")
        yield Text(f"Learning curve: not measured, {reason}.", "lack")
    else:
        yield Text(
            f"The {run.primary} on the validation rows after so many training examples; rows count again in each epoch. A "
            "model that already knows something useful starts ahead of scratch, or gets there sooner."
        )
        data = curve_table(run, found)
        if max(map(len, found.values())) > 1:
            yield Chart(
                partial(curves, told(run, found), found, run.unit, run.strategy), told(run, found), data
            )
        else:
            yield Text("There was one validation only, so there is no line to draw.", "note")
            yield data
    yield from blocks(run, "curve", ask=True)


def told(run: Material, found: Mapping[str, Sequence[Sequence[float]]]) -> str:
    ends = (
        f"{name} from {figure(points[0][1], 1)} to {figure(points[-1][1], 1)}"
        for name, points in found.items()
    )
    return f"Validation {run.unit} by training examples seen: {'; '.join(ends)}"


def curve_table(run: Material, found: Mapping[str, Sequence[Sequence[float]]]) -> Table:
    at = {name: {point[0]: point[1] for point in points} for name, points in found.items()}
    counts = sorted({seen for points in at.values() for seen in points})
    rows = [
        [f"{seen:,.0f}", *(figure(points[seen], 1) if seen in points else "—" for points in at.values())]
        for seen in counts
    ]
    return Table("Learning curve", ["examples seen", *at], rows)
