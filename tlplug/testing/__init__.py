"""The conformance kit: checks a strategy, a head or a metric on tiny models that it creates.

    from tlplug.testing import check_strategy
    check_strategy(MyStrategy, rank=4)

or a test for each check:

    @pytest.mark.parametrize("check", strategy_checks(), ids=str)
    def test_my_strategy(check):
        check(MyStrategy, rank=4)

Nothing heavy is imported before the checks of a kind are built.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from tlplug.testing.check import (
    Check,
    CheckFailure,
    CheckSkipped,
    Result,
    build_checks,
    checks_in,
    require_all,
)

if TYPE_CHECKING:
    from tlplug.interfaces import Strategy, TaskHead, TransferMetric

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


@cache
def strategy_checks() -> tuple[Check, ...]:
    """Return all checks of a strategy, for `@pytest.mark.parametrize("check", strategy_checks(), ids=str)`."""
    from tlplug.testing.checks import claims, determinism, gradients, plugin, saving, weights
    from tlplug.testing.isolation import isolated
    from tlplug.testing.strategy_case import StrategyCase

    return build_checks(
        checks_in(plugin, claims, weights, determinism, saving, gradients),
        StrategyCase,
        required={plugin.implements_contract, claims.adapts_and_predicts},
        slow={saving.loads_in_new_process, gradients.ddp_matches_single_process},
        around=isolated,
    )


@cache
def head_checks() -> tuple[Check, ...]:
    """Return all checks of a head."""
    from tlplug.testing.checks import head_data, head_outputs, plugin
    from tlplug.testing.head_case import HeadCase
    from tlplug.testing.isolation import isolated

    return build_checks(
        checks_in(plugin, head_data, head_outputs),
        HeadCase,
        required={
            plugin.implements_contract,
            head_data.columns_are_consistent,
            head_data.works_on_some_base_model,
            head_data.encodes_rows,
        },
        around=isolated,
    )


@cache
def metric_checks() -> tuple[Check, ...]:
    """Return all checks of a metric."""
    from tlplug.testing.checks import metric_values, plugin
    from tlplug.testing.metric_case import MetricCase

    return build_checks(
        checks_in(plugin, metric_values),
        MetricCase,
        required={
            plugin.implements_contract,
            metric_values.requires_known_evidence,
            metric_values.returns_numbers_by_name,
        },
    )


def check_strategy(plugin: "type[Strategy]", **options: Any) -> None:
    """Run every check.

    Args:
        options: fields of the strategy's Config; `head` and `kind` select the head and the kind of base model, such as
            `head="summarization"` and `kind="decoder"`.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(strategy_checks(), plugin, **options)


def check_head(plugin: "type[TaskHead]", **options: Any) -> None:
    """Run every check.

    Args:
        options: `rows`, a list of rows with the head's columns or a function that returns one; `base`, a base model's folder
            or a `BaseInfo`, for a head that supports none of the kit's base models, which read texts; and fields of the
            head's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(head_checks(), plugin, **options)


def check_metric(plugin: "type[TransferMetric]", **options: Any) -> None:
    """Run every check.

    Args:
        options: `evidence`, a mapping that updates the kit's evidence; and fields of the metric's Config.

    Raises:
        AssertionError: lists the checks that failed.
    """
    require_all(metric_checks(), plugin, **options)
