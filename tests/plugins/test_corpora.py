"""The corpora that ship: balanced, well-formed, no row twice or by template, no label to be read off a list of words."""

import json
import re
import tomllib
from collections import Counter
from itertools import combinations, pairwise

import pytest
import yaml

from tests.conftest import ROOT

CORPORA = ROOT / "conf" / "corpora"
PAGE = (CORPORA / "README.md").read_text(encoding="utf-8")
ROWS = {
    "film_sentiment/train": 320,
    "film_sentiment/validation": 80,
    "film_sentiment/test": 200,
    "product_sentiment/test": 200,
    "topic/train": 120,
    "topic/validation": 40,
    "topic/test": 60,
    "nli/train": 150,
    "nli/validation": 45,
    "nli/test": 75,
    "ner/train": 120,
    "ner/validation": 40,
    "ner/test": 60,
    "qa/train": 130,
    "qa/validation": 40,
    "qa/test": 60,
    "summaries/train": 120,
    "summaries/validation": 30,
    "summaries/test": 60,
    "instructions/train": 120,
    "instructions/validation": 30,
    "instructions/test": 60,
    "beekeeping/train": 120,
    "beekeeping/validation": 30,
    "beekeeping/test": 60,
}
CORPUS_NAMES = list(dict.fromkeys(name.partition("/")[0] for name in ROWS))
SPLITS = ("train", "validation", "test")
COLUMNS = {
    "film_sentiment": ["text", "label"],
    "product_sentiment": ["text", "label"],
    "topic": ["text", "label"],
    "nli": ["premise", "hypothesis", "label"],
    "ner": ["tokens", "tags"],
    "qa": ["context", "question", "answers"],
    "summaries": ["document", "summary"],
    "instructions": ["messages"],
    "beekeeping": ["text"],
}
LABELS = {
    "film_sentiment": {"positive", "negative"},
    "product_sentiment": {"positive", "negative"},
    "topic": {"world", "business", "sport", "science"},
    "nli": {"entailment", "neutral", "contradiction"},
}
TAGS = {"O", *(f"{place}-{kind}" for place in "BI" for kind in ("PER", "LOC", "ORG"))}


def rows(name):
    """The rows of a split, or of all splits of a corpus."""
    names = [name] if "/" in name else [found for found in ROWS if found.startswith(f"{name}/")]
    files = [(CORPORA / f"{found}.jsonl").read_text(encoding="utf-8") for found in names]
    return [json.loads(line) for file in files for line in file.splitlines()]


def text_of(row):
    """What no two rows of a corpus should share: of pairs the premise, of questions the context."""
    if "messages" in row:
        return " ".join(message["content"] for message in row["messages"])
    if "tokens" in row:
        return " ".join(row["tokens"])
    return next(row[name] for name in ("text", "premise", "context", "document") if name in row)


def words_of(text):
    return "".join(c.lower() if c.isalnum() or c.isspace() else " " for c in text).split()


def four_grams(text):
    words = words_of(text)
    return {tuple(words[i : i + 4]) for i in range(len(words) - 3)}


def test_there_is_no_corpus_that_is_not_tested_here():
    assert {path.relative_to(CORPORA).as_posix() for path in CORPORA.rglob("*.jsonl")} == {
        f"{name}.jsonl" for name in ROWS
    }


@pytest.mark.parametrize(("name", "count"), ROWS.items())
def test_splits_have_their_size_and_columns_and_nothing_is_empty(name, count):
    found, columns = rows(name), COLUMNS[name.partition("/")[0]]
    assert len(found) == count
    for row in found:
        assert list(row) == columns
        assert all(value.strip() if isinstance(value, str) else value for value in row.values())


