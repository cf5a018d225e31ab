"""A JSON list is read item by item, whatever the pieces that its text comes in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlplug.data.readers.json_reader import Item, list_items

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def pieces(text: str, size: int) -> Iterator[str]:
    yield from (text[at : at + size] for at in range(0, len(text), size))
    yield ""


def items(text: str, size: int = 1000) -> list[Item]:
    return list(list_items(pieces(text, size)))


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_any_list_in_any_pieces(values: list[Any], indent: int | None, ascii: bool, size: int) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=ascii)
    found = items(f" \n{text}\n ", size)
    assert [item.value for item in found] == values
    assert not any(item.error or item.after_end for item in found)
    assert found == items(f" \n{text}\n ")


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_a_list_that_is_cut_off_is_told_once(values: list[Any], data: st.DataObject) -> None:
    text = json.dumps(values, indent=1)
    cut = text[: data.draw(st.integers(1, len(text) - 1))].rstrip()
    found = items(cut, data.draw(st.integers(1, 30)))
    assert found[-1].error and not any(item.error for item in found[:-1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ('[{"a": 1},\n {"b" 2}]', 2, "Expecting ':' delimiter, character 7"),
        ('[{"a": 1}, {"b" 2}]', 1, "Expecting ':' delimiter, character 17"),
        ('[\n\n{"a":\n tru}]', 4, "Expecting value, character 2"),
        ('[{"a": "x\ny"}]', 1, "Invalid control character at, character 10"),
        ('[{"a": 1}\n', 2, "Expecting value, character 1"),
    ],
)
def test_where_it_is_broken(text: str, line: int, error: str, size: int) -> None:
    last = items(text, size)[-1]
    assert (last.line, last.error) == (line, error)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_lines_of_items_and_of_what_comes_after_the_list(size: int) -> None:
    found = items('\n[\n{"a":\n1}, {"b": 2},\n\n[12], 345\n]\n ]', size)
    assert [item.line for item in found] == [3, 4, 6, 6, 7]
    assert [item.value for item in found[:4]] == [{"a": 1}, {"b": 2}, [12], 345]
    assert found[-1].after_end


def test_a_broken_item_does_not_take_the_rest_into_memory() -> None:
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        yield '[{"a": 1}, {"b" 2}, '
        while taken < 1000:
            taken += 1
            yield '{"a": 1},' * 10

    assert list(list_items(endless()))[-1].error and taken < 5


def test_nesting_without_end_is_an_error() -> None:
    assert items("[" * 100_000)[-1].error == "lists or objects in one another without end"
