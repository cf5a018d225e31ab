"""Encode a question and the windows of its context."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tlplug import BaseInfo, Rows

OUTSIDE = [-1, -1]
"""Offsets of a token that is no part of the context."""
SHORTEST = 16
"""Tokens below which question, special tokens and a window of the context have no room."""


def windows_of(rows: Rows, base: BaseInfo, stride: int, training: bool) -> list[dict[str, Any]]:
    """Features of the rows, `part` by `part`: the question, then as much of the context as there is room for.

    Args:
        stride: tokens that two windows of a context share, at most half of its room.
        training: with `start_positions` and `end_positions` of the first answer; else with `offsets` [T, 2].
    """
    questions = cut_questions([row["question"].strip() for row in rows], base)
    features: list[list[dict[str, Any]]] = [[] for _ in rows]
    for shared, numbers in by_stride(questions, base, stride).items():
        encoded = base.tokenizer(
            [questions[number] for number in numbers],
            [rows[number]["context"] for number in numbers],
            truncation="only_second",
            max_length=base.max_length,
            stride=shared,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        inputs = [name for name in base.tokenizer.model_input_names if name in encoded]
        for window, sample in enumerate(encoded["overflow_to_sample_mapping"]):
            row, windows = rows[numbers[sample]], features[numbers[sample]]
            feature = {"id": row["id"], "part": len(windows)} | {
                name: encoded[name][window] for name in inputs
            }
            offsets = context_offsets(encoded, window)
            windows.append(feature | (located(row["answers"], offsets) if training else {"offsets": offsets}))
    return [feature for windows in features for feature in windows]


def cut_questions(questions: Sequence[str], base: BaseInfo) -> list[str]:
    """Truncate the questions to at most half of the input length, so that a context fits."""
    half = base.max_length // 2
    encoded = base.tokenizer(
        list(questions),
        add_special_tokens=False,
        truncation=True,
        max_length=half,
        return_offsets_mapping=True,
    )
    return [
        question if len(offsets) < half else question[offsets[0][0] : offsets[-1][1]]
        for question, offsets in zip(questions, encoded["offset_mapping"], strict=True)
    ]


def by_stride(questions: Sequence[str], base: BaseInfo, stride: int) -> dict[int, list[int]]:
    """Group the questions by the stride that fits; each group is one call of the tokenizer."""
    special = base.tokenizer.num_special_tokens_to_add(pair=True)
    groups = defaultdict(list)
    for number, tokens in enumerate(base.tokenizer(list(questions), add_special_tokens=False)["input_ids"]):
        room = base.max_length - len(tokens) - special
        groups[min(stride, max(room, 0) // 2)].append(number)
    return groups


def context_offsets(encoded: Any, window: int) -> list[list[int]]:
    """First character and the one after the last of each token, [T, 2]."""
    return [
        list(offset) if sequence == 1 else OUTSIDE
        for offset, sequence in zip(
            encoded["offset_mapping"][window], encoded.sequence_ids(window), strict=True
        )
    ]


def located(answers: Mapping[str, Any], offsets: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return the tokens where the first answer starts and ends; 0 if it is not wholly in the window."""
    nowhere = {"start_positions": 0, "end_positions": 0}
    if not answers["text"]:
        return nowhere
    text, begin = answers["text"][0], answers["answer_start"][0]
    begin, stop = begin + len(text) - len(text.lstrip()), begin + len(text.rstrip())
    inside = [place for place, (first, _) in enumerate(offsets) if first >= 0]
    if not inside or offsets[inside[0]][0] > begin or offsets[inside[-1]][1] < stop:
        return nowhere
    touched = [place for place in inside if offsets[place][1] > begin and offsets[place][0] < stop]
    return {"start_positions": touched[0], "end_positions": touched[-1]} if touched else nowhere
