"""What is made for one check serves the next of the same plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Case = TypeVar("Case")


def once(make: Callable[..., Case]) -> Callable[..., Case]:
    """`make(plugin, **given)`, which is called again where plugin or fields are others than the last time."""
    return Last(make)


class Last:
    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.asked: tuple[Any, ...] | None = None
        self.found: Any = None

    def __call__(self, plugin: type, **given: Any) -> Any:
        if self.asked != (plugin, given):
            self.found = self.make(plugin, **given)
            self.asked = (plugin, given)
        return self.found
