"""A pytest plugin with the kit's fixtures, and the marker `slow` for checks that start processes.

pytest imports this file wherever tlplug is installed, so nothing heavy is imported before a fixture is used.
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
    """Mark each test of a slow check as slow."""
    for item in items:
        parameters: Iterable[Any] = getattr(getattr(item, "callspec", None), "params", {}).values()
        if any(isinstance(value, Check) and value.slow for value in parameters):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def tlplug_base() -> Callable[..., BaseInfo]:
    """Return a function of a kind (`encoder`, `decoder`, `encoder-decoder`) that returns a tiny base model."""
    from tlplug.testing.tiny_models import base

    return base


@pytest.fixture(scope="session")
def tlplug_rows() -> Callable[..., list[dict[str, Any]] | None]:
    """Return a function of columns and a count that returns rows which a tiny model can learn."""
    from tlplug.testing.sample_rows import rows_for

    return rows_for
