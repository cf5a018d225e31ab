"""The conformance kit: proves a strategy, a head or a metric sound, on tiny models made on the spot.

    from tlplug.testing import check_strategy
    check_strategy(MyStrategy, rank=4)

or a test for each check:

    @pytest.mark.parametrize("check", strategy_checks(), ids=str)
    def test_my_strategy(check):
        check(MyStrategy, rank=4)

Nothing heavy is imported before a check is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tlplug.testing.check import Check, CheckFailure, CheckSkipped, Result

if TYPE_CHECKING:
    from tlplug.testing.head import check_head, head_checks
    from tlplug.testing.metric import check_metric, metric_checks
    from tlplug.testing.strategy import check_strategy, strategy_checks

_LAZY = {
    "check_head": "tlplug.testing.head",
    "head_checks": "tlplug.testing.head",
    "check_metric": "tlplug.testing.metric",
    "metric_checks": "tlplug.testing.metric",
    "check_strategy": "tlplug.testing.strategy",
    "strategy_checks": "tlplug.testing.strategy",
}

__all__ = [
    "Check",
    "CheckFailure",
    "CheckSkipped",
    "Result",
    "check_head",
    "check_metric",
    "check_strategy",
    "head_checks",
    "metric_checks",
    "strategy_checks",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tlplug.testing' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
