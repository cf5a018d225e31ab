"""Metrics that are broken in one way each; the key is the check that has to find it."""

import random
from dataclasses import dataclass

from tests.testing.sound import SoundMetric


class OtherContract(SoundMetric):
    """Written for another contract."""

    contract = 2


class OddName(SoundMetric):
    """Facts that nobody asks for."""

    def decsribe(self, values):
        return []


class Silent(SoundMetric):
    pass


class NoDefault(SoundMetric):
    """A field without a default."""

    @dataclass
    class Config:
        resamples: int


class Traceback(SoundMetric):
    """Divides by what is typed."""

    @dataclass
    class Config:
        step: int = 1

        def __post_init__(self):
            1 / (self.step + 1)


class OneName(SoundMetric):
    """Needs a word, letter by letter."""

    requires = "cost"


class Misspelt(SoundMetric):
    """Requires what no run records."""

    requires = frozenset({"exampel_scores/after"})


class NotANumber(SoundMetric):
    """A value that is none."""

    def measure(self, evidence):
        return {"mean": float("nan")}


class Babbles(SoundMetric):
    """Says a sentence where facts are asked for."""

    def describe(self, values):
        return ["the mean is fine"]


class ReadsMore(SoundMetric):
    """Reads what it does not need."""

    def measure(self, evidence):
        return {"seconds": evidence["cost"]["seconds"]}


class Sorts(SoundMetric):
    """Sorts in place."""

    def measure(self, evidence):
        evidence["example_scores/after"].sort()
        return super().measure(evidence)


class Draws(SoundMetric):
    """Draws."""

    def measure(self, evidence):
        return {"mean": random.random()}


class ByNumber(SoundMetric):
    """Looks up by number what files keep by name."""

    requires = frozenset({"scores/after/source"})

    def measure(self, evidence):
        return {"first": evidence["scores/after/source"].get(1, 0.0)}


TWINS = [
    ("implements_contract", OtherContract, "contract 2"),
    (
        "has_no_misspelt_names",
        OddName,
        "'decsribe', which the contract does not have. Did you mean 'describe'?",
    ),
    ("has_docstring", Silent, "no docstring"),
    ("config_is_typed", NoDefault, "no default for resamples"),
    ("config_errors_are_readable", Traceback, "raises ZeroDivisionError"),
    ("implements_contract", Misspelt, "Did you mean 'example_scores/after'"),
    ("requires_known_evidence", OneName, "it must be a set of names"),
    ("returns_numbers_by_name", NotANumber, "nan"),
    ("describes_its_values", Babbles, "a list of tlplug.Fact"),
    ("requires_is_complete", ReadsMore, "raises KeyError"),
    ("does_not_modify_evidence", Sorts, "modifies 'example_scores/after'"),
    ("measure_is_deterministic", Draws, "two calls of measure return different values"),
    ("accepts_saved_evidence", ByNumber, "saved and loaded"),
]
"""The check, the twin, and a part of the message."""
GIVEN = {ByNumber: {"evidence": {"scores/after/source": {1: 2.0}}}}
