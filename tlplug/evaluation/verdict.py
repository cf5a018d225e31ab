"""Judge whether knowledge transferred, and say it in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tlplug.evaluation.bootstrap import Comparison
from tlplug.interfaces import TaskHead


@dataclass(frozen=True)
class Verdict:
    """Did knowledge transfer?"""

    label: str
    """positive, negative, inconclusive; none where there is no baseline."""
    text: str
    baseline: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(comparisons: Mapping[str, Comparison], head: TaskHead, scratch: str | None) -> Verdict:
    """Return the verdict on the head's primary score against training from scratch; where that was not run, against the
    best baseline.

    Positive: the interval lies above zero; negative: below; else inconclusive. Signs are turned where lower
    scores are better. Negative transfer means: worse than the same architecture trained from random weights (Wang et
    al. 2019).

    Args:
        scratch: the baseline that was trained from random weights.
    """
    if not comparisons:
        return Verdict("none", "No verdict: the run was compared with nothing (transfer.baselines is empty).")
    sign = 1.0 if head.higher_is_better else -1.0
    best = max(comparisons, key=lambda key: sign * comparisons[key].baseline_mean)
    name = scratch if scratch is not None and scratch in comparisons else best
    found = comparisons[name]
    low, high = sorted((sign * found.low, sign * found.high))
    label = "positive" if low > 0 else "negative" if high < 0 else "inconclusive"
    wording = transfer_text if name == scratch else comparison_text
    text = wording(label, name, head, sign * found.difference, low, high)
    return Verdict(label, text, name, found.difference, found.low, found.high)


def transfer_text(label: str, baseline: str, head: TaskHead, gain: float, low: float, high: float) -> str:
    """Return the verdict for a person; a gain is an improvement, whichever direction of the score that is."""
    up, down = ("above", "below") if head.higher_is_better else ("below", "above")
    primary, scale = head.primary_score, head.display_scale
    what = {
        "positive": "Positive transfer: what the base model knew helped. "
        f"{primary} is {points(gain, scale)} {up} {{}}",
        "negative": "Negative transfer: the base model's knowledge did harm. "
        f"{primary} is {points(-gain, scale)} {down} {{}}",
        "inconclusive": f"Inconclusive: on this test split {primary} cannot be told from that of {{}}, "
        f"at a gain of {points(gain, scale)}",
    }[label]
    interval = f" (95% interval {scale * low:+.1f} to {scale * high:+.1f})."
    return what.format("training from scratch") + interval


def comparison_text(label: str, baseline: str, head: TaskHead, gain: float, low: float, high: float) -> str:
    """Return the text for a baseline that was not trained from scratch, against which nothing can be said of transfer."""
    told = {"positive": "Better than", "negative": "Worse than", "inconclusive": "Not to be told from"}[label]
    scale = head.display_scale
    return (
        f"{told} {baseline}, the best baseline that was run: {head.primary_score} has a gain of "
        f"{points(gain, scale)} (95% interval {scale * low:+.1f} to {scale * high:+.1f}). Whether "
        "knowledge transferred would take training from scratch (transfer.baselines=[...,scratch])."
    )


def points(gain: float, scale: int) -> str:
    """`17.5 points` of a share; `3.2` of a score that is none."""
    return f"{scale * gain:.1f}" + (" points" if scale == 100 else "")
