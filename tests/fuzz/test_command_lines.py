"""Command lines of training: whatever is typed ends in 0, or in 2 and one message, and leaves nothing half made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import words as fuzz
from tests.fuzz.judged import examples, judged

pytestmark = pytest.mark.slow


@examples(250)
@given(words=st.deferred(fuzz.noisy_lines))
def test_words_without_sense(words, place):
    judged([*words, "data.path=./not-there"] if "--cfg" not in words else words, place)


@examples(60)
@given(words=st.deferred(fuzz.nearly_right))
def test_a_config_is_shown_or_not(words, place):
    judged([*words, "--cfg", "job"], place)


@examples(60)
@given(words=st.deferred(fuzz.nearly_right))
def test_a_run_whose_data_is_missing(words, place):
    """What composes is built, and ends at the data at the latest."""
    assert judged([*words, "data=files", "data.path=./not-there"], place)[0] == 2


@examples(250)
@given(
    words=st.deferred(lambda: st.lists(fuzz.keyed() | fuzz.mutated(fuzz.keyed()), min_size=1, max_size=4)),
    first=st.deferred(fuzz.chosen_words),
)
def test_many_words_that_are_nearly_right(words, first, place):
    assert judged([*first, *words, "data=files", "data.path=./not-there"], place)[0] == 2


@pytest.mark.parametrize(
    "word",
    [
        "optimizer.warmup=${oc.decode:x}",
        "resume=${nothing}",
        "logger.csv=0",
        "logger.csv=null",
        "metric.cka=3",
        "head=[]",
        "seed=" + "9" * 5000,
    ],
)
def test_what_was_found(word, place):
    words = ["strategy=lora", "task=sentiment", word, "data=files", "data.path=./not-there"]
    assert judged(words, place)[0] == 2
