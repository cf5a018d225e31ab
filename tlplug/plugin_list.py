"""`python -m tlplug plugins list`: every plugin, where it comes from, and why one cannot be loaded."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tlplug.errors import PluginError
from tlplug.registry import DISABLE, Plugin, Registry, disabled


def show_plugins(registry: Registry, console: Console) -> None:
    """A row a plugin; it is imported for its description, and one that fails does not stop the list."""
    table = Table()
    for name in ("kind", "name", "from", "what it is"):
        table.add_column(name, overflow="fold", no_wrap=name in ("kind", "name"))
    for plugin in registry.plugins:
        origin = f"{plugin.distribution} {plugin.version}"
        table.add_row(plugin.kind, escape(plugin.name), escape(origin), described(plugin))
    console.print(table)
    if disabled():
        console.print(f"{DISABLE} is set: plugins of other distributions are not loaded.", markup=False)


def described(plugin: Plugin) -> str:
    try:
        return escape(plugin.description)
    except PluginError as error:
        return f"[red]cannot be loaded:[/red] {escape(str(error))}"
