"""Find what `data.path` names: a file, several, a folder of files, or a data set on the hub."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tlplug.data.messages import names, shown_path
from tlplug.data.readers.files_table import FilesTable
from tlplug.data.readers.formats import (
    SUFFIXES,
    folder_of,
    format_of,
    is_pattern,
    matching,
    stem_of,
    suffix_of,
)
from tlplug.data.readers.library import Table, is_saved, open_hub, open_saved
from tlplug.data.readers.text_table import TextTable
from tlplug.data.readers.typed_table import ArrowTable, ParquetTable, TypedTable
from tlplug.errors import UsageError, did_you_mean
from tlplug.runtime.files import refuse_address
from tlplug.settings import DataSettings

PACKAGE = "pkg://"

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Source:
    """The splits that `data.path` has by itself."""

    title: str
    folder: Path
    """What a file in `data.splits` is relative to."""
    tables: Mapping[str, Table]


def open_source(settings: DataSettings) -> Source:
    """Find what `data.path` names.

    Raises:
        UsageError: nothing is there, or it is not of a known format.
    """
    refuse_address("data.path", settings.path)
    path = Path(settings.path).expanduser()
    if settings.path.startswith(PACKAGE):
        path = _in_package(settings.path)
    elif is_hub_id(settings.path):
        return Source(settings.path, Path.cwd(), open_hub(settings))
    elif not (_exists(path) or is_pattern(path)):
        raise UsageError(f"data.path={settings.path}: {_not_there(path)}")
    if settings.streaming:
        raise UsageError(
            f"data.streaming=true: {shown_path(path)} is on this machine, and local files are read row by row "
            "anyway. Leave data.streaming out."
        )
    return _open_local(path)


def is_hub_id(path: str) -> bool:
    """Return whether `data.path` names a data set on the hub: it has that form, and no file or folder of the name exists."""
    return bool(_HUB_ID.fullmatch(path)) and not suffix_of(Path(path)) and not _exists(Path(path))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise UsageError(f"data.path={path}: {error.strerror}.") from error


def open_table(path: Path, key: str) -> Table:
    """Return the table in a file, or in all files that match a pattern; `key` is the setting that names it.

    Raises:
        UsageError: there is no such file, or its suffix is not known.
    """
    files = matching(path, key) if is_pattern(path) else [path]
    return FilesTable(shown_path(path), tuple(_open_file(file, key) for file in files))


def _open_file(path: Path, key: str) -> TextTable | TypedTable:
    if path.is_dir():
        raise UsageError(
            f"{key}: {shown_path(path)} is a folder, and a split is a file. "
            f"Name a file in it, or a pattern such as {shown_path(path / '*.jsonl')} for several."
        )
    if not path.is_file():
        raise UsageError(f"{key}: {_not_there(path)}")
    if not (form := format_of(path)):
        raise UsageError(
            f"{key}: {shown_path(path)} is not a data file; its name may end in {names(SUFFIXES)}."
        )
    return {".parquet": ParquetTable, ".arrow": ArrowTable}.get(form, TextTable)(path)


def _open_local(path: Path) -> Source:
    title = shown_path(path)
    if not path.is_dir():
        folder = folder_of(path) if is_pattern(path) else path.parent
        return Source(title, folder, {"train": open_table(path, "data.path")})
    if is_saved(path):
        return Source(title, path, open_saved(path))
    files = [file for file in sorted(path.iterdir()) if _is_data(file)]
    if not files:
        raise UsageError(
            f"data.path: the folder {title} has no train, validation or test file "
            f"({', '.join(SUFFIXES)}). It has: {names(sorted(file.name for file in path.iterdir()))}."
        )
    alike = Counter(map(stem_of, files))
    keys = {file: stem_of(file) if alike[stem_of(file)] == 1 else file.name for file in files}
    return Source(title, path, {keys[file]: open_table(file, "data.path") for file in files})


def _is_data(file: Path) -> bool:
    return file.is_file() and bool(suffix_of(file)) and not file.name.startswith(".")


def _in_package(address: str) -> Path:
    """Return the path at `pkg://package/folder`; the package is not imported."""
    package, _, inside = address.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    paths = [Path(root) / inside for root in (spec and spec.submodule_search_locations) or []]
    if not paths:
        raise UsageError(f"data.path={address}: no package '{package}' is installed in this environment.")
    for path in paths:
        if path.exists() or is_pattern(path):
            return path
    raise UsageError(f"data.path={address}: {_not_there(paths[0])}")


def _not_there(path: Path) -> str:
    """Return that the path does not exist, and which name is near."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {shown_path(folder)}."
    near = did_you_mean(path.name, (file.name for file in folder.iterdir()))
    return (
        f"there is no {shown_path(path)}.{near} A data set is a file ({', '.join(SUFFIXES)}), a pattern for "
        "several, a folder with train, validation and test files or one that `datasets` saved, "
        "pkg://package/folder or the id of a data set on the hub."
    )
