"""Define the commands `plugins list`, `check`, `new` and `compatibility`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tlplug.commands.arguments import HELP_FLAGS, Command
from tlplug.errors import PluginError, UsageError
from tlplug.interfaces.registry import DISABLE, KINDS, Plugin, Registry, is_restricted, no_such_choice

if TYPE_CHECKING:
    from rich.console import Console

    from tlplug.testing import Check


@click.group(
    context_settings={"help_option_names": HELP_FLAGS}, no_args_is_help=False, invoke_without_command=True
)
@click.pass_context
def plugins(ctx: click.Context) -> None:
    """List, check and create plugins."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@plugins.command("list", cls=Command)
def list_plugins() -> int:
    """List all plugins with their packages, and why one cannot be loaded."""
    from rich.console import Console

    show_plugins(Registry(), Console())
    return 0


@plugins.command(cls=Command, example="> compatibility.md")
def compatibility() -> int:
    """Show which strategies work with which heads and base models.

    The table is written as Markdown."""
    from tlplug.commands.plugins.compatibility_table import cells, page

    print(page(list(cells(Registry()))), end="")
    return 0


@plugins.command(cls=Command, example="my_method --kind strategy")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True)
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path), help="Where it is written; default: ./NAME."
)
def new(name: str, kind: str, out: Path | None) -> int:
    """Write a package with one plugin and its tests.

    NAME is what a user types, and the name of the Python module.
    """
    from tlplug.commands.plugins.scaffold import create

    folder = create(name, kind, out or Path(name), Registry())
    steps = (f"cd {folder}", "pip install -e '.[dev]'", "pytest", f"tlplug plugins check {name}")
    print(f"{folder}/ holds the {kind} {name!r}. Next:", *steps, sep="\n  ")
    return 0


@plugins.command(cls=Command, example="lora r=4 --fast")
@click.argument("name")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@click.option("--kind", type=click.Choice(list(KINDS)), help="Where plugins of two kinds have the name.")
@click.option("--rows", metavar="FILE", help="JSON Lines with a head's columns, eight or more.")
@click.option("--fast", is_flag=True, help="Leave out what starts processes.")
def check(name: str, fields: tuple[str, ...], kind: str | None, rows: str | None, fast: bool) -> int:
    """Run the conformance checks on a plugin.

    Tiny models are made on the spot. NAME is that of an installed plugin, or package.module.Class; FIELD=VALUE sets a
    field of its Config.
    """
    plugin = found(name, kind, Registry())
    cls = imported(plugin)
    settings = fields_of(cls, fields)
    if rows is not None:
        if plugin.kind != "head":
            raise UsageError(f"--rows are for a head; {name!r} is a {plugin.kind}")
        settings["rows"] = rows_of(Path(rows))
    checks = [each for each in checks_of(plugin.kind) if not (fast and each.slow)]
    from rich.console import Console

    return show_checks(plugin, cls, checks, settings, Console())


def found(name: str, kind: str | None, registry: Registry) -> Plugin:
    """Return the plugin with this name or dotted path.

    Raises:
        UsageError: there is no such plugin, or several kinds have one.
    """
    kinds = [kind] if kind else list(KINDS)
    having = [each for each in kinds if name in registry.names(each)]
    if len(having) > 1:
        raise UsageError(f"{name!r} is a {' and a '.join(having)}; say which one by --kind")
    if having:
        return registry.find(having[0], name)
    if "." in name:
        return dotted(name, kinds, registry)
    known = [each for some in kinds for each in registry.names(some)]
    raise UsageError(no_such_choice(kind or "plugin", name, known))


def dotted(name: str, kinds: Sequence[str], registry: Registry) -> Plugin:
    """Return the plugin of a class by its dotted path, with the kind of its base class.

    Raises:
        PluginError: the class cannot be imported, or has none of the base classes.
    """
    plugin = registry.find(kinds[0], name)
    cls = imported(plugin)
    for kind in kinds:
        if isinstance(cls, type) and issubclass(cls, KINDS[kind]):
            return registry.find(kind, name)
    names = ", ".join(f"tlplug.{KINDS[kind].__name__}" for kind in kinds)
    raise PluginError(f"{name} is {cls!r}, which is derived from none of {names}")


def imported(plugin: Plugin) -> type[Any]:
    """Import and return the class without validating it, as the checks do that."""
    try:
        return plugin.entry_point.load()  # type: ignore[no-any-return]
    except Exception as error:
        raise PluginError(f"{plugin.name} cannot be imported: {type(error).__name__}: {error}") from error


def fields_of(cls: type[Any], words: Sequence[str]) -> dict[str, Any]:
    """Return the fields set by FIELD=VALUE arguments, converted to the types of `cls.Config`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if not words:
        return {}
    try:
        asked = OmegaConf.from_dotlist(list(words))
        whole = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls.Config), asked))
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        raise UsageError(f"{' '.join(words)}: {str(error).splitlines()[0]}") from error
    return {str(name): getattr(whole, str(name)) for name in asked}


def rows_of(file: Path) -> list[dict[str, Any]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(f"--rows {file} cannot be read as JSON Lines: {error}") from error


def checks_of(kind: str) -> Sequence[Check]:
    from tlplug import testing

    made: dict[str, Callable[[], Sequence[Check]]] = {
        "strategy": testing.strategy_checks,
        "head": testing.head_checks,
        "metric": testing.metric_checks,
    }
    return made[kind]()


def show_checks(
    plugin: Plugin, cls: type[Any], checks: Sequence[Check], settings: dict[str, Any], console: Console
) -> int:
    """Run the checks and print a line for each; return 1 if one failed, else 0."""
    from rich.markup import escape

    from tlplug.testing.check import FAILED, PASSED, SKIPPED, results

    marks = {PASSED: "[green]✓[/green]", FAILED: "[red]✗[/red]", SKIPPED: "[dim]-[/dim]"}
    console.print(f"{plugin.kind} {plugin.name}, {len(checks)} checks")
    told = []
    for result in results(checks, cls, **settings):
        told.append(result)
        words = str(result.check).replace("_", " ")
        why = "" if result.outcome == PASSED else f": {result.message}"
        console.print(f"{marks[result.outcome]} {words}{escape(why)}", highlight=False, soft_wrap=True)
    failed = sum(result.outcome == FAILED for result in told)
    skipped = sum(result.outcome == SKIPPED for result in told)
    left = f"; the other {len(checks) - len(told)} need it first" if len(told) < len(checks) else ""
    said = f"fails {failed} of {len(checks)} checks{left}" if failed else "passes all of them that apply"
    console.print(f"{plugin.name} {said}" + (f" ({skipped} do not apply)" if skipped else ""))
    return 1 if failed else 0


def show_plugins(registry: Registry, console: Console) -> None:
    """Print a table of the plugins with their descriptions, or the error if a plugin cannot be loaded."""
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for name in ("kind", "name", "from", "what it is"):
        table.add_column(name, overflow="fold", no_wrap=name in ("kind", "name"))
    for plugin in registry.plugins:
        origin = f"{plugin.distribution} {plugin.version}"
        table.add_row(plugin.kind, escape(plugin.name), escape(origin), described(plugin))
    console.print(table)
    if is_restricted():
        console.print(f"{DISABLE} is set: plugins of other distributions are not loaded.", markup=False)


def described(plugin: Plugin) -> str:
    from rich.markup import escape

    try:
        return escape(plugin.description)
    except PluginError as error:
        return f"[red]cannot be loaded:[/red] {escape(str(error))}"
