"""Give the verdict on whether knowledge transferred, with a sentence for the user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tlplug.evaluation.bootstrap import Comparison
from tlplug.interfaces import TaskHead


@dataclass(frozen=True)
class Verdict:
    """A verdict on whether knowledge transferred."""

    label: str
    """positive, negative or inconclusive; none where there is no baseline."""
    text: str
    baseline: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(comparisons: Mapping[str, Comparison], head: TaskHead, scratch: str | None) -> Verdict:
    """Return the verdict on the head's primary score against training from scratch, else against the best baseline.

    Positive: the interval of the gain is above zero; negative: below; else inconclusive. Negative transfer means a score
    worse than that of the same architecture trained from random weights (Wang et al. 2019).

    Args:
        scratch: the baseline that was trained from random weights.
    """
    if not comparisons:
        return Verdict("none", "No verdict: the run was compared with nothing (transfer.baselines is empty).")
    best = (max if head.higher_is_better else min)(
        comparisons, key=lambda key: comparisons[key].baseline_mean
    )
    name = scratch if scratch is not None and scratch in comparisons else best
    comparison = comparisons[name]
    gain, low, high = comparison.gain(head.higher_is_better)
    label = "positive" if low > 0 else "negative" if high < 0 else "inconclusive"
    describe = transfer_text if name == scratch else comparison_text
    text = describe(label, name, head, gain, low, high)
    return Verdict(label, text, name, comparison.difference, comparison.low, comparison.high)


def transfer_text(label: str, baseline: str, head: TaskHead, gain: float, low: float, high: float) -> str:
    """Return the verdict against training from scratch; a positive gain is an improvement for every score."""
    up, down = ("above", "below") if head.higher_is_better else ("below", "above")
    primary, scale = head.primary_score, head.display_scale
    sentence = {
        "positive": "Positive transfer: what the base model knew helped. "
        f"{primary} is {points(gain, scale)} {up} {{}}",
        "negative": "Negative transfer: the base model's knowledge did harm. "
        f"{primary} is {points(-gain, scale)} {down} {{}}",
        "inconclusive": f"Inconclusive: on this test split {primary} cannot be told from that of {{}}, "
        f"at a gain of {points(gain, scale)}",
    }[label]
    interval = f" (95% interval {scale * low:+.1f} to {scale * high:+.1f})."
    return sentence.format("training from scratch") + interval


def comparison_text(label: str, baseline: str, head: TaskHead, gain: float, low: float, high: float) -> str:
    """Return the verdict against a baseline that was not trained from scratch, which shows nothing of transfer."""
    relation = {"positive": "Better than", "negative": "Worse than", "inconclusive": "Not to be told from"}[
        label
    ]
    scale = head.display_scale
    return (
        f"{relation} {baseline}, the best baseline that was run: {head.primary_score} has a gain of "
        f"{points(gain, scale)} (95% interval {scale * low:+.1f} to {scale * high:+.1f}). Whether "
        "knowledge transferred would take training from scratch (transfer.baselines=[...,scratch])."
    )


def points(gain: float, scale: int) -> str:
    """Format a gain: `17.5 points` for a share, `3.2` for another score."""
    return f"{scale * gain:.1f}" + (" points" if scale == 100 else "")
