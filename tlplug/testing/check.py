"""What a check is, how a table of them is run, and what is told of it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import SkipTest

Case = TypeVar("Case")


def once(make: Callable[..., Case]) -> Callable[..., Case]:
    """`make(plugin, **given)`, which is called again where plugin or fields are others than the last time."""
    return CachedCase(make)


class CachedCase:
    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.asked: tuple[Any, ...] | None = None
        self.found: Any = None

    def __call__(self, plugin: type, **given: Any) -> Any:
        if self.asked != (plugin, given):
            self.found = self.make(plugin, **given)
            self.asked = (plugin, given)
        return self.found


PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class CheckFailure(AssertionError):
    """What is wrong with a plugin and what to do, in a sentence or two."""


class CheckSkipped(SkipTest):
    """Why a check has nothing to say of this plugin; pytest shows it as skipped."""


@dataclass(frozen=True)
class Check:
    """One thing that a sound plugin does."""

    run: Callable[[Any], None]
    """case -> nothing, or `CheckFailure`, or `CheckSkipped`; its name is the check's."""
    finds: str
    """What it finds, for a person."""
    case: Callable[..., Any]
    """(plugin, **given) -> what the check is run on."""
    slow: bool = False
    """Whether it starts processes."""
    stops: bool = False
    """Whether nothing after it can be checked where it fails."""
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    """What it is run in."""

    @property
    def name(self) -> str:
        return self.run.__name__

    def __str__(self) -> str:
        return self.name

    def __call__(self, plugin: type, **given: Any) -> None:
        """Run it alone.

        Raises:
            CheckFailure: the plugin does not pass.
        """
        result = judged(self, plugin, lambda: self.case(plugin, **given))
        if result.outcome == FAILED:
            raise CheckFailure(f"{plugin.__name__}: {result}")
        if result.outcome == SKIPPED:
            raise CheckSkipped(result.told)


def table(
    finds: Mapping[Callable[[Any], None], str],
    make: Callable[..., Any],
    *,
    stops: Set[Callable[[Any], None]],
    slow: Set[Callable[[Any], None]] = frozenset(),
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Check, ...]:
    """Checks that share what `make` makes of a plugin, in order."""
    case = once(make)
    return tuple(Check(run, told, case, run in slow, run in stops, around) for run, told in finds.items())


@dataclass(frozen=True)
class Result:
    """What a check found."""

    check: Check
    outcome: str
    """`passed`, `failed`, `skipped`."""
    told: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.told}" if self.told else str(self.check)


def results(checks: Iterable[Check], plugin: type, **given: Any) -> Iterator[Result]:
    """One result a check, as they come; where one fails that the others build on, it is the last."""
    for check in checks:
        found = judged(check, plugin, lambda check=check: check.case(plugin, **given))  # type: ignore[misc]
        yield found
        if check.stops and found.outcome == FAILED:
            return


def judged(check: Check, plugin: type, case: Callable[[], Any]) -> Result:
    try:
        with check.around():
            check.run(case())
    except CheckSkipped as reason:
        return Result(check, SKIPPED, str(reason))
    except CheckFailure as fault:
        return Result(check, FAILED, str(fault))
    except Exception as error:
        return Result(check, FAILED, f"it raised {type(error).__name__}: {error} ({place(error, plugin)})")
    return Result(check, PASSED)


def place(error: BaseException, plugin: type) -> str:
    """Where the error comes from: the last line of the plugin's own file that took part, else the very last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == inspect.getfile(plugin)]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}, in {last.name}"


def require_all(checks: Sequence[Check], plugin: type, **given: Any) -> None:
    """Run the whole table.

    Raises:
        AssertionError: lists every check that failed, with what is wrong and what to do.
    """
    found = list(results(checks, plugin, **given))
    failed = [result for result in found if result.outcome == FAILED]
    if not failed:
        return
    lines = [f"{plugin.__name__} fails {len(failed)} of {len(checks)} checks:"]
    lines += [f"  {result}" for result in failed]
    if len(found) < len(checks):
        lines.append(f"  The other {len(checks) - len(found)} checks need this one first.")
    raise AssertionError("\n".join(lines))


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Names for a sentence: the first few, and how many more."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
