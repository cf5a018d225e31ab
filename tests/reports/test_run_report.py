"""The report of a run: what it says is what was measured, and nothing of what it shows can break out of its place."""

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from copy import deepcopy
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from sklearn.metrics import confusion_matrix, recall_score

from tests.cli.runs import CLOSED, SCHEMA
from tests.reports.sample_run_data import (
    HOSTILE,
    METRICS,
    RUNS,
    alone,
    classification,
    described,
    hostile,
    many_labels,
    nothing_measured,
    perplexity,
    regression,
    told,
)
from tlplug.evaluation.bootstrap import compare_paired
from tlplug.evaluation.verdict import judge
from tlplug.interfaces import Outcome
from tlplug.interfaces.registry import describe_plugins
from tlplug.reports import html
from tlplug.reports import markdown as plain
from tlplug.reports import predictions as answers
from tlplug.reports import run_report as story
from tlplug.reports.blocks import (
    Cell,
    Chart,
    Code,
    Example,
    Examples,
    Fact,
    Facts,
    Report,
    Section,
    Table,
    Text,
)
from tlplug.reports.charts import curves, gains, heat
from tlplug.reports.run_data import Material, number
from tlplug.runs.result import make_result

VOID = {"meta", "link", "br", "wbr"}
SECTIONS = "scores curve forgotten layers labels examples inherited base others cost again".split()


