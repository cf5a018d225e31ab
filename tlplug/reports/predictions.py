"""Which answers are right and wrong: by label, and example by example."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tlplug.reports.blocks import Block, Cell, Example, Examples, Section, Table, Text
from tlplug.reports.formatting import figure
from tlplug.reports.run_data import Material, percent

MOST_LABELS = 12
"""A matrix of more is no longer read; the worst labels are shown then."""
SHOWN = 10
LONGEST, LONGEST_LABEL = 500, 24
OWN = ("id", "prediction", "probabilities")


def labels(run: Material) -> Section | None:
    """Return the confusion matrix; None if predictions are not labels."""
    pairs = labelled(run)
    if pairs is None:
        return None
    names = list(run.evidence["labels"])
    return Section("labels", "Which labels are told apart?", list(by_label(pairs, names)))


def labelled(run: Material) -> list[tuple[str, str]] | None:
    """True and predicted label of each row."""
    names, targets = set(run.evidence.get("labels") or ()), run.list("targets")
    if not names or targets is None or any(len(target) != 1 for target in targets):
        return None
    pairs = [(target_of(t), r.get("prediction")) for t, r in zip(targets, run.rows, strict=True)]
    return pairs if all(known in names and said in names for known, said in map(hashable, pairs)) else None  # type: ignore[return-value]


def hashable(pair: tuple[Any, Any]) -> tuple[Any, Any]:
    """Predictions of other heads may be lists, which are no labels."""
    return tuple(value if isinstance(value, str) else None for value in pair)  # type: ignore[return-value]


def target_of(target: Mapping[str, Any]) -> str:
    value = next(iter(target.values()))
    return value if isinstance(value, str) else str(value)


def by_label(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> Iterator[Block]:
    counts, totals = Counter(pairs), Counter(true for true, _ in pairs)
    if len(names) <= MOST_LABELS:
        yield Text(
            "A row is the label that a test row has, a column what the run said; right answers lie on the diagonal."
        )
        yield Text("The darker a cell, the larger its share of the row.", "shades")
        yield matrix(counts, totals, names)
        return
    yield Text(f"Of {len(names)} labels these are the ones that the run finds least often.")
    yield worst_labels(counts, totals, names)


def matrix(counts: Counter[tuple[str, str]], totals: Counter[str], names: Sequence[str]) -> Table:
    rows: list[list[str | Cell]] = [
        [
            f"is {brief(true)}",
            *(Cell(f"{counts[true, said]:,}", counts[true, said] / (totals[true] or 1)) for said in names),
            percent(counts[true, true] / totals[true]) if totals[true] else "no such row",
        ]
        for true in names
    ]
    return Table("Confusion matrix", ["", *(f"said {brief(name)}" for name in names), "found"], rows)


def worst_labels(counts: Counter[tuple[str, str]], totals: Counter[str], names: Sequence[str]) -> Table:
    def found(true: str) -> float:
        return counts[true, true] / totals[true]

    rows = []
    for true in sorted((name for name in names if totals[name]), key=found)[:MOST_LABELS]:
        wrong = Counter({said: counts[true, said] for said in names if said != true and counts[true, said]})
        taken = [f"{brief(said)} ({count})" for said, count in wrong.most_common(2)]
        rows.append([brief(true), f"{totals[true]:,}", percent(found(true)), ", ".join(taken) or "—"])
    return Table("The worst labels", ["label", "test rows", "found", "most often taken for"], rows)


def examples(run: Material) -> Section:
    return Section("examples", "Which examples went wrong?", list(_examples(run)))


def _examples(run: Material) -> Iterator[Block]:
    own = run.array("example_scores/after")
    if own is None:
        yield Text("Single examples: not measured, the evidence has no score of each test row.", "lack")
        return
    yield from worst(run, own)
    if (name := run.opponent()) is not None:
        other = run.array(f"example_scores/baseline/{name}")
        assert other is not None
        yield from flipped(run, own, other, name)


def graded(scores: np.ndarray) -> bool:
    """Return whether predictions have graded scores, not only 0 and 1."""
    return not set(np.unique(scores)) <= {0.0, 1.0}


def confidence(row: Mapping[str, Any]) -> float:
    """Return the probability of the prediction; 0 if the head gives none."""
    probabilities, said = row.get("probabilities"), row.get("prediction")
    return float(probabilities.get(said, 0.0)) if probabilities and isinstance(said, str) else 0.0


def worst(run: Material, own: np.ndarray) -> Iterator[Block]:
    """Wrong answers that the run was surest of; else those with the worst scores."""
    better = run.sign * own
    sure = np.array([confidence(row) for row in run.rows])
    order = np.lexsort((-sure, better))
    if not graded(own):
        order = order[better[order] < (1 if run.sign > 0 else 0)]
        title = f"Wrong, and surest of it ({len(order):,} of {len(own):,} test rows are wrong)"
    else:
        title = "The worst scores"
    if len(order):
        shown = [example(run, place, score=own if graded(own) else None) for place in order[:SHOWN]]
        yield Examples(title, shown, unfolded=True)
    else:
        yield Text("Every test row is answered right.")


def flipped(run: Material, own: np.ndarray, other: np.ndarray, name: str) -> Iterator[Block]:
    """Return the rows on which the run and a baseline differ, in both directions."""
    gain = run.sign * (own - other)
    sure = np.array([confidence(row) for row in run.rows])
    exact = not graded(own) and not graded(other)
    for sign, words in (1, ("Right", "wrong", "better")), (-1, ("Wrong", "right", "worse")):
        places = np.lexsort((-sure, -sign * gain))
        places = places[sign * gain[places] > 0]
        count = f"{len(places):,} of {len(own):,} test rows"
        title = (
            f"{words[0]} where {name} is {words[1]}" if exact else f"Where the run is {words[2]} than {name}"
        )
        if len(places):
            score = None if exact else own
            shown = [example(run, place, score, name) for place in places[:SHOWN]]
            yield Examples(f"{title} ({count})", shown)
        else:
            yield Text(f"{title}: in no test row.")


def example(
    run: Material, place: int, score: np.ndarray | None = None, baseline: str | None = None
) -> Example:
    row, targets = run.rows[place], run.list("targets")
    target = targets[place] if targets is not None else {}
    columns = [(name, short(value)) for name, value in row.items() if shown(name, value, target, run)]
    told = [("the run said", said(row))]
    told += [(f"{'should be' if len(target) == 1 else name}", short(value)) for name, value in target.items()]
    if baseline is not None and (others := run.list(f"predictions/baseline/{baseline}")) is not None:
        told.append((f"{baseline} said", said(others[place])))
    if "id" in row:
        told.append(("row", str(row["id"])))
    if score is not None:
        told.append((run.unit, figure(float(score[place]), run.scale)))
    return Example(columns, told)


def shown(name: str, value: Any, target: Mapping[str, Any], run: Material) -> bool:
    """The columns that the head reads: what is to be predicted, and what was, is told apart from them."""
    if name in OWN or name in target:
        return False
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(v, str) for v in value))


def brief(label: str) -> str:
    """Format a label as the title of a row or column."""
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def said(prediction: Mapping[str, Any]) -> str:
    sure = confidence(prediction)
    return short(prediction["prediction"]) + (f" ({100 * sure:.0f}% sure)" if sure else "")


def short(value: Any) -> str:
    """Format a value for a page, a number with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = " ".join(value) if value else "(nothing)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if text.strip() else "(nothing)"
    return text if len(text) <= LONGEST else text[:LONGEST].rstrip() + " …"
