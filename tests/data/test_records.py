"""A JSON list is read item by item, each with the line that it begins on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlplug.data.readers.records import Record, read_records

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(st.text(max_size=5), VALUES, max_size=3)

Items = Callable[[str], list[Record]]


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Items:
    path = tmp_path_factory.mktemp("list") / "a.json"

    def read(text: str) -> list[Record]:
        path.write_bytes(text.encode())
        return list(read_records(path))

    return read


@given(st.lists(ROWS, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_any_list(items: Items, rows: list[dict[str, Any]], indent: int | None, ascii: bool) -> None:
    records = items(f" \n{json.dumps(rows, indent=indent, ensure_ascii=ascii)}\n ")
    assert [record.values for record in records] == rows
    assert not any(record.problem for record in records)


@given(st.lists(ROWS, min_size=1, max_size=4), st.data())
def test_a_list_that_is_cut_off_has_one_problem(
    items: Items, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    text = json.dumps(rows, indent=1)
    records = items(text[: data.draw(st.integers(1, len(text) - 1))].rstrip())
    assert records[-1].problem and not any(record.problem for record in records[:-1])


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ('[{"a": 1},\n {"b" 2}]', 2, "Expecting ':' delimiter, character 7"),
        ('[{"a": 1}, {"b" 2}]', 1, "Expecting ':' delimiter, character 17"),
        ('[\n\n{"a":\n tru}]', 4, "Expecting value, character 2"),
        ('[{"a": "x\ny"}]', 1, "Invalid control character at, character 10"),
        ('[{"a": 1}\n', 2, "Expecting ',' delimiter, character 1"),
        ('[{"a": 1}\n {"a": 2}]', 2, "Expecting ',' delimiter, character 2"),
    ],
)
def test_where_it_is_broken(items: Items, text: str, line: int, error: str) -> None:
    last = items(text)[-1]
    assert last.line == line and error in str(last.problem)


def test_lines_of_items_and_of_what_comes_after_the_list(items: Items) -> None:
    records = items('\n[\n{"a":\n1}, {"b": 2},\n\n{"c": [12]}, 345\n]\n ]')
    assert [record.line for record in records] == [3, 4, 6, 6, 7]
    assert [record.values for record in records[:3]] == [{"a": 1}, {"b": 2}, {"c": [12]}]
    assert str(records[3].problem).startswith("a number; expected an object")
    assert str(records[4].problem).startswith("the list ends here and the file goes on")


def test_nesting_without_end_is_an_error(items: Items) -> None:
    assert "(lists or objects in one another without end)" in str(items("[" * 100_000)[-1].problem)
