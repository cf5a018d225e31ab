"""A run told from its verdict to how it is done again."""

from __future__ import annotations

from collections.abc import Iterator

from tlplug.reports import details as choice
from tlplug.reports import forgetting as changed
from tlplug.reports import predictions as answers
from tlplug.reports import scores as gained
from tlplug.reports.blocks import Block, Chart, Code, Fact, Report, Section, Text
from tlplug.reports.charts import PNG
from tlplug.reports.formatting import figure, interval, percent_of, signed
from tlplug.reports.metric_facts import headlines
from tlplug.reports.run_data import Material

OUTCOMES = {"positive": "good", "negative": "bad"}


def make_report(run: Material) -> Report:
    """Return the report of a run: what it says is what was recorded, and where something is missing it says why."""
    verdict = run.result["verdict"]
    return Report(
        title=f"{run.result['task']}: {run.strategy}",
        about=about(run),
        verdict=[Text(verdict["text"]), *advice(run)],
        outcome=OUTCOMES.get(verdict["label"], "open"),
        glance=glance(run),
        sections=sections(run),
    )


def about(run: Material) -> str:
    result = run.result
    told = f"base model {result['base_model']}, head {result['head']}"
    return f"{told}; {result['test_rows']:,} test rows; seed {result['seed']}"


def advice(run: Material) -> Iterator[Block]:
    """Yield what follows from the result, each with the command that does it, if there is one."""
    for each in run.result["advice"]:
        yield Text(each["text"], "advice")
        if each["command"]:
            yield Code(each["command"])


def glance(run: Material) -> list[Fact]:
    """Return the key figures."""
    result, cost = run.result, run.result["cost"]
    facts = [Fact(run.unit, figure(result["scores"][run.primary], run.scale), "score of the run")]
    baseline = result["verdict"]["baseline"]
    if baseline is not None:
        value, low, high = gained.gain(run, result["comparisons"][baseline])
        facts.append(Fact(f"gain over {baseline}", signed(value, 1), f"{interval(low, high, 1)}"))
    if cost["total_parameters"]:
        share = percent_of(cost["trainable_parameters"], cost["total_parameters"])
        facts.append(Fact("weights trained", share, f"in {cost['seconds']:,.0f} seconds"))
    return [*facts, *headlines(run)]


def sections(run: Material) -> list[Section]:
    """Return all sections of the report, in order."""
    scores = gained.scores(run)
    further = gained.other_scores(run)
    found = [
        Section(scores.name, scores.title, [*scores.blocks, *([further] if further else [])]),
        gained.curve(run),
        changed.forgotten(run),
        changed.layers(run),
        answers.labels(run),
        answers.examples(run),
        choice.inherited(run),
        choice.base(run),
        choice.others(run),
        choice.cost(run),
        choice.again(run),
    ]
    return [section for section in found if section is not None]


def pictures(run: Material) -> dict[str, bytes]:
    """Return every chart as a PNG, by the name of its section."""
    return {
        section.name: block.draw(kind=PNG)
        for section in sections(run)
        for block in section.blocks
        if isinstance(block, Chart)
    }
