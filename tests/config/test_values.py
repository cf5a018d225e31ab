"""Values with any characters, read as the field expects them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tlplug.config.compose import Composer
from tlplug.config.overrides import as_text, parse
from tlplug.config.values import hydra_value, read_value, text_value
from tlplug.errors import UsageError
from tlplug.runtime.compat import multiply_out

BASIC = ["strategy=lora", "task=sentiment"]


@pytest.fixture(scope="module")
def composer():
    with Composer() as composer:
        yield composer


def value(composer, word):
    return OmegaConf.select(composer.compose([*BASIC, word]), word.partition("=")[0])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("data.path=/tmp/café.csv", "/tmp/café.csv"),
        ("data.path=数据", "数据"),
        ("data.path=a&b#c", "a&b#c"),
        ("data.path=run=3/x.csv", "run=3/x.csv"),
        ("data.path=my data (1)", "my data (1)"),
        ("data.path=O'Brien", "O'Brien"),
        ("data.path=C:\\données\\x.csv", "C:\\données\\x.csv"),
        ("data.path=50% off!.csv", "50% off!.csv"),
        ("data.path=[draft] rows.csv", "[draft] rows.csv"),
        ("data.path=2024_01", "2024_01"),
        ("data.path=1e5", "1e5"),
        ("data.path=true", "true"),
        ("data.path=0x10", "0x10"),
        ("data.path=null", "null"),
        ("data.path='a,b.csv'", "a,b.csv"),
        ("data.path=a\\,b.csv", "a,b.csv"),
        ("data.columns.text=Rating (1-5)", "Rating (1-5)"),
        ("data.columns.text=null", "null"),
        ("data.columns.text=007", "007"),
        ("model.revision=1e10", "1e10"),
        ("model.revision=null", None),
        ("transfer.baselines=[trivial,1e5,true]", ["trivial", "1e5", "true"]),
        ("head.class_weights={0: 1, 1: 4}", {"0": 1, "1": 4}),
        ("head.class_weights={été: 1, R&B: 4.5}", {"été": 1, "R&B": 4.5}),
        ("head.class_weights={true: 1, 1e5: 2}", {"true": 1, "1e5": 2}),
        ("head.class_weights={'a,b': 1, d: 2}", {"a,b": 1, "d": 2}),
        ("seed=1_0", 10),
        ("optimizer.learning_rate=1e-4", 0.0001),
        ("trainer.limit_train_batches=0.5", 0.5),
        ("strategy.target_modules=[q,v]", ["q", "v"]),
    ],
)
def test_a_field_decides_how_its_value_is_read(composer, word, expected):
    assert value(composer, word) == expected


def test_answers_of_a_head_are_texts(composer):
    config = composer.compose(["strategy=lora", "task=instruction", "head.answers=[true,false,1.0]"])
    assert config.head.answers == ["true", "false", "1.0"]


@pytest.mark.parametrize(
    ("word", "shell"),
    [
        ("data.columns.text=text,raw", "'data.columns.text=\"text,raw\"'"),
        ("data.path={a:b}", "'data.path=\"{a:b}\"'"),
        ("data.path=[x]", "'data.path=\"[x]\"'"),
        ("data.path=Zoë, Ann.csv", "'data.path=\"Zoë, Ann.csv\"'"),
    ],
)
def test_what_means_something_else_is_shown_as_it_has_to_be_typed(composer, word, shell):
    with pytest.raises(UsageError) as caught:
        composer.compose([*BASIC, word])
    assert shell in str(caught.value)
    key, _, text = word.partition("=")
    assert value(composer, shell.strip("'")) == text, key


def test_an_interpolation_that_is_text_can_be_typed(composer):
    (override,) = parse(["data.path=a ${b}"])
    config = composer.compose([*BASIC, as_text(override).strip("'")])
    assert config.data.path == "a ${b}"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("transfer.baselines=[trivial", "is not a list: type transfer.baselines=[first,second]"),
        ("seed=é", "'seed=é': Value 'é' of type 'str' could not be converted to Integer"),
        ("strategy=é", "no strategy 'é'"),
        ("data.path=" + "[" * 5000 + "é", "cannot read 'data.path=[["),
        ("sèed=1", "no key or group 'sèed'"),
    ],
)
def test_other_fields_have_one_clear_error(composer, word, message):
    with pytest.raises(UsageError) as caught:
        composer.compose([*BASIC, word])
    assert message in str(caught.value)


def test_jobs_of_a_sweep_keep_what_was_typed(composer):
    jobs = multiply_out(composer.check([*BASIC, "data.path=café.csv,2024_01,1e5,O'Neil", "seed=1,2"]))
    paths = [composer.compose(job).data.path for job in jobs]
    assert paths == [path for path in ("café.csv", "2024_01", "1e5", "O'Neil") for _ in range(2)]
    assert [composer.compose(job).seed for job in jobs] == [1, 2] * 4


TEXTS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters=",'\"\\${}[]"), min_size=1)


@given(TEXTS)
def test_any_text_without_commas_brackets_and_quotes_is_one_value(text):
    assert [text_value(item) for item in read_value(text)] == [text]


@given(st.recursive(TEXTS.filter(lambda text: ":" not in text), lambda items: st.lists(items, max_size=4)))
def test_lists_are_read_as_they_were_written(tree):
    def written(tree):
        return f"[{', '.join(map(written, tree))}]" if isinstance(tree, list) else tree

    assert [text_value(item) for item in read_value(written(tree))] == [tree]


@given(st.text())
def test_no_text_stops_the_reader(text):
    for item in read_value(text):
        hydra_value(text_value(item))
