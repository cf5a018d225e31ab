"""The corpora that ship: balanced, no row twice or by template, no label to be read off a list of words."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

CORPORA = Path(__file__).resolve().parent.parent.parent / "conf" / "corpora"
ROWS = {
    "film_sentiment/train": 320,
    "film_sentiment/validation": 80,
    "film_sentiment/test": 200,
    "product_sentiment/test": 200,
}


def rows(name):
    lines = (CORPORA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(("name", "count"), ROWS.items())
def test_splits_have_their_size_and_are_balanced(name, count):
    found = rows(name)
    assert Counter(row["label"] for row in found) == {"positive": count // 2, "negative": count // 2}
    assert all(set(row) == {"text", "label"} and row["text"].strip() for row in found)


def four_grams(text):
    words = "".join(c.lower() if c.isalnum() or c.isspace() else " " for c in text).split()
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


def test_no_two_rows_share_more_than_half_of_their_word_4_grams():
    grams = [found for name in ROWS for row in rows(name) if (found := four_grams(row["text"]))]
    assert len(grams) > 790
    worst = max(len(a & b) / min(len(a), len(b)) for a, b in combinations(grams, 2))
    assert worst <= 0.5


def bag_of_words(vectorizer):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = rows("film_sentiment/train"), rows("film_sentiment/test")
    model = make_pipeline(vectorizer, LogisticRegression(max_iter=1000))
    model.fit([row["text"] for row in train], [row["label"] for row in train])
    return model.score([row["text"] for row in test], [row["label"] for row in test])


def test_no_label_can_be_read_off_a_list_of_words():
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    assert max(bag_of_words(CountVectorizer()), bag_of_words(TfidfVectorizer())) <= 0.70


@pytest.mark.slow
def test_lora_is_well_above_the_words():
    from sklearn.feature_extraction.text import CountVectorizer

    from tests.cli.runs import run_in_process

    result = run_in_process("strategy=lora", "task=sentiment", "transfer.baselines=[]")
    assert result["scores"]["accuracy"] >= bag_of_words(CountVectorizer()) + 0.10
