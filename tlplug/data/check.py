"""What a head has against the rows, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tlplug.contracts import TaskHead
from tlplug.data.split import Split
from tlplug.data.wording import listing
from tlplug.errors import UsageError


def check_rows(splits: Mapping[str, Split], head: TaskHead, with_targets: bool = True) -> None:
    """Ask the head about every row.

    Args:
        with_targets: whether the rows are there to be trained on or scored.

    Raises:
        UsageError: a split is empty or rows are wrong; the first 20 with their file and line.
    """
    problems = [problem for split in splits.values() for problem in _problems(split, head, with_targets)]
    if problems:
        raise UsageError(f"the data cannot be used as it is:\n{listing(list(dict.fromkeys(problems)))}")


def _problems(split: Split, head: TaskHead, with_targets: bool) -> Iterator[str]:
    if not len(split):
        yield f"{split.title}: no rows for data.splits.{split.name}"
    for index, row in enumerate(split):
        if problem := head.problem(row) or (with_targets and head.target_problem(row)):
            yield f"{split.where(index)}: {problem}"
