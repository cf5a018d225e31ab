"""What a check is, how a table of them is run, and what is told of it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import SkipTest


class CachedCase:
    """`make(plugin, **given)`, which is called again where plugin or fields are others than the last time."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.asked: tuple[Any, ...] | None = None
        self.found: Any = None
        self.failed: set[str] = set()
        """Names of the checks that this plugin has failed."""

    def __call__(self, plugin: type, **given: Any) -> Any:
        if self.asked != (plugin, given):
            self.failed = set()
            self.found = self.make(plugin, **given)
            self.asked = (plugin, given)
        return self.found

    def failures(self, plugin: type, **given: Any) -> set[str]:
        """Return the names of the checks that the plugin has failed with these fields."""
        return self.failed if self.asked == (plugin, given) else set()


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
    case: CachedCase
    """(plugin, **given) -> what the check is run on."""
    slow: bool = False
    """Whether it starts processes."""
    needs: Set[str] = frozenset()
    """Names of the checks before it that have to pass: where one fails, it is skipped."""
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
            CheckSkipped: the check does not apply, or needs one that has failed in this process.
        """
        if failed := self.needs & self.case.failures(plugin, **given):
            raise CheckSkipped(f"it needs {join_names(failed)}, which failed")
        result = judged(self, plugin, **given)
        self.case.failed.discard(self.name)
        if result.outcome == FAILED:
            self.case.failed.add(self.name)
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
    """Make checks, in order, that share what `make` makes of a plugin; all that follow one of `stops` need it."""
    case, order = CachedCase(make), list(finds)
    needs = [
        frozenset(check.__name__ for check in order[:place] if check in stops) for place in range(len(order))
    ]
    return tuple(
        Check(run, finds[run], case, slow=run in slow, needs=needed, around=around)
        for run, needed in zip(order, needs, strict=True)
    )


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
    failed: set[str] = set()
    for check in checks:
        if check.needs & failed:
            return
        result = judged(check, plugin, **given)
        if result.outcome == FAILED:
            failed.add(check.name)
        yield result


def judged(check: Check, plugin: type, **given: Any) -> Result:
    try:
        with check.around():
            check.run(check.case(plugin, **given))
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
