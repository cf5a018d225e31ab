from importlib.resources import files
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from scipy.spatial.distance import cosine

from tlplug import NotMeasured, RowsContext
from tlplug.interfaces.registry import Registry
from tlplug_plugins.metrics.counterfactual_gap import (
    ORIGINAL,
    SWAPPED,
    Swapper,
    counterfactual_gap,
    feature_gap,
    flip_rate,
    read_pairs,
)

CounterfactualGap = Registry().find("metric", "counterfactual_gap").load()
SHIPPED = Swapper(read_pairs("names_and_pronouns"))


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("He met Mary.", "She met James."),
        ("SHE left, he's here; himself!", "HE left, she's here; herself!"),
        ("the hero saw Maryland, shed", "the hero saw Maryland, shed"),
        ("It was hers: (him)", "It was his: (her)"),
        ("her plan", "his plan"),
        ("his plan", "her plan"),
        ("mary and JAMES", "james and MARY"),
        ("he_said _he x2he héhe", "he_said _he x2he héhe"),
        ("", ""),
    ],
)
def test_whole_words_both_ways_with_their_case(text, swapped):
    assert SHIPPED.text(text) == swapped


def test_of_several_pairs_the_first_counts():
    swapper = Swapper([("his", "her"), ("him", "her")])
    assert swapper.text("his him her") == "her her his"
    assert Swapper([("new york", "boston"), ("york", "leeds")]).text("New York, York") == "Boston, Leeds"
    assert Swapper([("new", "old"), ("new york", "boston")]).text("new york, new") == "boston, old"
    assert Swapper([("a.b", "c")]).text("axb a.b") == "axb c"


one_to_one = Swapper([pair for pair in SHIPPED.pairs if not {"her", "his"} & set(pair)])
words = st.sampled_from([*one_to_one.other, "film", "the", "her", "heat", ","])
cases = st.sampled_from([str.lower, str.upper, str.title])


@settings(max_examples=40)
@given(st.lists(st.tuples(words, cases), max_size=8))
def test_swapped_twice_is_the_text_itself(parts):
    text = " ".join(case(word) for word, case in parts)
    swapped = one_to_one.text(text)
    assert one_to_one.text(swapped) == text
    assert (swapped != text) == any(word in one_to_one.other for word, _ in parts)


def test_the_list_that_ships_says_what_it_is_not():
    text = (files("tlplug_conf") / "counterfactuals" / "names_and_pronouns.txt").read_text(encoding="utf-8")
    assert all(word in text for word in ("CC0", "Limits", "binary", "proxy", "no proof"))
    names = [word for pair in SHIPPED.pairs for word in pair if word not in ("her", "his")]
    assert len(names) == len(set(names)) and len(SHIPPED.pairs) >= 20


def test_pairs_from_a_file_a_list_and_the_command_line(tmp_path):
    (tmp_path / "pairs.txt").write_text("# two words a line\n\nberlin paris  # cities\nanna olga\n")
    assert read_pairs(str(tmp_path / "pairs.txt")) == [("berlin", "paris"), ("anna", "olga")]
    assert read_pairs([["a", "b"]]) == [("a", "b")]
    given = OmegaConf.merge(OmegaConf.structured(CounterfactualGap.Config), {"pairs": [["a", "b"]]})
    assert read_pairs(OmegaConf.to_object(given).pairs) == [("a", "b")]
    assert read_pairs(given.pairs) == [("a", "b")]


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ("no such list", "no list that ships: names_and_pronouns"),
        ("", "no list that ships"),
        ([], "pairs is"),
        (3, "pairs is 3"),
        ({"a": "b"}, "pairs is"),
        (["ab"], "should be two words"),
        ([["a", "b", "c"]], "should be two words"),
        ([["a", " "]], "should be two words"),
        ([["a", True]], "should be two words"),
        ([["He", "he"]], "one word twice"),
    ],
)
def test_what_is_no_list_of_pairs_is_refused(pairs, why):
    with pytest.raises(ValueError, match=why):
        CounterfactualGap.Config(pairs=pairs)


def test_a_file_with_a_line_that_is_no_pair_is_refused(tmp_path):
    (tmp_path / "pairs.txt").write_text("one two three\n")
    with pytest.raises(ValueError, match="should be two words"):
        CounterfactualGap.Config(pairs=str(tmp_path / "pairs.txt"))


def context(rows):
    head = SimpleNamespace(
        columns={"text": "", "tokens": "", "label": ""},
        optional_columns={"text_pair": ""},
        targets=("label",),
    )
    return RowsContext(head, None, rows, 0)


