"""Mask words for masked language modelling."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tlplug import BaseInfo
from tlplug_plugins.heads.generation.token_sequences import IGNORED, Example

NO_WORD = -1
"""The word of a special token."""


@dataclass(frozen=True)
class Masking:
    """Hides whole words (Devlin et al. 2019, and the whole-word masking of their 2019 release).

    Of a sequence's W words `share` W are drawn, at least one. Of their tokens 80% become the mask token, 10% a random
    token, 10% stay; all of them are to be predicted.
    """

    share: float
    mask_token: int
    vocabulary: int

    def __call__(
        self, ids: Sequence[int], words: Sequence[int], generator: torch.Generator | None = None
    ) -> Example:
        """Return the sequence with masked words.

        Args:
            words: the number of each token's word, -1 for special tokens.
            generator: None: torch's own, so that every epoch hides others.
        """
        maskable = sorted(set(words) - {NO_WORD})
        count = min(len(maskable), max(1, round(self.share * len(maskable))))
        drawn = {
            maskable[place] for place in torch.randperm(len(maskable), generator=generator)[:count].tolist()
        }
        lot = torch.rand(len(ids), generator=generator).tolist()
        others = torch.randint(self.vocabulary, (len(ids),), generator=generator).tolist()
        hidden = [
            token if word not in drawn or chance >= 0.9 else other if chance >= 0.8 else self.mask_token
            for token, word, chance, other in zip(ids, words, lot, others, strict=True)
        ]
        labels = [token if word in drawn else IGNORED for token, word in zip(ids, words, strict=True)]
        return Example(hidden, labels)


def generator_of(identity: int, part: int) -> torch.Generator:
    """Return a seed that is the same for the same part of the same row in every run."""
    drawn = hashlib.sha256(f"{identity}/{part}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(drawn, "big"))


def text_parts(
    texts: Sequence[str], base: BaseInfo, whole_word: bool
) -> Iterator[tuple[int, int, list[int], list[int]]]:
    """Parts of at most `base.max_length` tokens: the text's place, the part's number, tokens, their words.

    Without `whole_word` each token is a word of its own.
    """
    encoded = base.tokenizer(
        list(texts), truncation=True, max_length=base.max_length, return_overflowing_tokens=True
    )
    before, part = -1, 0
    for index, place in enumerate(encoded["overflow_to_sample_mapping"]):
        part = part + 1 if place == before else 0
        before = place
        words = [NO_WORD if word is None else word for word in encoded.word_ids(index)]
        if not whole_word:
            words = [NO_WORD if word == NO_WORD else token for token, word in enumerate(words)]
        yield place, part, encoded["input_ids"][index], words
