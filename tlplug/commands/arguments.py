"""Define the arguments, flags and help layout that commands share, and complete key=value in a shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from tlplug.config.choices import GROUPS, SWEEP_GROUPS, Choices, root_key
from tlplug.interfaces.registry import KINDS, Registry
from tlplug.settings import RootConfig

HELP_FLAGS = ["-h", "--help"]
SETTINGS = {"help_option_names": HELP_FLAGS, "max_content_width": 100}


class Command(click.Command):
    """A command whose help ends with its own keys and an example.

    Args:
        example: arguments of an example, without the command's name.
        keys: keys that only this command has -> their descriptions.
    """

    def __init__(
        self, name: str | None, example: str = "", keys: Mapping[str, str] | None = None, **others: Any
    ):
        super().__init__(name, **others)
        self.context_settings = SETTINGS
        self.example = example
        self.keys = dict(keys or {})

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.keys:
            with formatter.section("Keys"):
                formatter.write_dl(list(self.keys.items()))
        with formatter.section("Example"):
            formatter.write(f"  {ctx.command_path} {self.example}".rstrip() + "\n")


class Override(click.ParamType):  # type: ignore[type-arg]
    """An argument `key=value` that is passed to Hydra."""

    name = "key=value"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return complete_override(incomplete, ctx.params.get(param.name or "") or ())


def overrides(command: Any) -> Any:
    """Add the argument `keys`: any number of key=value arguments."""
    return click.argument("keys", metavar="[KEY=VALUE]...", nargs=-1, type=Override())(command)


def without_dashes(word: str) -> str:
    """Return `--seed=1` as `seed=1`, for programs that pass keys as flags, such as the agent of a W&B sweep."""
    bare = word.removeprefix("--")
    names = {*GROUPS, *SWEEP_GROUPS, *(field.name for field in fields(RootConfig))}
    return bare if "=" in bare and root_key(bare) in names else word


def run_argument(command: Any) -> Any:
    """Add the argument `run` and the flag `trust` of a command on a run directory."""
    trust = click.option(
        "--trust", is_flag=True, help="Import classes that the run names by their dotted path."
    )
    return click.argument("run", type=click.Path(path_type=Path))(trust(command))


def output_folder(help: str) -> Callable[[Any], Any]:
    """Add the option `--output`."""
    return click.option("--output", metavar="FOLDER", type=click.Path(path_type=Path), help=help)


def complete_override(incomplete: str, words: Sequence[str]) -> list[CompletionItem]:
    """Return the completions of an argument: groups and keys up to `=`, then the choices of the group.

    Args:
        words: the arguments before it; a strategy or head among them adds its fields.
    """
    key, sign, value = incomplete.partition("=")
    bare = key.lstrip("+")
    signs = key[: len(key) - len(bare)]
    if sign:
        return [CompletionItem(f"{key}={each}") for each in complete_choice(bare, value)]
    return [CompletionItem(f"{signs}{name}=") for name in key_names(words) if name.startswith(bare)]


def complete_choice(group: str, value: str) -> Iterator[str]:
    """Yield the completions of a value with the choices of its group; items of a list before it are preserved."""
    if group in (*GROUPS, *SWEEP_GROUPS):
        cut = max(value.rfind(","), value.rfind("[")) + 1
        for name in Choices().names(group):
            if name.startswith(value[cut:]):
                yield value[:cut] + name


def key_names(words: Sequence[str]) -> list[str]:
    """Return the names of groups and settings, and of the fields of plugins that `words` choose."""
    chosen = dict(word.lstrip("+").partition("=")[::2] for word in words)
    registry = Registry()
    names = [*GROUPS, *SWEEP_GROUPS, *setting_names(RootConfig())]
    for kind in ("strategy", "head"):
        if chosen.get(kind) in registry.names(kind):
            config: Any = registry.find(kind, chosen[kind]).load()
            names += [f"{kind}.{field.name}" for field in fields(config.Config)]
    return sorted(dict.fromkeys(names))


def setting_names(settings: Any, above: str = "") -> Iterator[str]:
    """Yield the dotted name of each setting, except those that plugins define."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from setting_names(value, f"{above}{field.name}.")
        elif above or field.name not in (*KINDS, "task", "logger"):
            yield above + field.name
