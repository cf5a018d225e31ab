"""Which formats a data file can have: the end of its name tells."""

from __future__ import annotations

from pathlib import Path

SEPARATORS = {".csv": ",", ".tsv": "\t"}
TEXT = (*SEPARATORS, ".jsonl", ".json", ".txt")
PACKED = ".gz"
SUFFIXES = (*TEXT, ".parquet", ".arrow", *(suffix + PACKED for suffix in TEXT))
"""How the name of a data file may end; errors and docs list these."""


def suffix_of(path: Path) -> str:
    """The one of `SUFFIXES` that the name ends in, in small letters; empty where it is no data file."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def format_of(path: Path) -> str:
    """The suffix without `.gz`: `.csv` for `a.csv.gz`."""
    return suffix_of(path).removesuffix(PACKED)


def stem_of(path: Path) -> str:
    """The name without its suffix: `train` for `train.jsonl.gz`."""
    return path.name[: len(path.name) - len(suffix_of(path))]
