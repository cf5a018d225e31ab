"""The other commands and sweeps: words and folders of every kind end in 0, or in 2 and one message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import commands as fuzz
from tests.fuzz.judged import emptied, examples, judged

pytestmark = pytest.mark.slow

FOLDERS = ["empty", "a-file", "a-link", "a-loop", "nested", "not-there", "a-file/x", ".", "made"]


def laid(place):
    emptied(place)
    fuzz.folders(place)


@examples(250)
@given(files=fuzz.made(), words=st.deferred(lambda: fuzz.lines(FOLDERS)))
def test_folders_that_are_no_run(files, words, place):
    laid(place)
    fuzz.write(place, files)
    judged(words, place)


@examples(100)
@given(words=st.deferred(fuzz.plugin_lines))
def test_plugins(words, place):
    laid(place)
    judged(words, place)


@examples(40)
@given(words=st.deferred(fuzz.swept_lines))
def test_a_sweep_that_cannot_be_written(words, place):
    laid(place)
    assert judged(words, place)[0] == 2


@examples(40)
@given(words=st.deferred(fuzz.several_lines))
def test_compare_and_rank_on_missing_data(words, place):
    laid(place)
    assert judged(words, place)[0] == 2
