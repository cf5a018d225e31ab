"""All checks of a metric on one screen, and what they are."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tlplug.evaluation import evidence
from tlplug.interfaces import NotMeasured, Outcome, ProbeContext, TaskHead, TransferMetric, WeightChange
from tlplug.testing import declared
from tlplug.testing.check import Check, Fault, named, require_all, table

LABELS = ("negative", "positive")
LAYERS, WIDTH = 2, 6
ROWS, BASELINES = 24, {"trivial": 0.5, "scratch": 0.6, "linear_probe": 0.7}
COST = {
    "trainable_parameters": 1000.0,
    "total_parameters": 50000.0,
    "seconds": 12.5,
    "peak_memory_mb": 800.0,
    "tokens_per_second": 4000.0,
}


class Labelled(TaskHead):
    """Of whose rows the evidence is."""

    columns = {"text": "a text", "label": "its class"}
    targets = ("label",)
    primary = "accuracy"


def made_up() -> dict[str, Any]:
    """Evidence of a run that is right in 0.8 of 24 rows, and of its baselines."""
    truth = ["positive" if row % 2 else "negative" for row in range(ROWS)]
    others = {name: outcome(truth, accuracy, seed) for seed, (name, accuracy) in enumerate(BASELINES.items())}
    rows = [{"id": row, "label": label} for row, label in enumerate(truth)]
    head = Labelled().with_labels(LABELS)
    return {**evidence.collect(outcome(truth, 0.8, 99), others, head, rows), **looked_at(), "reasons": {}}


def outcome(truth: Sequence[str], accuracy: float, seed: int) -> Outcome:
    """Of a classifier that gives what it says a probability of 0.8."""
    right = np.random.default_rng(seed).random(len(truth)) < accuracy
    predictions = []
    for row, (label, fine) in enumerate(zip(truth, right, strict=True)):
        said = LABELS[LABELS.index(label) ^ (not fine)]
        probabilities = {name: 0.8 if name == said else 0.2 for name in LABELS}
        predictions.append({"id": row, "prediction": said, "probabilities": probabilities})
    curve = [[16.0, accuracy - 0.2], [32.0, accuracy - 0.1], [48.0, accuracy]]
    scores = right.astype(float)
    return Outcome(predictions, {"accuracy": scores.mean()}, scores.tolist(), COST, curve=curve)


def looked_at() -> dict[str, Any]:
    """Features of two classes and of other domains, before and after; likelihoods and a classifier of the base model."""
    draw = np.random.default_rng(0)
    classes = np.arange(ROWS) % 2
    found: dict[str, Any] = {"classes": classes, "classes/source": classes}
    for shift, domain in enumerate(("", "/source", "/target")):
        before = draw.normal(size=(LAYERS + 1, ROWS, WIDTH)) + shift + classes[:, None]
        found[f"features/before{domain}"] = before.astype(np.float32)
        found[f"features/after{domain}"] = (before + 0.1 * draw.normal(size=before.shape)).astype(np.float32)
    tokens = draw.integers(5, 20, ROWS).astype(float)
    for stage, nats in (("before", 3.0), ("after", 3.2)):
        found[f"nll/{stage}/source"] = np.stack([nats * tokens + draw.normal(size=ROWS), tokens], axis=1)
        found[f"scores/{stage}/source"] = {"accuracy": 0.9 if stage == "before" else 0.8}
    found["source_probabilities"] = draw.dirichlet([1.0, 1.0, 1.0], ROWS)
    return found


def of_probes(metric: TransferMetric) -> dict[str, Any]:
    """Of the rows that it asks for by itself."""
    if type(metric).probes is TransferMetric.probes:
        return {}
    from tlplug.testing import tiny

    words = ("he", "she")
    rows = [{"id": row, "text": f"{words[row % 2]} liked it {row} times"} for row in range(ROWS)]
    context = ProbeContext(Labelled().with_labels(LABELS), tiny.base("encoder"), rows, 0)
    draw = np.random.default_rng(2)
    found: dict[str, Any] = {}
    for seed, (name, asked) in enumerate(metric.probes(context).items()):
        for stage in ("before", "after"):
            shape = (LAYERS + 1, len(asked), WIDTH)
            found[f"features/{stage}/{name}"] = draw.normal(size=shape).astype(np.float32)
        answers = outcome([LABELS[row % 2] for row in range(len(asked))], 0.7, seed).predictions
        found[f"predictions/after/{name}"] = [
            {**answer, "id": row["id"]} for answer, row in zip(answers, asked, strict=True)
        ]
    return found


def changed_weight() -> WeightChange:
    """A matrix of 12 by 8 to which a product of rank 2 was added."""
    draw = np.random.default_rng(1)
    before, left, right = (draw.normal(size=shape).astype(np.float32) for shape in ((12, 8), (12, 2), (2, 8)))
    return WeightChange("encoder.weight", 1, before, before + left @ right, (left, right))


class MetricCase:
    """A metric, and the evidence that it is tried with: the kit's, and over it the author's."""

    kind_of_plugin = "metric"

    def __init__(
        self, plugin: type[TransferMetric], evidence: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        self.plugin = plugin
        self.fields = fields
        self.given = evidence or {}

    @cached_property
    def evidence(self) -> dict[str, Any]:
        return {**made_up(), **self.of_weights(), **of_probes(self.metric()), **self.given}

    def of_weights(self) -> dict[str, Any]:
        """What it has to know of a matrix, under the names that it needs."""
        change = changed_weight()
        known = {change.name: {"layer": change.layer, **self.metric().of_weight(change)}}
        return {name: known for name in self.plugin.needs if name.startswith("weights/")}

    def metric(self) -> TransferMetric:
        return self.plugin(self.plugin.Config(**self.fields))

    @cached_property
    def values(self) -> dict[str, float | NotMeasured]:
        try:
            return self.metric().measure(copy.deepcopy(self.evidence))
        except NotMeasured as reason:
            raise Fault(
                f"it measures nothing of the evidence that was given: {reason}. Give evidence={{...}}"
            ) from reason


def declares_what_it_reads(case: MetricCase) -> None:
    needs, better = case.plugin.needs, case.plugin.higher_is_better
    if isinstance(needs, str) or not all(isinstance(need, str) and need for need in needs):
        raise Fault(f"needs is {needs!r}; it is a set of names")
    if better not in (True, False, None):
        raise Fault(f"higher_is_better is {better!r}; it is True, False or None")
    if lacking := set(needs) - set(case.evidence):
        raise Fault(f"the kit has no evidence of {named(lacking)}; give evidence={{...}}")


def gives_numbers_by_name(case: MetricCase) -> None:
    if not isinstance(case.values, dict) or not case.values:
        raise Fault(f"measure gives {case.values!r}; it is a dict of values by name")
    for name, value in case.values.items():
        number = isinstance(value, int | float) and math.isfinite(value)
        if not isinstance(name, str) or not (number or isinstance(value, NotMeasured)):
            raise Fault(f"measure gives {name!r}: {value!r}; NotMeasured says why there is no value")


def needs_no_more_than_it_says(case: MetricCase) -> None:
    """Of the evidence that it needs alone, it measures something or says why not."""
    given = {name: case.evidence[name] for name in case.plugin.needs}
    try:
        case.metric().measure(copy.deepcopy(given))
    except NotMeasured as reason:
        if len(str(reason).split()) < 3:
            raise Fault(f"NotMeasured says {str(reason)!r}, which is too little") from reason
    except Exception as error:
        raise Fault(
            f"with nothing but {named(given) or 'no evidence'} it raises {type(error).__name__}: {error}; name in "
            "`needs` what it cannot do without, and use evidence.get or NotMeasured for the rest"
        ) from error


def changes_no_evidence(case: MetricCase) -> None:
    given = copy.deepcopy(case.evidence)
    case.metric().measure(given)
    if set(given) != set(case.evidence):
        raise Fault(
            f"measure adds or removes {named(set(given) ^ set(case.evidence))}; other metrics read it too"
        )
    for name, value in given.items():
        if not np.array_equal(np.asarray(value), np.asarray(case.evidence[name])):
            raise Fault(f"measure changes {name!r}, which other metrics read too; make a copy")


def measures_the_same_twice(case: MetricCase) -> None:
    if not same(case.metric().measure(copy.deepcopy(case.evidence)), case.values):
        raise Fault("measure gives other values the second time; draw from a generator with a seed in Config")


def measures_what_was_written(case: MetricCase) -> None:
    """Evidence that was written to files and read again gives the same values."""
    with tempfile.TemporaryDirectory(prefix="tlplug-testing-") as folder:
        evidence.write(case.evidence, Path(folder) / "evidence")
        again = case.metric().measure(evidence.read(Path(folder) / "evidence"))
    if not same(again, case.values, 1e-9):
        raise Fault("of evidence that was written and read again it measures something else")


def same(one: Mapping[str, Any], other: Mapping[str, Any], tolerance: float = 0.0) -> bool:
    """Whether two measurements have the same values, and the same reasons where there are none."""

    def equal(first: Any, second: Any) -> bool:
        if isinstance(first, NotMeasured) or isinstance(second, NotMeasured):
            return str(first) == str(second)
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance / 1000)

    return set(one) == set(other) and all(equal(one[name], other[name]) for name in one)


FINDS: dict[Callable[[Any], None], str] = {
    declared.is_a_plugin: "breaks of the contract: no version, a method that is missing, a frozen Config",
    declared.says_what_it_is: "a class without a docstring that can be listed",
    declared.imports_nothing_heavy: "torch and its kin imported with the file",
    declared.config_is_typed: "fields without a default, or of a type that cannot be typed",
    declared.config_refuses_in_words: "odd values that end in a traceback",
    declares_what_it_reads: "needs that are no names, or that there is no evidence of",
    gives_numbers_by_name: "values that are no finite numbers",
    needs_no_more_than_it_says: "evidence that is read without being in `needs`",
    changes_no_evidence: "evidence that is changed",
    measures_the_same_twice: "values that are drawn",
    measures_what_was_written: "evidence that is used in a form which files do not keep",
}
"""What each check finds."""

CHECKS = table(
    FINDS,
    MetricCase,
    stops={declared.is_a_plugin, declares_what_it_reads, gives_numbers_by_name},
)


def metric_checks() -> tuple[Check, ...]:
    """Every check, for `@pytest.mark.parametrize("check", metric_checks(), ids=str)`."""
    return CHECKS


def check_metric(plugin: type[TransferMetric], **given: Any) -> None:
    """Run every check.

    Args:
        given: `evidence`, a mapping over what the kit makes up; and fields of the metric's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(CHECKS, plugin, **given)