def test_probes_are_the_rows_with_a_word_as_they_are_and_swapped():
    rows = [
        {"id": 3, "text": "he won", "label": "she"},
        {"id": 5, "text": "nobody won", "label": "he"},
        {"id": 8, "text": "nothing", "text_pair": "Mary", "tokens": ["he"], "source": "he", "label": "x"},
    ]
    found = CounterfactualGap().extra_rows(context(rows))
    assert found[ORIGINAL] == [
        {"id": 3, "text": "he won"},
        {"id": 8, "text": "nothing", "text_pair": "Mary", "tokens": ["he"], "source": "he"},
    ]
    assert found[SWAPPED] == [
        {"id": 3, "text": "she won"},
        {"id": 8, "text": "nothing", "text_pair": "James", "tokens": ["she"], "source": "he"},
    ]
    assert rows[0] == {"id": 3, "text": "he won", "label": "she"}
    few = CounterfactualGap(CounterfactualGap.Config(rows=1)).extra_rows(context(rows))
    assert [row["id"] for row in few[SWAPPED]] == [3]
    with pytest.raises(NotMeasured, match="the validation rows contain no word of a pair"):
        CounterfactualGap().extra_rows(context(rows[1:2]))


def test_the_formulas_by_hand():
    assert counterfactual_gap([[0.9, 0.1], [0.5, 0.5]], [[0.6, 0.4], [0.5, 0.5]]) == pytest.approx(0.15)
    assert counterfactual_gap([[1.0, 0, 0]], [[0.0, 0.5, 0.5]]) == 1.0
    assert flip_rate(["a", "b", "c", ["d"]], ["a", "x", "c", ["e"]]) == 0.5
    assert feature_gap([[1.0, 0], [1, 1]], [[0.0, 2], [5, 5]]) == pytest.approx(0.5)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(2, 5), st.integers(0, 10**6))
def test_the_formulas_against_other_ways(rows, width, state):
    draw = np.random.default_rng(state)
    first, second = draw.dirichlet(np.ones(width), (2, rows))
    # Total variation is also what is left when the overlap is taken away.
    overlap = np.mean([1 - np.minimum(p, q).sum() for p, q in zip(first, second, strict=True)])
    assert counterfactual_gap(first, second) == pytest.approx(overlap, rel=1e-9)
    distances = np.mean([cosine(p, q) for p, q in zip(first, second, strict=True)])
    assert feature_gap(3 * first, second) == pytest.approx(distances, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("measured", [counterfactual_gap, flip_rate])
def test_rows_have_to_be_paired(measured):
    for first, second in ([], []), ([[0.5, 0.5]], [[0.5, 0.5]] * 2):
        with pytest.raises(ValueError, match="must be"):
            measured(first, second)


def predicted(*of_yes):
    return [
        {"id": number, "prediction": "yes" if p > 0.5 else "no", "probabilities": {"no": 1 - p, "yes": p}}
        for number, p in enumerate(of_yes)
    ]


def evidence_of(when, original, swapped):
    return {f"predictions/{when}/{ORIGINAL}": original, f"predictions/{when}/{SWAPPED}": swapped}


AFTER = {
    **evidence_of("after", predicted(0.9, 0.6, 0.2), predicted(0.7, 0.4, 0.2)),
    f"features/after/{ORIGINAL}": np.array([[[1.0, 0]] * 3, [[1.0, 0]] * 3]),
    f"features/after/{SWAPPED}": np.array([[[0.0, 1]] * 3, [[1.0, 0], [1, 0], [0, 1]]]),
}


def test_gap_and_flips_after_and_why_there_are_none_before():
    found = CounterfactualGap().measure({**AFTER, "labels": ["no", "yes"]})
    assert found["pairs"] == 3 and found["flip_rate"] == pytest.approx(1 / 3)
    assert found["gap"] == pytest.approx(0.4 / 3)
    assert found["feature_gap/after"] == pytest.approx(1 / 3)  # Of the last layer, not the first.
    for name in ("flip_rate/before", "gap/before", "feature_gap/before"):
        assert isinstance(found[name], NotMeasured)


def test_before_where_the_base_model_answers():
    before = evidence_of("before", predicted(0.9, 0.9, 0.9), predicted(0.1, 0.9, 0.9))
    found = CounterfactualGap().measure({**AFTER, **before})
    assert found["flip_rate/before"] == pytest.approx(1 / 3)
    assert found["gap/before"] == pytest.approx(0.8 / 3)


def test_written_answers_flip_and_have_no_gap():
    texts = [{"id": 0, "prediction": "he won"}], [{"id": 0, "prediction": "she won"}]
    found = CounterfactualGap().measure(evidence_of("after", *texts))
    assert found["flip_rate"] == 1.0 and "no probabilities" in str(found["gap"])


def test_where_no_row_has_a_word_it_says_so():
    with pytest.raises(NotMeasured, match="no evidence of predictions/after"):
        CounterfactualGap().measure({})
    with pytest.raises(NotMeasured, match="too long"):
        CounterfactualGap().measure({"reasons": {f"predictions/after/{ORIGINAL}": "too long"}})
