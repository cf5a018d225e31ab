"""Report the cost of an adaptation."""

from __future__ import annotations

from collections.abc import Mapping

from tlplug import Evidence, Fact, NotMeasured, TransferMetric


class Cost(TransferMetric):
    """What the adaptation cost: weights, time, memory.

    `trainable_share` is in percent of all parameters; `seconds` is the wall time of the adaptation alone
    (no loading, no baselines); `peak_memory_mb` is the process's highest resident memory while adapting
    on a CPU and the highest allocated memory on a GPU, in MiB; `tokens_per_second` counts real tokens
    (no padding) that were trained on.
    """

    contract = 1
    requires = frozenset({"cost"})
    higher_is_better = False
    section = "cost"

    def measure(self, evidence: Evidence) -> dict[str, float]:
        cost = dict(evidence["cost"])
        cost["trainable_share"] = 100.0 * cost["trainable_parameters"] / cost["total_parameters"]
        return cost

    def describe(self, values: Mapping[str, float | NotMeasured]) -> list[Fact]:
        """Return nothing: the report's table of costs has all of it, beside those of the baselines."""
        return []
