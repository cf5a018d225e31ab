"""What the kit adds to pytest: fixtures, and the marker `slow` on checks that start processes.

pytest imports this file wherever tlplug is installed, so nothing heavy is imported before a fixture is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from tlplug.testing.check import Check

if TYPE_CHECKING:
    from tlplug.interfaces import BaseInfo


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: starts processes; left out by -m 'not slow'")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is given a slow check is marked so."""
    for item in items:
        given: Iterable[Any] = getattr(getattr(item, "callspec", None), "params", {}).values()
        if any(isinstance(value, Check) and value.slow for value in given):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def tlplug_base() -> Callable[..., BaseInfo]:
    """A function: kind (`encoder`, `decoder`, `encoder-decoder`) -> a tiny base model of that kind."""
    from tlplug.testing.tiny_models import base

    return base


@pytest.fixture(scope="session")
def tlplug_rows() -> Callable[..., list[dict[str, Any]] | None]:
    """A function: columns, count -> rows with these columns, which a tiny model can learn."""
    from tlplug.testing.sample_rows import rows_for

    return rows_for
