"""What `data.path` names: a file, a folder of files, or a data set on the hub."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tlplug.contracts import DataSettings, UsageError
from tlplug.data.csv_records import SEPARATORS
from tlplug.data.rows import quiet_datasets
from tlplug.data.table import Table
from tlplug.data.text_table import CsvTable, JsonTable
from tlplug.data.typed_table import HubTable, ParquetTable
from tlplug.data.wording import names, shown_path, suggestion

SUFFIXES = (*SEPARATORS, ".jsonl", ".json", ".parquet")
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
    if settings.path.startswith(PACKAGE):
        return _local(_in_package(settings.path))
    path = Path(settings.path).expanduser()
    if path.exists():
        return _local(path)
    if path.suffix.lower() not in SUFFIXES and _HUB_ID.fullmatch(settings.path):
        return _hub(settings)
    raise UsageError(f"data.path={settings.path}: {_not_there(path)}")


def open_file(path: Path, key: str) -> Table:
    """The table in a file that the setting `key` names; its suffix tells the format.

    Raises:
        UsageError: there is no such file, or its suffix is not known.
    """
    if not path.is_file():
        raise UsageError(f"{key}: {_not_there(path)}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{key}: {shown_path(path)} is not a data file; its suffix may be {names(SUFFIXES)}."
        )
    if suffix == ".parquet":
        return ParquetTable(path)
    return CsvTable(path) if suffix in SEPARATORS else JsonTable(path)


def _local(path: Path) -> Source:
    if path.is_file():
        return Source(shown_path(path), path.parent, {"train": open_file(path, "data.path")})
    files = [file for file in sorted(path.iterdir()) if _is_data(file)]
    if not files:
        raise UsageError(
            f"data.path: the folder {shown_path(path)} has no train, validation or test file "
            f"({', '.join(SUFFIXES)}). It has: {names(sorted(file.name for file in path.iterdir()))}."
        )
    alike = Counter(file.stem for file in files)
    keys = {file: file.stem if alike[file.stem] == 1 else file.name for file in files}
    return Source(shown_path(path), path, {keys[file]: open_file(file, "data.path") for file in files})


def _is_data(file: Path) -> bool:
    return file.is_file() and file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _in_package(address: str) -> Path:
    """The file or folder at `pkg://package/folder`; the package is not imported."""
    package, _, inside = address.removeprefix(PACKAGE).partition("/")
    spec = find_spec(package) if package.isidentifier() else None
    roots = [Path(root) for root in (spec.submodule_search_locations or []) if spec] if spec else []
    if not roots:
        raise UsageError(f"data.path={address}: no package '{package}' is installed in this environment.")
    found = [root / inside for root in roots if (root / inside).exists()]
    if not found:
        raise UsageError(f"data.path={address}: {_not_there(roots[0] / inside)}")
    return found[0]


def _not_there(path: Path) -> str:
    """What was looked for and what is near it."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {shown_path(folder)}."
    near = suggestion(path.name, (file.name for file in folder.iterdir()))
    return (
        f"there is no {shown_path(path)}.{near} A data set is a file ({', '.join(SUFFIXES)}), a folder with "
        "train, validation and test files, pkg://package/folder or the id of a data set on the hub."
    )


def _hub(settings: DataSettings) -> Source:
    datasets = quiet_datasets()
    try:
        loaded = datasets.load_dataset(settings.path, settings.subset, revision=settings.revision)
    except Exception as error:
        raise UsageError(_unreachable(settings, error)) from error
    tables = {split: HubTable(settings.path, split, rows) for split, rows in loaded.items()}
    return Source(settings.path, Path.cwd(), tables)


def _unreachable(settings: DataSettings, error: Exception) -> str:
    near = suggestion(settings.path, (file.name for file in Path.cwd().iterdir()))
    offline = [key for key in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE") if os.environ.get(key, "0") != "0"]
    told = (
        f" {offline[0]} is set, which forbids downloads: unset it, or name a local path." if offline else ""
    )
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return (
        f"data.path={settings.path} is no file or folder here, and the data set of that id cannot be loaded "
        f"from the hub: {reason}.{told}{near}"
    )
