"""List, check and create plugins: the commands `plugins list`, `check`, `new` and `compatibility`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tlplug.commands.arguments import Parser
from tlplug.errors import PluginError, UsageError, did_you_mean
from tlplug.interfaces.registry import DISABLE, KINDS, Plugin, Registry, is_restricted, no_such_choice

if TYPE_CHECKING:
    from tlplug.testing import Check


HELP = """\
usage: python -m tlplug plugins COMMAND ...

List, check and create plugins.

commands:
  list                       every plugin, its package, and why one cannot be loaded
  check NAME                 run the conformance kit on a plugin, a line for each check
  new NAME --kind KIND       write a package with one plugin, whose tests pass
  compatibility              which strategy fits which head on which kind of base model

`python -m tlplug plugins COMMAND --help` shows the words of one.

example:
  python -m tlplug plugins new my_method --kind strategy"""


def plugins(words: Sequence[str]) -> int:
    """`plugins list`, `plugins check NAME`, `plugins new NAME --kind KIND`, `plugins compatibility`."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "list": listed,
        "check": check,
        "new": new,
        "compatibility": compatibility,
    }
    if not words or words[0] in ("-h", "--help"):
        print(HELP)
        return 0
    if words[0] not in commands:
        raise UsageError(
            f"there is no command 'plugins {words[0]}'.{did_you_mean(words[0], commands)} "
            "There is: plugins list, plugins check NAME, plugins new NAME, plugins compatibility"
        )
    return commands[words[0]](words[1:])


def listed(words: Sequence[str]) -> int:
    Parser("plugins list", "List every plugin, its package, and why one cannot be loaded.", "").parse(words)
    show_plugins(Registry(), Console())
    return 0


def compatibility(words: Sequence[str]) -> int:
    about = "Show which strategy fits which head on which kind of base model, as Markdown."
    Parser("plugins compatibility", about, "> compatibility.md").parse(words)
    from tlplug.commands.plugins.compatibility_table import cells, page

    print(page(list(cells(Registry()))), end="")
    return 0


def new(words: Sequence[str]) -> int:
    """`plugins new NAME --kind KIND [--out FOLDER]`."""
    about = "Write a package with one plugin, whose own tests pass as written."
    options = Parser("plugins new", about, "my_method --kind strategy")
    options.add_argument("name", metavar="NAME", help="what a user types; also the Python module's name")
    options.add_argument("--kind", choices=list(KINDS), required=True)
    options.add_argument("--out", type=Path, metavar="FOLDER", help="where it is written; default: ./NAME")
    given = options.parse(words)
    from tlplug.commands.plugins.scaffold import create

    folder = create(given.name, given.kind, given.out or Path(given.name), Registry())
    steps = (f"cd {folder}", "pip install -e '.[dev]'", "pytest", f"tlplug plugins check {given.name}")
    print(f"{folder}/ holds the {given.kind} {given.name!r}. Next:", *steps, sep="\n  ")
    return 0


def check(words: Sequence[str]) -> int:
    """`plugins check NAME [field=value ...] [--kind KIND] [--rows FILE] [--fast]`."""
    about = "Check a strategy, a head or a metric on tiny models made on the spot."
    options = Parser("plugins check", about, "lora r=4 --fast")
    options.add_argument("name", metavar="NAME", help="of an installed plugin, or package.module.Class")
    options.add_argument("fields", metavar="field=value", nargs="*", help="fields of the plugin's Config")
    options.add_argument("--kind", choices=list(KINDS), help="where plugins of two kinds have the name")
    options.add_argument("--rows", metavar="FILE", help="JSON Lines with a head's columns, eight or more")
    options.add_argument("--fast", action="store_true", help="leave out what starts processes")
    given = options.parse(words)
    plugin = found(given.name, given.kind, Registry())
    cls = imported(plugin)
    settings = fields_of(cls, given.fields)
    if given.rows is not None:
        if plugin.kind != "head":
            raise UsageError(f"--rows are for a head; {given.name!r} is a {plugin.kind}")
        settings["rows"] = rows_of(Path(given.rows))

    checks = [each for each in checks_of(plugin.kind) if not (given.fast and each.slow)]
    return show_checks(plugin, cls, checks, settings, Console())


def found(name: str, kind: str | None, registry: Registry) -> Plugin:
    """The plugin of that name or dotted path."""
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
    """A class that is not installed, of the kind that it is derived from."""
    plugin = registry.find(kinds[0], name)
    cls = imported(plugin)
    for kind in kinds:
        if isinstance(cls, type) and issubclass(cls, KINDS[kind]):
            return registry.find(kind, name)
    names = ", ".join(f"tlplug.{KINDS[kind].__name__}" for kind in kinds)
    raise PluginError(f"{name} is {cls!r}, which is derived from none of {names}")


def imported(plugin: Plugin) -> type[Any]:
    """The class, whatever is wrong with it: that is told by the checks."""
    try:
        return plugin.entry_point.load()  # type: ignore[no-any-return]
    except Exception as error:
        raise PluginError(f"{plugin.name} cannot be imported: {type(error).__name__}: {error}") from error


def fields_of(cls: type[Any], words: Sequence[str]) -> dict[str, Any]:
    """`rank=4` as the type of the Config's field."""
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
    """A line a check, as they are done; 1 where one failed."""
    from rich.markup import escape

    from tlplug.testing.check import FAILED, PASSED, SKIPPED, results

    marks = {PASSED: "[green]✓[/green]", FAILED: "[red]✗[/red]", SKIPPED: "[dim]-[/dim]"}
    console.print(f"{plugin.kind} {plugin.name}, {len(checks)} checks")
    told = []
    for result in results(checks, cls, **settings):
        told.append(result)
        words = str(result.check).replace("_", " ")
        why = "" if result.outcome == PASSED else f": {result.told}"
        console.print(f"{marks[result.outcome]} {words}{escape(why)}", highlight=False, soft_wrap=True)
    failed = sum(result.outcome == FAILED for result in told)
    skipped = sum(result.outcome == SKIPPED for result in told)
    left = f"; the other {len(checks) - len(told)} need it first" if len(told) < len(checks) else ""
    said = f"fails {failed} of {len(checks)} checks{left}" if failed else "passes all of them that apply"
    console.print(f"{plugin.name} {said}" + (f" ({skipped} do not apply)" if skipped else ""))
    return 1 if failed else 0


def show_plugins(registry: Registry, console: Console) -> None:
    """A row a plugin; it is imported for its description, and one that fails does not stop the list."""
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
    try:
        return escape(plugin.description)
    except PluginError as error:
        return f"[red]cannot be loaded:[/red] {escape(str(error))}"
