"""Encode the words of a row in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tlplug import BaseInfo

NO_WORD = -1
"""At tokens that are not the first of a word, or of a word that another window has."""


def windows_of(
    lists: Sequence[Sequence[str]], base: BaseInfo, stride: int
) -> list[list[dict[str, list[int]]]]:
    """Return each row's windows: the tokenizer's inputs [T], and `words` [T], the word whose first token stands there.

    The words are tokenized as one text with spaces between them: `is_split_into_words` leaves the spaces out with
    byte-level tokenizers (RoBERTa's, GPT-2's, Llama 3's), which then read all words as one.

    Args:
        lists: the words of each row.
        stride: tokens that two windows of a row share, at most half of what a window holds.
    """
    encoded = base.tokenizer(
        [" ".join(words) for words in lists],
        truncation=True,
        max_length=base.max_length,
        stride=min(stride, (base.max_length - base.tokenizer.num_special_tokens_to_add()) // 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    numbers: list[list[int]] = [[] for _ in lists]
    for number, row in enumerate(encoded["overflow_to_sample_mapping"]):
        numbers[row].append(number)
    if base.tokenizer.truncation_side == "left":
        numbers = [windows[::-1] for windows in numbers]
    inputs = [name for name in base.tokenizer.model_input_names if name in encoded]
    return [
        [
            {name: encoded[name][number] for name in inputs} | {"words": words}
            for number, words in zip(windows, words_once(row, encoded, windows), strict=True)
        ]
        for row, windows in zip(lists, numbers, strict=True)
    ]


def words_once(row: Sequence[str], encoded: Any, numbers: Sequence[int]) -> list[list[int]]:
    """`words` [T] of each window of a row: a word stands where its first token lies farthest from a cut.

    Windows share at most half of their tokens, so that the nearer edge of a window is the cut wherever two have a word.
    """
    owners = owners_of_characters(row)
    windows = [first_tokens(encoded["offset_mapping"][number], owners) for number in numbers]
    best: dict[int, tuple[int, int]] = {}
    for window, (number, words) in enumerate(zip(numbers, windows, strict=True)):
        content = [place for place, text in enumerate(encoded.sequence_ids(number)) if text == 0]
        for place, word in enumerate(words):
            if word == NO_WORD:
                continue
            distance = min(place - content[0], content[-1] - place)
            if word not in best or distance > best[word][0]:
                best[word] = (distance, window)
    return [
        [word if word != NO_WORD and best[word][1] == window else NO_WORD for word in words]
        for window, words in enumerate(windows)
    ]


def owners_of_characters(words: Sequence[str]) -> list[int]:
    """Return the word of each character of the words joined by spaces; NO_WORD for the spaces."""
    owners: list[int] = []
    for number, word in enumerate(words):
        owners += [NO_WORD] * bool(number) + [number] * len(word)
    return owners


def first_tokens(offsets: Sequence[tuple[int, int]], owners: Sequence[int]) -> list[int]:
    """Return the word at the first token of each word in a window, NO_WORD at all other tokens.

    A token is of the word of its first character that is no space between words: byte-level tokens bring their space.
    A window that starts within a word has that word at its first token, next to the cut.
    """
    words, last = [], NO_WORD
    for begin, stop in offsets:
        word = next((owners[place] for place in range(begin, stop) if owners[place] != NO_WORD), NO_WORD)
        words.append(NO_WORD if word == last else word)
        last = last if word == NO_WORD else word
    return words
