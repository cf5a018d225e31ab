"""Write lists and paths into error messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

SHOWN = 20


def listing(problems: Sequence[str]) -> str:
    """Return the first 20 problems, each on an indented line, and the number of further ones."""
    shown = [f"  {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        shown.append(f"  and {len(problems) - SHOWN} more")
    return "\n".join(shown)


def names(words: Iterable[str]) -> str:
    """Return the words with commas between; `none` where there are none."""
    return ", ".join(words) or "none"


def shown_path(path: Path) -> str:
    """Return the path, relative to the working directory where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
