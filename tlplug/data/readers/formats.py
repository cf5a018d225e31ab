"""Tell the format of data files, and find the files that a pattern names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from tlplug.data.messages import SHOWN, names, shown_path
from tlplug.errors import UsageError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TEXT = (*SEPARATORS, ".jsonl", ".json", ".txt")
PACKED = ".gz"
SUFFIXES = (*TEXT, ".parquet", ".arrow", *(suffix + PACKED for suffix in TEXT))
"""How the name of a data file may end; errors and docs list these."""

ROWS = 5000
"""Rows that are read at a time."""
SIZE = 2**23
"""Characters or bytes that are read at a time, about: of long rows, fewer are."""


@dataclass(frozen=True)
class DataFile:
    """A file of rows."""

    path: Path

    @property
    def title(self) -> str:
        """The path, as short as the working directory allows."""
        return shown_path(self.path)

    @property
    def metadata(self) -> dict[bytes, bytes] | None:
        """What `datasets` wrote into a typed file."""
        return None

    def kinds(self, column: str) -> dict[str, str]:
        """Return kind of value -> the first place that has it, where the format lets a column mix them."""
        return {}


def suffix_of(path: Path) -> str:
    """Return the one of `SUFFIXES` that the name ends in, in small letters; empty where it is no data file."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def format_of(path: Path) -> str:
    """Return the suffix without `.gz`: `.csv` for `a.csv.gz`."""
    return suffix_of(path).removesuffix(PACKED)


def stem_of(path: Path) -> str:
    """Return the name without its suffix: `train` for `train.jsonl.gz`."""
    return path.name[: len(path.name) - len(suffix_of(path))]


_MAGIC = re.compile(r"[*?\[]")


def is_pattern(path: Path) -> bool:
    """Return whether the name stands for many files: it has `*`, `?` or `[` and is not there itself."""
    return bool(_MAGIC.search(str(path))) and not path.exists()


def folder_of(pattern: Path) -> Path:
    """Return the folder that matching begins in. Its own name may have `[` in it."""
    return next(parent for parent in pattern.parents if parent.is_dir())


def matching(pattern: Path, key: str) -> list[Path]:
    """Return the files that match, sorted; `**` stands for any folders.

    Raises:
        UsageError: none does; `key` is the setting that has the pattern.
    """
    folder = folder_of(pattern)
    # Path.glob takes hidden files, and its `**` matches folders only.
    matches = glob(str(pattern.relative_to(folder)), root_dir=folder, recursive=True)  # noqa: PTH207
    if files := [folder / name for name in sorted(set(matches)) if (folder / name).is_file()]:
        return files
    present = names(sorted(file.name for file in folder.iterdir())[:SHOWN])
    raise UsageError(
        f"{key}: no file matches {shown_path(pattern)}. The folder {shown_path(folder)} has: {present}."
    )