@pytest.mark.parametrize(
    ("name", "count"), [item for item in ROWS.items() if item[0].partition("/")[0] in LABELS]
)
def test_classes_are_balanced(name, count):
    labels = LABELS[name.partition("/")[0]]
    assert Counter(row["label"] for row in rows(name)) == dict.fromkeys(labels, count // len(labels))


@pytest.mark.parametrize(
    "corpora",
    [("film_sentiment", "product_sentiment"), *((name,) for name in CORPUS_NAMES[2:])],
    ids=lambda names: "+".join(names),
)
def test_no_two_rows_share_more_than_half_of_their_word_4_grams(corpora):
    texts = [text_of(row) for name in corpora for row in rows(name)]
    # Questions about one passage share it.
    texts = list(dict.fromkeys(texts)) if corpora == ("qa",) else texts
    grams = [found for text in texts if (found := four_grams(text))]
    assert len(grams) > 0.98 * len(texts)
    worst = max(len(a & b) / min(len(a), len(b)) for a, b in combinations(grams, 2))
    assert worst <= 0.5


@pytest.mark.parametrize("name", [name for name in CORPUS_NAMES if name != "product_sentiment"])
def test_no_row_stands_in_two_splits(name):
    texts = [{text_of(row) for row in rows(f"{name}/{split}")} for split in SPLITS]
    assert not any(one & other for one, other in combinations(texts, 2))
    whole = [json.dumps(row) for row in rows(name)]
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("split", SPLITS)
def test_tags_are_one_a_word_and_valid_iob2(split):
    for row in rows(f"ner/{split}"):
        assert len(row["tokens"]) == len(row["tags"]) and set(row["tags"]) <= TAGS
        assert all(word and not re.search(r"\s", word) for word in row["tokens"])
        for before, tag in pairwise(["O", *row["tags"]]):
            assert not tag.startswith("I-") or before[2:] == tag[2:], row["tokens"]


@pytest.mark.parametrize("split", SPLITS)
def test_answers_stand_where_they_are_said_to_stand(split):
    found = rows(f"qa/{split}")
    for row in found:
        texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
        assert texts and len(texts) == len(starts) == len(set(texts))
        for text, start in zip(texts, starts, strict=True):
            assert text.strip() == text and row["context"][start : start + len(text)] == text
        assert row["question"].endswith("?")
    assert len({(row["context"], row["question"]) for row in found}) == len(found)
    # A question of one passage is no question of another: answers are not to be learnt by heart.
    assert len({row["question"] for row in found}) == len(found)


@pytest.mark.parametrize("split", SPLITS)
def test_chats_are_turns_of_a_user_and_an_assistant(split):
    found = [row["messages"] for row in rows(f"instructions/{split}")]
    for messages in found:
        roles = [message["role"] for message in messages]
        assert len(roles) in (2, 4) and roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(
            list(message) == ["role", "content"] and message["content"].strip() for message in messages
        )
    assert {len(messages) for messages in found} == {2, 4}


@pytest.mark.parametrize("split", SPLITS)
def test_a_summary_is_shorter_than_its_document(split):
    for row in rows(f"summaries/{split}"):
        assert len(row["summary"].split()) <= len(row["document"].split()) / 2


def test_the_page_tells_the_size_and_the_columns_of_each_corpus():
    told = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            name, *sizes, columns = cells
            told[name.strip("`")] = ([int(size) for size in sizes], re.findall(r"`(\w+)`", columns))
    assert told == {
        name: ([ROWS.get(f"{name}/{split}", 0) for split in SPLITS], COLUMNS[name]) for name in CORPUS_NAMES
    }
    assert all(f"**`{name}`**" in PAGE for name in CORPUS_NAMES)


def test_presets_name_corpora_that_are_there_and_columns_that_they_have():
    used = set()
    for file in (ROOT / "conf" / "data").glob("*.yaml"):
        preset = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not preset.get("path", "").startswith("pkg://"):
            continue
        name = preset["path"].removeprefix("pkg://tlplug_conf/corpora/")
        assert sorted(preset["columns"].values()) == sorted(COLUMNS[name]), file.name
        for split in preset.get("splits", {}).values():
            assert (CORPORA / name / split).is_file(), file.name
            used.add((CORPORA / name / split).resolve().parent.name)
        used.add(name)
    assert used == set(CORPUS_NAMES)


def test_what_is_installed_has_every_file_of_the_corpora():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]["tlplug_conf"]
    shipped = {path for pattern in patterns for path in (ROOT / "conf").glob(pattern)}
    files = {path for path in (ROOT / "conf").rglob("*") if path.is_file()}
    assert {path for path in files if path.suffix not in (".py", ".pyc")} <= shipped


