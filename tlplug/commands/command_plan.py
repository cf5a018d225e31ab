"""Turn the command line of `compare` or `rank` into its settings and a checked job for each strategy or base model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from tlplug.config.choices import GROUPS, root_key
from tlplug.config.compose import ROOT_KEYS, RUN_DIR, Composer
from tlplug.config.job import Job, build, plain
from tlplug.config.overrides import group_of, normalised, parse
from tlplug.errors import UsageError, no_such


@dataclass(frozen=True)
class Command:
    """A command that builds a job for each of several strategies or base models."""

    name: str
    """The name of the command, also the prefix of its settings: `compare.seeds`."""
    settings: type
    item: str
    """The config group in which the jobs differ: `strategy`."""
    items: str
    """The setting that names the choices: `strategies`."""
    fewest: int
    """The smallest number of items that the command accepts."""
    errors_title: str
    """The line above the errors of single items."""
    not_here: Mapping[str, str]
    """Keys of a run that this command does not accept -> what to type instead. `metric.` also has the keys below it."""
    left_out: frozenset[str]
    """Keys of a run that the config.yaml of this command does not contain."""

    def split_words(self, words: Sequence[str]) -> tuple[list[Override], list[str]]:
        """Split the command line into the command's own settings and the arguments that all jobs share.

        Raises:
            UsageError: a key does not exist, or the command does not accept it.
        """
        own: list[Override] = []
        shared: list[str] = []
        names = {field.name for field in fields(self.settings)}
        known = {*names, *GROUPS, *ROOT_KEYS} - {key.rstrip(".") for key in self.not_here}
        for word in words:
            override = parse([normalised(word)])[0]
            key = group_of(override).removeprefix(f"{self.name}.")
            first = key.partition(".")[0]
            self._expect_meaning(key, word)
            if key in names:
                own.append(override)
            elif first in (*GROUPS, *ROOT_KEYS):
                shared.append(word)
            else:
                raise UsageError(f"'{word}': {no_such('key or group', first, known)}")
        return own, shared

    def _expect_meaning(self, key: str, word: str) -> None:
        for other, message in self.not_here.items():
            if key == other or (other.endswith(".") and f"{key}.".startswith(other)):
                raise UsageError(f"'{word}': {message}")

    def build_jobs(self, composer: Composer, lines: Mapping[str, Sequence[str]]) -> dict[str, Job]:
        """Build a job for each item from its arguments.

        Raises:
            UsageError: items are invalid; the message has the errors of all of them.
        """
        jobs: dict[str, Job] = {}
        errors: dict[str, str] = {}
        for name, words in lines.items():
            try:
                jobs[name] = build(composer.compose(words))
            except UsageError as error:
                errors[name] = str(error)
        self.raise_errors(errors, list(lines))
        return jobs

    def raise_errors(self, errors: Mapping[str, str], names: Sequence[str]) -> None:
        """Raise one error for all items if there are any errors; a message that holds for every item appears once."""
        by_message: dict[str, list[str]] = {}
        for name, message in errors.items():
            by_message.setdefault(message, []).append(name)
        if not errors:
            return
        if len(errors) == len(names) and len(by_message) == 1:
            raise UsageError(next(iter(by_message)))
        lines = [f"  {', '.join(failed)}: {message}" for message, failed in by_message.items()]
        others = [name for name in names if name not in errors]
        if len(others) >= self.fewest:
            lines.append(f"The others: {self.items}=[{','.join(others)}]")
        raise UsageError("\n".join([self.errors_title, *lines]))


@dataclass(frozen=True)
class CommandPlan:
    """The settings and jobs of a command."""

    command: ClassVar[Command]

    settings: Any
    jobs: Mapping[str, Job]
    """Strategy or base model, as the user typed it -> its job, in the order in which they run."""
    shared: Sequence[str]
    """The arguments that all jobs share, as the user typed them."""

    @property
    def first(self) -> Job:
        """The first job; the others differ from it in the command's item alone."""
        return next(iter(self.jobs.values()))

    def command_line(self, strategy: str, words: Sequence[str]) -> str:
        """Return the command line that trains one strategy with the shared arguments and `words`."""
        shared = [word for word in self.shared if root_key(word) not in (RUN_DIR, "metric")]
        return "python -m tlplug " + shlex.join([f"+strategy={strategy}", *shared, *words])

    def config(self) -> str:
        """Return the text of config.yaml: the command's settings, each job's own node, and what the jobs share."""
        command = self.command
        config = {
            command.name: plain(OmegaConf.structured(self.settings)),
            command.items: {name: job.config[command.item] for name, job in self.jobs.items()},
            **{key: node for key, node in self.first.config.items() if key not in command.left_out},
        }
        return str(OmegaConf.to_yaml(OmegaConf.create(config)))
