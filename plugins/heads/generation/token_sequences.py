"""Define sequences of token ids, with labels of those that a decoder predicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label of a token that is not to be predicted."""


@dataclass(frozen=True)
class Example:
    """Token ids and, of the same length, labels: the token's own id where it is to be predicted, else -100."""

    input_ids: list[int]
    labels: list[int]

    @property
    def next_labels(self) -> list[int]:
        """What a decoder is to predict at each token: the one after it."""
        return [*self.labels[1:], IGNORED]

    @classmethod
    def of(cls, *pieces: tuple[Sequence[int], bool]) -> Example:
        """Concatenate the pieces; the tokens of marked pieces are predicted."""
        ids = [token for piece, _ in pieces for token in piece]
        labels = [token if marked else IGNORED for piece, marked in pieces for token in piece]
        # Nothing stands before the first token that it could be predicted from.
        return cls(ids, [IGNORED, *labels[1:]])

    @property
    def targets(self) -> list[int]:
        return [label for label in self.labels if label != IGNORED]

    def cut(self, length: int, bos: int | None) -> Example:
        """At most so many tokens: the last answer, and what goes before it as far as there is room.

        Where the last answer fills more than half of the room, half of it is kept for what goes before, and the
        answer's end is cut. A first token that says "here begins a text" stays.
        """
        count = len(self.input_ids)
        if count <= length:
            return self
        first = int(self.input_ids[0] == bos)
        room = length - first
        start = max(first, min(count - room, self._last_answer() - room // 2))
        ids = [*self.input_ids[:first], *self.input_ids[start : start + room]]
        labels = [*self.labels[:first], *self.labels[start : start + room]]
        return Example(ids, [IGNORED, *labels[1:]])

    def _last_answer(self) -> int:
        """The start of the last run of labels; the end without one."""
        runs = [
            place
            for place, label in enumerate(self.labels)
            if label != IGNORED and (place == 0 or self.labels[place - 1] == IGNORED)
        ]
        return runs[-1] if runs else len(self.labels)

    def feature(self, identity: int, part: int, training: bool) -> dict[str, Any]:
        return {
            "id": identity,
            "part": part,
            "input_ids": self.input_ids,
            "attention_mask": [1] * len(self.input_ids),
            "labels": self.next_labels,
            "training": training,
        }


def bos_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that the tokenizer puts at the start of a text."""
    before: list[int] = tokenizer("")["input_ids"][:1]
    return before if before == [tokenizer.bos_token_id] else []


def text_examples(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, length: int
) -> Iterable[list[Example]]:
    """Return all tokens of each text and its end token, in parts of at most `length` tokens.

    A part begins with the last token of the one before, so that every token but the first is predicted once.
    """
    bos = bos_of(tokenizer)
    for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]:
        whole = [*bos, *ids, tokenizer.eos_token_id]
        starts = range(0, max(1, len(whole) - 1), length - 1)
        yield [Example.of((whole[start : start + length], True)) for start in starts]
