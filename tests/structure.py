"""Measure the structure of `tlplug/`: wings, files, lines, imports between wings, circles.

python -m tests.structure
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE, PLUGINS = ROOT / "tlplug", ROOT / "plugins"
ARCHITECTURE = ROOT / "docs" / "architecture.md"


def files(folder: Path) -> list[Path]:
    """Return the Python files below a folder."""
    return sorted(folder.rglob("*.py"))


@cache
def imported(path: Path, top_level_only: bool = False) -> tuple[str, ...]:
    """Return the dotted names that a file imports; a name that is imported from `tlplug...` counts with its module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: list[str] = []
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative import")
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def wing(path: Path) -> str:
    """Return the wing, or the top file, that a file of the core belongs to."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def module_file(name: str) -> Path | None:
    """Return the file of the core that `from MODULE import NAME`, written as MODULE.NAME, reads; None for others."""
    parts = name.split(".")
    if parts[0] != "tlplug":
        return None
    for length in (len(parts), len(parts) - 1):
        base = CORE.joinpath(*parts[1:length])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if length and path.is_file():
                return path
    return None


def graph() -> dict[Path, set[Path]]:
    """Return each file of the core with the files of the core that it imports, anywhere in it."""
    return {
        path: {found for name in imported(path) if (found := module_file(name)) not in (None, path)}
        for path in files(CORE)
    }


def allowed() -> dict[str, set[str]]:
    """Return each wing with those it may import, from the table of docs/architecture.md."""
    rows = re.findall(
        r"^\| (`[^|]+`) \| [^|]+ \| ([^|]+) \|$", ARCHITECTURE.read_text(encoding="utf-8"), re.M
    )
    return {
        name: set(re.findall(r"`(\w+)`", may))
        for names, may in rows
        for name in re.findall(r"`(\w+)`", names)
    }


def arrows(edges: Mapping[Path, set[Path]]) -> set[tuple[str, str]]:
    """Return the pairs of wings of which the first imports the second."""
    return {
        (wing(path), wing(other))
        for path, others in edges.items()
        for other in others
        if wing(path) != wing(other) and path.name != "__main__.py"
    }


def circle(edges: Mapping[Path, set[Path]]) -> list[Path]:
    """Return the files of one circle of imports, the first of them again at the end; none where there is no circle."""
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def report() -> Iterator[str]:
    """Yield a line for each wing, then the sums."""
    edges = graph()
    paths = list(edges)
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    for name in sorted({wing(path) for path in paths}):
        own = [path for path in paths if wing(path) == name]
        yield f"{name:<12} {len(own):>4} files {sum(lines[path] for path in own):>7} lines"
    yield f"{'sum':<12} {len(paths):>4} files {sum(lines.values()):>7} lines"
    yield f"imports between wings: {len(arrows(edges))}"
    found = circle(edges)
    yield "circle of files: " + (" -> ".join(str(path.relative_to(CORE)) for path in found) or "none")


if __name__ == "__main__":
    print("\n".join(report()))