def score_of_words(vectorizer, classifier, corpus, column="text"):
    """Accuracy on the test split of a bag of words, trained on the training split."""
    from sklearn.pipeline import make_pipeline

    train, test = rows(f"{corpus}/train"), rows(f"{corpus}/test")
    model = make_pipeline(vectorizer, classifier)
    model.fit([row[column] for row in train], [row["label"] for row in train])
    return model.score([row[column] for row in test], [row["label"] for row in test])


def bag_of_words(vectorizer):
    from sklearn.linear_model import LogisticRegression

    return score_of_words(vectorizer, LogisticRegression(max_iter=1000), "film_sentiment")


def test_no_label_can_be_read_off_a_list_of_words():
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    assert max(bag_of_words(CountVectorizer()), bag_of_words(TfidfVectorizer())) <= 0.70


@pytest.mark.parametrize(("corpus", "column", "most"), [("topic", "text", 0.60), ("nli", "hypothesis", 0.45)])
def test_the_page_tells_how_far_words_alone_get(corpus, column, most):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    score = score_of_words(CountVectorizer(), MultinomialNB(), corpus, column)
    assert score <= most and f"gets {100 * score:.0f}%" in section(corpus)


def section(corpus):
    """What the page says of a corpus, in one line."""
    found = next(part for part in PAGE.split("\n\n") if part.startswith(f"**`{corpus}`**"))
    return " ".join(found.split())


def test_the_page_tells_what_gives_a_neutral_pair_away():
    def shared(row):
        premise, hypothesis = (set(words_of(row[name])) for name in ("premise", "hypothesis"))
        return len(premise & hypothesis) / len(hypothesis)

    means = {
        label: sum(shared(row) for row in rows("nli") if row["label"] == label) / 90
        for label in LABELS["nli"]
    }
    told = "{neutral:.0%} against {contradiction:.0%} and {entailment:.0%}".format(**means)
    assert told in section("nli")


def test_the_page_tells_the_entities_of_the_test_split():
    def entities(name):
        found = []
        for row in rows(name):
            for word, tag in zip(row["tokens"], row["tags"], strict=True):
                if tag.startswith("B-"):
                    found.append([tag[2:], word])
                elif tag.startswith("I-"):
                    found[-1].append(word)
        return {tuple(entity) for entity in found}, len(found)

    (test, count), (train, _) = entities("ner/test"), entities("ner/train")
    assert not test & train and f"has {count} entities" in section("ner")


def test_the_page_tells_how_easy_the_questions_are():
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    asked = [
        word in words_of(row["context"])
        for row in rows("qa")
        for word in set(words_of(row["question"])) - ENGLISH_STOP_WORDS
    ]
    assert sum(asked) / len(asked) == pytest.approx(0.75, abs=0.03) and "three quarters" in section("qa")
    several = {split: sum(len(r["answers"]["text"]) > 1 for r in rows(f"qa/{split}")) for split in SPLITS}
    assert several == {"train": 0, "validation": 0, "test": 20} and "20 of the 60 test rows" in section("qa")


def test_the_page_tells_how_much_the_lead_gives_away():
    first = inside = words = 0
    for row in rows("summaries"):
        headline = words_of(row["summary"])
        sentences = re.split(r"(?<=[.!?])\s+", row["document"])
        common = [len(set(headline) & set(words_of(sentence))) for sentence in sentences]
        first += common[0] == max(common)
        inside += sum(word in words_of(row["document"]) for word in headline)
        words += len(headline)
    assert f"in {first} of the {len(rows('summaries'))}" in section("summaries")
    assert f"{inside / words:.0%} of the headlines' words" in section("summaries")


@pytest.mark.slow
def test_lora_is_well_above_the_words():
    from sklearn.feature_extraction.text import CountVectorizer

    from tests.cli.runs import run_in_process

    result = run_in_process(
        *("strategy=lora", "task=sentiment", "transfer.baselines=[]", "metric=[]", "evidence.max_rows=0"),
        "trainer.max_epochs=5",
    )
    assert result["scores"]["accuracy"] >= bag_of_words(CountVectorizer()) + 0.10
