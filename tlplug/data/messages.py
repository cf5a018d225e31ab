"""Parts of error messages: lists and paths as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

SHOWN = 20


def listing(problems: Sequence[str]) -> str:
    """The problems, each on an indented line; the first 20 and how many more there are."""
    shown = [f"  {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(f"  and {len(problems) - SHOWN} more")
    return "\n".join(shown)


def names(words: Iterable[str]) -> str:
    """The words with commas between; `none` where there are none."""
    return ", ".join(words) or "none"


def shown_path(path: Path) -> str:
    """The path, relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
