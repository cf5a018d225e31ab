"""Split the arguments of a sweep into its own settings and the overrides of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override

from tlplug.config.choices import SWEEP_GROUPS
from tlplug.config.compose import RUN_DIR, Composer
from tlplug.config.job import on_schema, settings
from tlplug.config.overrides import group_of, normalised, parse
from tlplug.errors import UsageError
from tlplug.settings import LAUNCHERS, SWEEPS

ROOT = "multirun"
RESUME = "resume"


@dataclass(frozen=True)
class SweepWords:
    """The parts of a command line with `-m`."""

    sweep: Any
    """The settings of the search: SweepSettings or OptunaSettings."""
    launcher: Any
    """The settings of the launcher: LocalSettings, SlurmSettings or RaySettings."""
    run_dir: str | None
    """The folder of the sweep; None if the user named none."""
    own: tuple[str, ...]
    """The arguments for `sweep` and `launcher`."""
    runs: tuple[str, ...]
    """All other arguments except `run_dir`; those with several values span the jobs."""


def sweep_words(composer: Composer, words: Sequence[str]) -> SweepWords:
    """Split the arguments and check those of the sweep; those of the runs are checked with each run.

    Raises:
        UsageError: a key of the sweep does not exist, has the wrong type or has several values.
    """
    found = parse([normalised(word) for word in words])
    own = [override for override in found if is_own(override)]
    composed = composer.compose_own(ROOT, own)
    name, place = composed.sweep, composed.launcher
    runs = tuple(o.input_line for o in found if not is_own(o) and o.key_or_group != RUN_DIR)
    refuse_resume(found)
    return SweepWords(
        sweep=settings(on_schema(SWEEPS[name.name], name)),
        launcher=settings(on_schema(LAUNCHERS[place.name], place)),
        run_dir=composer.run_dir(words),
        own=tuple(override.input_line for override in own),
        runs=runs,
    )


def is_own(override: Override) -> bool:
    return group_of(override).partition(".")[0] in SWEEP_GROUPS


def refuse_resume(overrides: Sequence[Override]) -> None:
    for override in overrides:
        if override.key_or_group == RESUME:
            raise UsageError(
                f"'{override.input_line}' is of a single run; a sweep goes on with sweep.resume=true"
            )
