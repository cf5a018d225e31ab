"""Create a distribution with one plugin and its tests (`python -m tlplug plugins new NAME`)."""

from __future__ import annotations

import keyword
import shutil
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from tlplug.errors import UsageError
from tlplug.interfaces.registry import GROUPS, Registry

FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "readme.txt",
    "{name}.py": "{kind}.txt",
    "tests/test_{name}.py": "test_{kind}.txt",
}
"""File -> its template."""


def create(name: str, kind: str, folder: Path, registry: Registry) -> Path:
    """Write the distribution to a new folder, and return the folder.

    Raises:
        UsageError: the name is not usable, or the folder exists or cannot be written; nothing has been written.
    """
    if problem := name_problem(name, kind, registry):
        raise UsageError(f"plugins new {name}: {problem}")
    if folder.exists():
        raise UsageError(f"plugins new {name}: {folder} is there already; name another by --out FOLDER")
    words = {
        "name": name,
        "distribution": name.replace("_", "-"),
        "title": "".join(part.capitalize() for part in name.split("_")),
        "kind": kind,
        "group": GROUPS[kind],
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"plugins new {name}: {folder} cannot be written: {error.strerror}") from error
    write(folder, words)
    return folder


def name_problem(name: str, kind: str, registry: Registry) -> str | None:
    """Return why a plugin cannot have this name; None if it can."""
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or name.startswith("_"):
        return "a name is of small letters, digits and _, such as my_plugin"
    if name in registry.names(kind):
        return f"there is a {kind} of that name already, {registry.find(kind, name)}"
    if find_spec(name) is not None:
        return f"there is a Python module {name} already, which the plugin's would hide"
    return None


def write(folder: Path, words: Mapping[str, str]) -> None:
    """Write all files to a temporary folder and rename it; on an error nothing remains."""
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, template in FILES.items():
            file = beside / name.format(**words)
            file.parent.mkdir(exist_ok=True)
            text = (files(__package__) / "templates" / template.format(**words)).read_text(encoding="utf-8")
            file.write_text(Template(text).substitute(words), encoding="utf-8")
        beside.chmod(0o755)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
