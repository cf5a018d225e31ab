"""Patterns such as `logs/*.jsonl`, and the files that match them."""

from __future__ import annotations

import re
from glob import glob
from pathlib import Path

from tlplug.data.messages import SHOWN, names, shown_path
from tlplug.errors import UsageError

_MAGIC = re.compile(r"[*?\[]")


def is_pattern(path: Path) -> bool:
    """Whether the name stands for many files: it has `*`, `?` or `[` and is not there itself."""
    return bool(_MAGIC.search(str(path))) and not path.exists()


def folder_of(pattern: Path) -> Path:
    """The folder that matching begins in. Its own name may have `[` in it."""
    return next(parent for parent in pattern.parents if parent.is_dir())


def matching(pattern: Path, key: str) -> list[Path]:
    """The files that match, sorted; `**` stands for any folders.

    Raises:
        UsageError: none does; `key` is the setting that has the pattern.
    """
    folder = folder_of(pattern)
    # Path.glob takes hidden files, and its `**` matches folders only.
    found = glob(str(pattern.relative_to(folder)), root_dir=folder, recursive=True)  # noqa: PTH207
    if files := [folder / name for name in sorted(set(found)) if (folder / name).is_file()]:
        return files
    present = names(sorted(file.name for file in folder.iterdir())[:SHOWN])
    raise UsageError(
        f"{key}: no file matches {shown_path(pattern)}. The folder {shown_path(folder)} has: {present}."
    )
