"""Define checks, run a table of them and report the results."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest import SkipTest


class CachedCase:
    """The case of the last plugin and options; `make(plugin, **options)` is called again if they change."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.arguments: tuple[Any, ...] | None = None
        self.case: Any = None
        self.failed: set[str] = set()
        """The names of the checks that this plugin has failed."""

    def __call__(self, plugin: type, **options: Any) -> Any:
        if self.arguments != (plugin, options):
            self.failed = set()
            self.case = self.make(plugin, **options)
            self.arguments = (plugin, options)
        return self.case

    def failures(self, plugin: type, **options: Any) -> set[str]:
        """Return the names of the checks that the plugin has failed with these fields."""
        return self.failed if self.arguments == (plugin, options) else set()


PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


class CheckFailure(AssertionError):
    """An error in a plugin, with its remedy."""


class CheckSkipped(SkipTest):
    """The reason why a check does not apply to a plugin; pytest shows it as skipped."""


@dataclass(frozen=True)
class Check:
    """A property that a correct plugin has."""

    run: Callable[[Any], None]
    """A function of the case that may raise `CheckFailure` or `CheckSkipped`; its name is the check's."""
    case: CachedCase
    """Makes the case for the check from the plugin and options."""
    slow: bool = False
    """Whether the check starts processes."""
    needs: Set[str] = frozenset()
    """The names of earlier checks that have to pass; if one fails, this check is skipped."""
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    """The context in which the check runs."""

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def description(self) -> str:
        """The property, as a sentence without its first words "Check that"."""
        return (self.run.__doc__ or "").partition("\n")[0].removeprefix("Check that ").removesuffix(".")

    def __str__(self) -> str:
        return self.name

    def __call__(self, plugin: type, **options: Any) -> None:
        """Run only this check.

        Raises:
            CheckFailure: the plugin does not pass.
            CheckSkipped: the check does not apply, or needs a check that has failed in this process.
        """
        if failed := self.needs & self.case.failures(plugin, **options):
            raise CheckSkipped(f"requires {join_names(failed)}, which failed")
        result = run_check(self, plugin, **options)
        self.case.failed.discard(self.name)
        if result.outcome == FAILED:
            self.case.failed.add(self.name)
            raise CheckFailure(f"{plugin.__name__}: {result}")
        if result.outcome == SKIPPED:
            raise CheckSkipped(result.message)


def checks_in(*modules: ModuleType) -> list[Callable[[Any], None]]:
    """Return the public functions that the modules define, in their order; each is a check."""
    return [
        value
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    ]


def build_checks(
    functions: Sequence[Callable[[Any], None]],
    make: Callable[..., Any],
    *,
    required: Set[Callable[[Any], None]],
    slow: Set[Callable[[Any], None]] = frozenset(),
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> tuple[Check, ...]:
    """Build checks, in order, that share the case from `make`; all checks after a required one need it to pass."""
    case, checks = CachedCase(make), []
    needs: frozenset[str] = frozenset()
    for run in functions:
        checks.append(Check(run, case, slow=run in slow, needs=needs, around=around))
        if run in required:
            needs |= {run.__name__}
    return tuple(checks)


@dataclass(frozen=True)
class Result:
    """The result of a check."""

    check: Check
    outcome: str
    """`passed`, `failed`, `skipped`."""
    message: str = ""

    def __str__(self) -> str:
        return f"{self.check}: {self.message}" if self.message else str(self.check)


def results(checks: Iterable[Check], plugin: type, **options: Any) -> Iterator[Result]:
    """Yield the result of each check; end after a failure of a check that the rest need."""
    failed: set[str] = set()
    for check in checks:
        if check.needs & failed:
            return
        result = run_check(check, plugin, **options)
        if result.outcome == FAILED:
            failed.add(check.name)
        yield result


def run_check(check: Check, plugin: type, **options: Any) -> Result:
    try:
        with check.around():
            check.run(check.case(plugin, **options))
    except CheckSkipped as reason:
        return Result(check, SKIPPED, str(reason))
    except CheckFailure as fault:
        return Result(check, FAILED, str(fault))
    except Exception as error:
        return Result(
            check, FAILED, f"raises {type(error).__name__}: {error} ({locate_error(error, plugin)})"
        )
    return Result(check, PASSED)


def locate_error(error: BaseException, plugin: type) -> str:
    """Return the location of the last frame in the plugin's own file, or else of the last frame."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == inspect.getfile(plugin)]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}, in {last.name}"


def require_all(checks: Sequence[Check], plugin: type, **options: Any) -> None:
    """Run all checks.

    Raises:
        AssertionError: lists every check that failed, with the error and its remedy.
    """
    outcomes = list(results(checks, plugin, **options))
    failed = [result for result in outcomes if result.outcome == FAILED]
    if not failed:
        return
    lines = [f"{plugin.__name__} fails {len(failed)} of {len(checks)} checks:"]
    lines += [f"  {result}" for result in failed]
    if len(outcomes) < len(checks):
        lines.append(
            f"  The other {len(checks) - len(outcomes)} checks were not run, because they require this one."
        )
    raise AssertionError("\n".join(lines))


def join_names(names: Iterable[str], most: int = 3) -> str:
    """Join the first few names for a sentence, with the number of further ones."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def require_importable(plugin: type) -> str:
    """Return the plugin's module.

    Raises:
        CheckSkipped: another process cannot import it.
    """
    if plugin.__module__ == "__main__" or "<locals>" in plugin.__qualname__:
        raise CheckSkipped(
            f"another process cannot import {plugin.__qualname__}, which is defined in a script or a function"
        )
    return plugin.__module__
