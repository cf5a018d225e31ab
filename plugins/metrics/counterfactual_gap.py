"""Measure how much predictions depend on a name or a pronoun."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tlplug import Evidence, Fact, NotMeasured, Row, Rows, RowsContext, TransferMetric
from tlplug_plugins.metrics.calibration import distributions

ORIGINAL, SWAPPED = "counterfactual_gap/original", "counterfactual_gap/swapped"
Values = dict[str, float | NotMeasured]
FACTS = (
    (
        "flip_rate",
        "Flip rate",
        "predictions that change when words such as he and she are swapped",
        "percent",
    ),
    ("flip_rate/before", "Flip rate, before", "for the base model", "percent"),
    (
        "gap",
        "Probability gap",
        "total variation distance after such a swap: 0 is equal, 1 disjoint",
        "decimal",
    ),
    ("gap/before", "Probability gap, before", "for the base model", "decimal"),
    (
        "feature_gap/before",
        "Feature gap, before",
        "1 - cosine of the last layer's features of both texts",
        "decimal",
    ),
    ("feature_gap/after", "Feature gap, after", "for the adapted model", "decimal"),
    ("pairs", "Texts", "with a word to swap; a flip rate of 0 does not prove that there is no bias"),
)
"""The key, name, meaning and form of each fact of the report."""


class CounterfactualGap(TransferMetric):
    """Change of predictions when a name or pronoun is swapped, before and after.

    Rows of the task's validation split with a word of a pair in their texts are run as they are and with every such word
    swapped for its other (whole words, both directions, case kept). `gap`: the mean total variation distance of the
    two probability vectors; `flip_rate`: the share of rows whose prediction changes; both in [0, 1], of the adapted
    model, and `gap/before`, `flip_rate/before` of the base model where it answers by itself.
    `feature_gap/before`, `/after`: the mean of 1 - cosine of the last layer's features, in [0, 2]. `pairs`: how many rows
    had such a word. The idea is of counterfactual fairness (Kusner et al. 2017) and of token fairness (Garg et al. 2019).

    The list that ships is English, binary and short, and a name is a proxy (conf/counterfactuals says more). Some
    answers ought to change: where a text is written or cut out of the row, `flip_rate` counts every other text, even
    if only the name in it is another. A gap of 0 is no proof of fairness.
    """

    contract = 1
    requires = frozenset({f"predictions/after/{ORIGINAL}", f"predictions/after/{SWAPPED}"})
    higher_is_better = False
    section = "inherited"

    @dataclass
    class Config:
        pairs: Any = "names_and_pronouns"
        """A list that ships, a file with two words a line, or a list of lists of two words."""
        rows: int = 256
        """The largest number of rows; the first ones are taken."""

        def __post_init__(self) -> None:
            if self.rows < 1:
                raise ValueError(f"rows is {self.rows}; it must be at least 1")
            read_pairs(self.pairs)

    def extra_rows(self, context: RowsContext) -> Mapping[str, Rows]:
        head = context.head
        columns = [name for name in {**head.columns, **head.optional_columns} if name not in head.targets]
        swapper = Swapper(read_pairs(self.config.pairs))
        rows = [without(row, [*head.targets]) for row in context.rows]
        pairs = [(row, swapper.row(row, columns)) for row in rows]
        changed = [pair for pair in pairs if pair[0] != pair[1]][: self.config.rows]
        if not changed:
            raise NotMeasured(
                "the validation rows contain no word of a pair (metric.counterfactual_gap.pairs)"
            )
        original, swapped = zip(*changed, strict=True)
        return {ORIGINAL: list(original), SWAPPED: list(swapped)}

    def measure(self, evidence: Evidence) -> Values:
        first, second = both(evidence, "predictions/after")
        values: Values = {"pairs": float(len(first)), "flip_rate": flip_rate(*map(answers, (first, second)))}
        values["gap"] = attempt(gap_of, evidence, "predictions/after")
        values["flip_rate/before"] = attempt(flips_of, evidence, "predictions/before")
        values["gap/before"] = attempt(gap_of, evidence, "predictions/before")
        for when in ("before", "after"):
            values[f"feature_gap/{when}"] = attempt(feature_gap_of, evidence, f"features/{when}")
        return values

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        return [Fact.of(values, *fact) for fact in FACTS if fact[0] in values]


def without(row: Row, columns: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in columns}


def both(evidence: Evidence, what: str) -> tuple[Any, Any]:
    """Return the evidence of the original rows and of the swapped ones."""
    for probe in (ORIGINAL, SWAPPED):
        if evidence.get(f"{what}/{probe}") is None:
            why = evidence.get("reasons", {}).get(f"{what}/{probe}")
            raise NotMeasured(why or f"no evidence of {what}/{probe}")
    return evidence[f"{what}/{ORIGINAL}"], evidence[f"{what}/{SWAPPED}"]


def attempt(measured, evidence: Evidence, what: str) -> float | NotMeasured:  # type: ignore[no-untyped-def]
    try:
        return float(measured(evidence, what))
    except NotMeasured as reason:
        return reason


def gap_of(evidence: Evidence, what: str) -> float:
    first, second = both(evidence, what)
    labels = list(evidence.get("labels") or first[0].get("probabilities") or ())
    return counterfactual_gap(distributions(first, labels), distributions(second, labels))


def flips_of(evidence: Evidence, what: str) -> float:
    return flip_rate(*map(answers, both(evidence, what)))


def feature_gap_of(evidence: Evidence, what: str) -> float:
    first, second = both(evidence, what)
    return feature_gap(first[-1], second[-1])


def answers(predictions: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [prediction["prediction"] for prediction in predictions]


def counterfactual_gap(
    original: Sequence[Sequence[float]] | np.ndarray, swapped: Sequence[Sequence[float]] | np.ndarray
) -> float:
    """Return the mean over rows of the total variation distance, half the sum of |p_k - q_k|. Both [n, K]; in [0, 1]."""
    first, second = np.asarray(original, np.float64), np.asarray(swapped, np.float64)
    if first.shape != second.shape or first.ndim != 2 or not first.size:
        raise ValueError(f"probabilities must be [n, K], the same of both; got {first.shape}, {second.shape}")
    return float(np.abs(first - second).sum(1).mean() / 2)


def flip_rate(original: Sequence[Any], swapped: Sequence[Any]) -> float:
    """Return the share of n predictions that differ, in [0, 1]."""
    if len(original) != len(swapped) or not len(original):
        raise ValueError(f"there must be as many of both, got {len(original)} and {len(swapped)}")
    return sum(one != other for one, other in zip(original, swapped, strict=True)) / len(original)


def feature_gap(original: np.ndarray, swapped: np.ndarray) -> float:
    """Return the mean over rows of 1 - cosine of two features [n, D]; in [0, 2]."""
    first, second = np.asarray(original, np.float64), np.asarray(swapped, np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    if not (lengths > 0).all():
        raise NotMeasured("the features of a row are 0 or not finite")
    return float(1.0 - ((first * second).sum(1) / lengths).mean())


def read_pairs(pairs: Any) -> list[tuple[str, str]]:
    """Return the pairs of words of a list that ships, of a file or of the config.

    Raises:
        ValueError: no such list or file, or something in it is no pair of two different words.
    """
    if isinstance(pairs, str):
        lines = [line.split("#")[0].split() for line in text_of(pairs).splitlines()]
        pairs = [line for line in lines if line]
    if not isinstance(pairs, Sequence) or not len(pairs):
        raise ValueError(f"pairs is {pairs!r}; it is a list's name, a file or a list of lists of two words")
    for pair in pairs:
        words = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else []
        if len(words) != 2 or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError(f"pairs has {pair!r}, which should be two words")
        if words[0].lower() == words[1].lower():
            raise ValueError(f"pairs has {pair!r}, which is one word twice")
    return [(one.strip(), other.strip()) for one, other in pairs]


def text_of(name: str) -> str:
    shipped = files("tlplug_conf") / "counterfactuals"
    names = sorted(
        entry.name.removesuffix(".txt") for entry in shipped.iterdir() if entry.name[-4:] == ".txt"
    )
    if name in names:
        return (shipped / f"{name}.txt").read_text(encoding="utf-8")
    if not name or not Path(name).is_file():
        raise ValueError(f"pairs is {name!r}, which is no file, and no list that ships: {', '.join(names)}")
    return Path(name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Swapper:
    """Swap every word of a pair for its counterpart; the first pair with a word counts."""

    pairs: Sequence[tuple[str, str]]

    @cached_property
    def other(self) -> dict[str, str]:
        counterparts: dict[str, str] = {}
        for one, other in self.pairs:
            counterparts.setdefault(one.lower(), other)
            counterparts.setdefault(other.lower(), one)
        return counterparts

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        words = sorted(map(re.escape, self.other), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE)

    def text(self, text: str) -> str:
        return self.pattern.sub(lambda match: cased(self.other[match[0].lower()], match[0]), text)

    def row(self, row: Row, columns: Sequence[str]) -> dict[str, Any]:
        return {name: self.swapped(value) if name in columns else value for name, value in row.items()}

    def swapped(self, value: Any) -> Any:
        """Swap in a text or a list of texts; return any other value unchanged."""
        if isinstance(value, str):
            return self.text(value)
        return [self.swapped(each) for each in value] if isinstance(value, list) else value


def cased(word: str, like: str) -> str:
    """Return the word with the capitals of `like`: all, the first, or none."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word[0].upper() + word[1:].lower() if like[0].isupper() else word.lower()