class Parsed(HTMLParser):
    """Elements with their attributes, the text, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if "style" not in self.open else ""


def page(result, evidence, rows):
    return html.page(story.make_report(Material(told(result), evidence, rows)))


def markdown(result, evidence, rows):
    return plain.markdown(story.make_report(Material(told(result), evidence, rows)))


def sections(run):
    result, *others = run
    return {section.name: list(section.blocks) for section in story.sections(Material(told(result), *others))}


def of(blocks, kind):
    return [block for block in blocks if isinstance(block, kind)]


def facts(blocks):
    return {fact.name: fact for block in of(blocks, Facts) for fact in block.facts}


def words(cell):
    return cell if isinstance(cell, str) else cell.words


# The document


@pytest.fixture(scope="module")
def pages():
    return {name: page(*maker()) for name, maker in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_page_is_whole_and_needs_nothing_else(pages, name):
    found = Parsed(pages[name])
    tags = Counter(tag for tag, _ in found.elements)
    assert not {"script", "img", "iframe", "object", "i", "b onclick"} & set(tags)
    targets = [
        value for _, a in found.elements for key, value in a.items() if key in ("href", "src", "xlink:href")
    ]
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not re.search(r"@import|url\((?!#)", pages[name])
    assert not any(key.startswith("on") for _, a in found.elements for key in a)


@pytest.mark.parametrize("name", RUNS)
def test_ids_are_unique_and_what_points_at_one_finds_it(pages, name):
    found = Parsed(pages[name])
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', pages[name])) <= set(ids)


@pytest.mark.parametrize("name", RUNS)
def test_each_chart_is_told_in_words_and_takes_the_colours_of_the_page(pages, name):
    charts = [a for tag, a in Parsed(pages[name]).elements if tag == "svg"]
    assert all(a["role"] == "img" and len(a["aria-label"]) > 30 for a in charts)
    assert all("width" not in a and a["viewbox"].split()[2].startswith("440") for a in charts)
    drawn = "".join(re.findall(r"<svg.*?</svg>", pages[name], re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}", drawn) and "font-family" not in drawn


def test_the_verdict_comes_first_and_the_questions_in_their_order(pages):
    text = pages["everything"]
    result = classification()[0]
    assert text.index(result["verdict"]["text"]) < text.index("<h2>")
    assert re.findall(r'<section id="(\w+)"', text) == SECTIONS


def test_it_is_the_same_each_time():
    assert page(*classification()) == page(*classification())


def test_the_colours_for_print_and_screen_are_all_there():
    style = files("tlplug.reports").joinpath("style.css").read_text(encoding="utf-8")
    used = set(re.findall(r"var\(--(\w+)\)", style + "".join(page(*maker()) for maker in (classification,))))
    blocks = re.findall(r":root \{([^}]*)\}", style)
    assert len(blocks) == 3, "light, dark, print"
    for block in blocks:
        assert used - {"shade"} <= set(re.findall(r"--(\w+):", block))


# Scores


def test_scores_and_gains_are_those_of_the_examples():
    run = classification()
    scores = {name: run[1][f"example_scores/baseline/{name}"] for name in run[0]["baselines"]}
    own = run[1]["example_scores/after"]
    [chart] = of(sections(run)["scores"], Chart)
    for name, *cells in chart.data.rows[:-1]:
        gain = 100 * (own - scores[name])
        assert float(cells[0]) == pytest.approx(100 * scores[name].mean(), abs=0.05)
        assert float(cells[1]) == pytest.approx(gain.mean(), abs=0.05)
        found = compare_paired(own, scores[name])
        low, high = map(float, cells[2].split(" to "))
        assert (low, high) == pytest.approx((100 * found.low, 100 * found.high), abs=0.05)
    assert chart.data.rows[-1][:2] == ["lora", f"{100 * own.mean():.1f}"] and chart.data.marked == 3


def test_a_lower_perplexity_is_a_gain():
    run = perplexity()
    [chart] = of(sections(run)["scores"], Chart)
    _, score, gain, between = chart.data.rows[0]
    low, high = map(float, between.split(" to "))
    assert run[0]["comparisons"]["scratch"]["difference"] < 0 < low < float(gain) < high
    assert float(score) - float(gain) == pytest.approx(float(chart.data.rows[-1][1]), abs=0.11)
    assert "lower is better" in page(*run) and "times" not in of(sections(run)["scores"], Text)[0].words


def test_what_to_do_stands_beside_the_verdict_with_its_command():
    run = classification()
    run[0]["advice"].append({"text": "Take <more> rows.", "command": None})
    html, text = page(*run), markdown(*run)
    assert (
        '<pre tabindex="0">python -m tlplug +strategy=linear_probe</pre>' in html
        and "Take &lt;more&gt; rows." in html
    )
    assert html.index("A probe is enough.") < html.index("</section>")
    assert "```sh\npython -m tlplug +strategy=linear_probe\n```" in text.split("\n## ")[0]


@pytest.mark.parametrize(
    "low, high, said",
    [(0.01, 0.2, "harm was done"), (-0.1, 0.1, "no harm is shown"), (-0.2, -0.1, "but help")],
)
def test_negative_transfer_is_said_in_words(low, high, said):
    run = classification()
    run[0]["metrics"]["negative_transfer"] |= {"low": low, "high": high}
    assert said in page(*run)
    run[0]["metrics"]["negative_transfer"]["seeds"] = 5.0
    assert "over 5 seeds" in page(*run)


def test_without_baselines_nothing_is_drawn_of_them():
    blocks = sections(alone())["scores"]
    assert not of(blocks, Chart) and "no baseline was run" in of(blocks, Text)[1].words
    assert [row[0] for row in of(blocks, Table)[0].rows] == ["lora"]


# Charts


def shapes(svg):
    return list(ElementTree.fromstring(svg.replace("href=", "ref=")).iter())


def paths(svg, colour, key="stroke"):
    """The points of each line of a colour."""
    found = [e for e in shapes(svg) if f"{key}: var(--{colour})" in e.get("style", "") and e.get("d")]
    return [
        np.array(re.findall(r"[-\d.]+", e.get("d")), float).reshape(-1, 2)
        for e in found
        if "z" not in e.get("d")
    ]


def test_a_curve_lies_where_its_figures_are():
    points = np.array([[400, 70.0], [800, 76.0], [1200, 79.0], [1600, 81.0]])
    svg = curves("told", {"lora": points, "scratch": points - [0, 20]}, "accuracy", "lora")
    [own] = [line for line in paths(svg, "taken") if len(line) == 4]
    [scratch] = [line for line in paths(svg, "ink") if len(line) == 4]
    for axis in (0, 1):
        slope, start = np.polyfit(points[:, axis], own[:, axis], 1)
        assert own[:, axis] == pytest.approx(slope * points[:, axis] + start, abs=1e-3)
        shift = [0, -20 * slope][axis]
        assert scratch[:, axis] == pytest.approx(own[:, axis] + shift, abs=1e-3)
    dashes = [e.get("style") for e in shapes(svg) if "stroke-dasharray" in e.get("style", "")]
    assert dashes, "told apart without colour"


def test_gains_are_full_or_hollow_and_in_their_colour():
    rows = [("better", 5.0, 1.0, 9.0), ("even", 1.0, -3.0, 5.0), ("worse", -4.0, -6.0, -2.0)]
    svg = gains("told", rows, "accuracy")
    lengths = {}
    for colour, (_, _, low, high) in zip(("taken", "mark", "bad"), rows, strict=True):
        [line] = [p for p in paths(svg, colour) if len(p) == 2 and p[0, 1] == p[1, 1]]
        lengths[colour] = (line[1, 0] - line[0, 0]) / (high - low)
    assert len({round(length, 3) for length in lengths.values()}) == 1
    uses = [
        e.get("style")
        for e in shapes(svg)
        if e.tag.endswith("use") and "stroke-width: 2.5" in e.get("style", "")
    ]
    assert [re.search(r"fill: var\(--(\w+)\)", style)[1] for style in uses] == ["taken", "paper", "bad"]


def test_a_cell_of_the_heat_map_is_as_dark_as_it_says():
    svg = heat(
        "told",
        ["embeddings", "layer 1"],
        {"CKA": [("1.000", 0.0), ("0.750", 0.25)], "moved": [None, ("2%", 1.0)]},
    )
    styles = [e.get("style") for e in shapes(svg) if "fill: var(--heat)" in (e.get("style") or "")]
    dark = [float(found[1]) if (found := re.search(r"opacity: ([\d.]+)", style)) else 1.0 for style in styles]
    assert dark == [0.25, 1.0], "those of 0 are not painted at all"
    assert {"1.000", "0.750", "—", "2%", "layer 1"} <= {e.text for e in shapes(svg)}


def test_a_name_is_no_formula_and_no_markup():
    svg = gains('a <b> "told"', [("$x_1$ <b>&", 1.0, 0.5, 2.0)], "a_1$")
    assert {"over $x_1$ <b>&", "gain in a_1$"} <= {e.text for e in shapes(svg)}
    assert ElementTree.fromstring(svg.replace("href=", "ref=")).get("aria-label") == 'a <b> "told"'


def test_change_by_layer_is_drawn_and_listed():
    [chart] = of(sections(classification())["layers"], Chart)
    assert [row[0] for row in chart.data.rows] == [f"layer {k}" for k in range(6, 0, -1)] + ["embeddings"]
    cka = METRICS["cka"]
    assert [row[1] for row in chart.data.rows] == [f"{cka[f'layer/{k}']:.3f}" for k in range(6, -1, -1)]
    assert "lowest, 0.874, in layer 6" in chart.told and "most, by 2.9%, in layer 6" in chart.told


def test_curves_of_the_evidence_are_taken_where_the_result_has_none():
    run = classification()
    recorded = run[0].pop("curve")
    run[1]["curve/after"] = np.array(recorded["run"], float)
    run[1]["curve/baseline/scratch"] = np.array(recorded["scratch"], float)
    [chart] = of(sections(run)["curve"], Chart)
    assert chart.data.rows[0] == ["400", "70.0", "50.0"]
    assert "lora from 70.0 to 81.0; scratch from 50.0 to 61.0" in chart.told


def test_one_validation_is_no_line():
    run = classification()
    run[0]["curve"] = {"run": [[400, 0.7]], "scratch": [[400, 0.5]]}
    blocks = sections(run)["curve"]
    assert not of(blocks, Chart) and of(blocks, Table)[0].rows == [["400", "70.0", "50.0"]]


def test_curves_of_other_counts_leave_gaps():
    run = classification()
    run[0]["curve"] = {"run": [[400, 0.7], [800, 0.8]], "scratch": [[800, 0.5]]}
    [chart] = of(sections(run)["curve"], Chart)
    assert chart.data.rows == [["400", "70.0", "—"], ["800", "80.0", "50.0"]]


# Labels and examples


def test_the_confusion_matrix_is_scikit_learns():
    run = classification(["a", "b", "c"], rows=90)
    [table] = of(sections(run)["labels"], Table)
    true, said = [t["label"] for t in run[1]["targets"]], [row["prediction"] for row in run[2]]
    expected = confusion_matrix(true, said, labels=["a", "b", "c"])
    assert [[int(words(c)) for c in row[1:-1]] for row in table.rows] == expected.tolist()
    assert [[c.shade for c in row[1:-1]] for row in table.rows] == (
        expected / expected.sum(1)[:, None]
    ).tolist()
    recalls = recall_score(true, said, average=None, labels=["a", "b", "c"])
    assert [row[-1] for row in table.rows] == [f"{100 * recall:.1f}%" for recall in recalls]


def test_of_many_labels_the_worst_are_shown():
    run = many_labels()
    [table] = of(sections(run)["labels"], Table)
    true, said = [t["label"] for t in run[1]["targets"]], [row["prediction"] for row in run[2]]
    names = run[1]["labels"]
    recalls = dict(zip(names, recall_score(true, said, average=None, labels=names), strict=True))
    assert [row[2] for row in table.rows] == [f"{100 * r:.1f}%" for r in sorted(recalls.values())[:12]]
    assert all(row[2] == f"{100 * recalls[row[0]]:.1f}%" and row[1] == "10" for row in table.rows)
    wrong = Counter(s for t, s in zip(true, said, strict=True) if t == table.rows[0][0] != s)
    assert table.rows[0][3].split(", ")[0].endswith(f"({max(wrong.values())})")


def test_a_label_that_no_row_has_is_no_share():
    pairs = [("a", "a"), ("a", "b")]
    [table] = of(list(answers.by_label(pairs, ["a", "b"])), Table)
    assert table.rows[1][-1] == "no such row" and table.rows[0][-1] == "50.0%"


@pytest.mark.parametrize("maker", [regression, perplexity])
def test_answers_that_are_no_labels_have_no_matrix(maker):
    assert "labels" not in sections(maker())


def test_several_labels_a_row_have_no_matrix():
    run = classification()
    for row, target in zip(run[2], run[1]["targets"], strict=True):
        row["prediction"], target["label"] = [row["prediction"]], [target["label"]]
    assert "labels" not in sections(run) and "examples" in sections(run)


def test_the_worst_are_wrong_and_surest_of_it():
    run = classification()
    worst = of(sections(run)["examples"], Examples)[0]
    wrong = [row for row in run[2] if row["prediction"] != row["label"]]
    wrong.sort(key=lambda row: -row["probabilities"][row["prediction"]])
    assert [dict(example.told)["row"] for example in worst.examples] == [str(row["id"]) for row in wrong[:10]]
    assert f"({len(wrong)} of 200 test rows are wrong)" in worst.title and worst.unfolded
    assert dict(worst.examples[0].told)["should be"] == wrong[0]["label"]
    assert worst.examples[0].columns == [("text", wrong[0]["text"])]


def test_the_flipped_are_those_of_which_one_was_right_in_both_directions():
    run = classification()
    _, right, wrong = of(sections(run)["examples"], Examples)
    scratch = run[1]["predictions/baseline/scratch"]
    pairs = [
        (row, row["prediction"] == row["label"], other["prediction"] == row["label"])
        for row, other in zip(run[2], scratch, strict=True)
    ]
    for found, title, own in (
        (right, "Right where scratch is wrong", True),
        (wrong, "Wrong where scratch is right", False),
    ):
        expected = {str(row["id"]) for row, mine, other in pairs if mine is own and other is not own}
        assert found.title == f"{title} ({len(expected)} of 200 test rows)"
        shown = {dict(example.told)["row"] for example in found.examples}
        assert len(shown) == 10 and shown <= expected
        told = dict(found.examples[0].told)
        assert told["scratch said"].startswith(scratch[int(told["row"])]["prediction"])


@pytest.mark.parametrize(
    "gone, name", [((), "scratch"), (["scratch"], "linear_probe"), (["scratch", "linear_probe"], "trivial")]
)
def test_examples_are_held_against_scratch_first(gone, name):
    result, evidence, rows = classification()
    for baseline in gone:
        del evidence[f"example_scores/baseline/{baseline}"]
    assert Material(result, evidence, rows).opponent() == name


def test_the_worst_perplexity_is_the_highest():
    run = perplexity()
    worst = of(sections(run)["examples"], Examples)[0]
    expected = np.argsort(-run[1]["example_scores/after"])[:10]
    assert [int(dict(e.told)["row"]) for e in worst.examples] == expected.tolist()


def test_where_a_graded_answer_gained_most():
    run = regression()
    _, better = of(sections(run)["examples"], Examples)
    gain = run[1]["example_scores/after"] - run[1]["example_scores/baseline/scratch"]
    assert [int(dict(e.told)["row"]) for e in better.examples] == np.argsort(-gain)[:10].tolist()
    assert better.title.startswith("Where the run is better than scratch")


def test_nothing_wrong_is_said():
    run = classification()
    run[1]["example_scores/after"] = np.ones(200)
    blocks = sections(run)["examples"]
    assert of(blocks, Text)[0].words == "Every test row is answered right."


def test_evidence_of_other_rows_is_not_laid_beside_these():
    result, evidence, rows = classification()
    assert "labels" not in sections((result, evidence, rows[:-1]))
    assert "not measured" in of(sections((result, evidence, rows[:-1]))["examples"], Text)[0].words


# What was not measured


def reasons(found):
    """All of them, wherever they stand."""
    for value in found.values():
        if isinstance(value, dict):
            yield from reasons(value)
        elif isinstance(value, str):
            yield value


def test_every_reason_stands_in_the_report():
    run = classification()
    for text in (Parsed(page(*run)).text, rendered(markdown(*run))[1]):
        for why in reasons(run[0]["metrics"]):
            assert why in text


def test_a_page_of_nothing_has_the_reasons_and_no_chart_but_the_scores():
    run = nothing_measured()
    text = page(*run)
    assert text.count("<svg") == 1 and "the run had no validation rows" in text
    asked = set(METRICS) - {"transfer_gain", "cost"}
    assert all(f"no evidence for {name}" in text for name in asked)


def test_what_was_not_asked_for_says_how_to_ask():
    text = page(*alone())
    assert "python -m tlplug metrics RUN metric=[retention]" in text and "base" not in sections(alone())


@settings(max_examples=6, deadline=None)
@given(st.data())
def test_whatever_is_missing_the_rest_is_told(data):
    result, evidence, rows = classification(rows=20)
    evidence = {name: value for name, value in evidence.items() if data.draw(st.booleans())}
    for name in list(result["metrics"]):
        kept = data.draw(st.sampled_from(["all", "none", "reason", "some"]))
        if kept == "none":
            del result["metrics"][name]
        elif kept == "reason":
            result["metrics"][name] = {"not_measured": f"there is no {name}"}
        elif kept == "some":
            found = result["metrics"][name]
            result["metrics"][name] = {key: found[key] for key in found if data.draw(st.booleans())}
    text = Parsed(page(result, evidence, rows)).text
    assert not re.search(r"\b(nan|None|inf)\b", text + markdown(result, evidence, rows))
    assert all(title in text for title in ("Did it transfer?", "What was forgotten?", "What did it cost?"))


def test_a_metric_of_another_package_says_itself_what_the_report_shows():
    result, *others = classification()
    fact = {"name": "Depth", "value": 0.25, "form": "percent", "meaning": "how deep", "interval": [0.2, 0.3]}
    layers = {"name": "width", "layers": {"0": 1.0, "1": 2.0}, "headline": "no"}
    for section, name in (("others", "others"), ("forgotten", "forgotten"), ("inherited", "inherited")):
        result["metric_facts"]["their_metric"] = {"section": section, "facts": [fact, layers]}
        found = {s.name: list(s.blocks) for s in story.sections(Material(result, *others))}
        before = "their_metric, " if section == "others" else ""
        shown = facts(found[name])[f"{before}Depth"]
        assert (shown.value, shown.meaning) == ("25.0% (20.0% to 30.0%)", "how deep")
    result["metric_facts"]["their_metric"] = {"section": "layers", "facts": [layers | {"shades": {"1": 0.5}}]}
    [chart] = of({s.name: s.blocks for s in story.sections(Material(result, *others))}["layers"], Chart)
    place = chart.data.heads.index("width")
    assert [row[place] for row in chart.data.rows[-2:]] == ["2", "1"]


def test_a_result_without_facts_still_has_the_numbers():
    result, *others = classification()
    del result["metric_facts"]
    found = {s.name: list(s.blocks) for s in story.sections(Material(result, *others))}
    assert facts(found["others"])["cka, mean"].value == "0.931"


# Texts that are not harmless


def test_markup_in_texts_and_labels_is_shown_as_it_is():
    run = hostile()
    found = Parsed(page(*run))
    for text in HOSTILE[:1] + HOSTILE[2:]:
        assert " ".join(text.split()) in " ".join(found.text.split())
    assert "a" * 500 + " …" in found.text and "a" * 501 not in found.text
    assert "<i>no</i>" in found.text


MARKUP = "<b>&\"'</b>"


def in_all_places(text):
    """A report with a text in each place that takes one."""
    table = Table(text, [text, text], [[Cell(text, 0.5), Cell(text, 0.5)], [text, text]], 0)
    blocks = [
        *(Text(text), Text(f"do `{text}`", "note"), Code(text), table),
        *(
            Facts([Fact(text, text, text), Fact(text, text, "", lack=True)]),
            Chart(lambda: "<svg></svg>", text, table),
        ),
        Examples(text, [Example([(text, text), (text, text)], [(text, text)])]),
    ]
    fact = Fact(text, text, text)
    return Report(text, blocks, [Section("all", text, blocks)], about=text, glance=[fact])


def test_every_place_of_a_page_escapes_what_stands_in_it():
    found, clean = (Parsed(html.page(in_all_places(each))) for each in (MARKUP, "§"))
    assert [tag for tag, _ in found.elements] == [tag for tag, _ in clean.elements]
    assert found.text == clean.text.replace("§", MARKUP)
    assert {a["aria-label"] for _, a in found.elements if "aria-label" in a} == {MARKUP, "Verdict"}
    assert sum(tag == "code" for tag, _ in found.elements) == 2, "what stands in backticks is code"


def test_nothing_but_the_stylesheet_and_charts_is_left_as_it_is():
    templates = files("tlplug.reports").joinpath("templates").iterdir()
    unescaped = re.findall(r"\{\{[^}]*\bsafe\b.*?\}\}", "".join(map(Path.read_text, templates)))
    assert sorted(unescaped) == ["{{ block.draw() | safe }}", "{{ style | safe }}"]


def test_templates_are_loaded_where_a_page_is_written_and_not_before():
    code = "import sys, tlplug.reports.html, tlplug.reports.markdown; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_block_that_the_templates_do_not_know_is_an_error():
    for render in (html.page, plain.markdown):
        with pytest.raises(Exception, match="int"):
            render(Report("title", [7], []))


def rendered(text):
    """Markdown as a code host renders it: the elements, and the text."""
    found = MarkdownIt("commonmark").enable("table").render(text)
    parsed = Parsed(found)
    return Counter(tag for tag, _ in parsed.elements), parsed.text


@pytest.mark.parametrize("name", RUNS)
def test_the_markdown_renders_with_whole_tables(name):
    text = markdown(*RUNS[name]())
    tags, shown = rendered(text)
    assert not set(tags) - set(
        "h1 h2 p table thead tbody tr th td strong em code pre details summary ol li br".split()
    )
    assert tags["table"] >= 4 and "| ---" not in shown
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


def test_markdown_shows_hostile_texts_as_they_are():
    _, shown = rendered(markdown(*hostile()))
    for text in HOSTILE[2:]:
        assert " ".join(text.split()) in " ".join(shown.split())
    assert HOSTILE[0] in shown


def test_markdown_has_the_verdict_the_figures_and_the_command():
    run = classification()
    text = markdown(*run)
    assert text.index(run[0]["verdict"]["text"]) < text.index("## ")
    assert "darker" not in text and "darker" in page(*run), "there are no shades in Markdown"
    assert f"```sh\n{run[0]['command']}\n```" in text
    for blocks in sections(run).values():
        for chart in of(blocks, Chart):
            assert all(words(row[1]) in text for row in chart.data.rows)


# Cost, and how to do it again


def test_cost_has_a_row_for_each_and_says_where_energy_is_unknown():
    run = classification()
    [table] = of(sections(run)["cost"], Table)
    assert table.heads[-1] == "energy, J" and table.rows[0][1] == "no training"
    assert table.rows[-1] == ["lora", "338,690", "1.5%", "13.0", "997", "979", "306"]
    del run[0]["baseline_cost"]["scratch"]["energy_joules"]
    [table] = of(sections(run)["cost"], Table)
    assert table.rows[2][-1] == "—"
    blocks = sections(perplexity())["cost"]
    assert "energy" not in str(of(blocks, Table)) and "Energy: not measured" in of(blocks, Text)[-1].words


def test_the_command_is_given_or_made_of_what_is_known():
    assert "trainer.max_epochs=2 seed=42</pre>" in page(*classification())
    made = page(*alone())
    assert "python -m tlplug +strategy=lora +task=sentiment seed=42</pre>" in made and "config.yaml" in made


@pytest.mark.parametrize(
    "value, said", [(0.0, "0"), (1600.0, "1,600"), (0.38123, "0.381"), (1234.56, "1,235"), (-0.5, "-0.5")]
)
def test_numbers_are_short(value, said):
    assert number(value) == said


# The schema


VALID = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", RUNS)
def test_results_are_valid(name):
    CLOSED.validate(json.loads(json.dumps(RUNS[name]()[0])))


def test_what_a_run_makes_is_valid():
    head = SimpleNamespace(primary_score="accuracy", higher_is_better=True, display_scale=100)
    cost = classification()[0]["cost"]
    run = Outcome([], {"accuracy": 0.75}, [1.0, 1.0, 1.0, 0.0], cost)
    other = Outcome([], {"accuracy": 0.5}, [1.0, 0.0, 1.0, 0.0])
    compared = {"scratch": compare_paired(run.example_scores, other.example_scores)}
    names = {key: classification()[0][key] for key in SCHEMA["required"][1:13]}
    plugin = SimpleNamespace(kind="head", name="classification", distribution="tlplug", version="0.1.0")
    later = {"advice": [], "plugins": describe_plugins([plugin]), "metric_facts": described(METRICS)}
    verdict = judge(compared, head, "scratch")
    found = later | make_result(names, run, {"scratch": other}, compared, METRICS, verdict)
    CLOSED.validate(json.loads(json.dumps(found)))


def spoilt(path, value):
    """A result with one thing wrong; `value` of None takes it away."""
    result = deepcopy(classification()[0])
    place = result
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


@pytest.mark.parametrize(
    "path, value",
    [
        *(((key,), None) for key in SCHEMA["required"]),
        (["version"], 2),
        (["display_scale"], 0.5),
        (["scores", "accuracy"], "high"),
        (["metrics", "cka", "mean"], "not measured"),
        (["metrics", "cka", "mean"], {"not_measured": ""}),
        (["metrics", "cka"], {"not_measured": "why", "mean": 0.5}),
        (["metrics", "cka"], 0.5),
        (["verdict", "label"], "good"),
        (["verdict", "label"], "none"),
        (["verdict", "low"], None),
        (["comparisons", "scratch", "p"], 0.04),
        (["cost", "seconds"], -1),
        (["cost", "trainable_parameters"], None),
        (["baseline_cost", "scratch"], []),
        (["curve", "run"], [[400]]),
        (["curve", "run"], [[400, 0.5, 1]]),
        (["plugins", 0, "distribution"], None),
        (["versions", "python"], None),
        (["data"], ["reviews.csv"]),
        (["source_domain"], {"path": "news.csv"}),
        (["data_hashes"], {"train": "abc"}),
        (["metric_config"], {"knn": 5}),
        (["metrics_overrides"], "transfer.source_domain=news.csv"),
    ],
)
def test_a_result_with_something_wrong_is_not_valid(path, value):
    assert not VALID.is_valid(spoilt(path, value))


def test_further_keys_and_names_of_plugins_are_open():
    result = classification()[0] | {"note": "more"}
    result["metrics"]["theirs"] = {"any/name/at/all": 3}
    VALID.validate(result)
