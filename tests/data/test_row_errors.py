"""Wrong data is told once, all of it, with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tlplug.data.read import read_splits
from tlplug.data.split import Split, check_rows
from tlplug.errors import UsageError
from tlplug.interfaces import Row, TaskHead
from tlplug.settings import DataSettings, SplitSettings


class Heading(TaskHead):
    """Wants a text and a label that is a or b."""

    columns = {"text": "what is read", "label": "a or b"}

    def row_error(self, row: Row, with_targets: bool) -> str | None:
        if not row["text"]:
            return '"text" is empty'
        return None if row["label"] in ("a", "b") else f'"label" is {row["label"]!r}; expected a or b'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(train: str, test: str = "good.jsonl") -> None:
    Path("good.jsonl").write_text('{"text": "t", "label": "a"}\n')
    settings = DataSettings(path=".", splits=SplitSettings(train=train, validation=test, test=test))
    head = Heading()
    check_rows(read_splits(settings, head.columns), head)


def failure(train: str, test: str = "good.jsonl") -> str:
    with pytest.raises(UsageError) as caught:
        check(train, test)
    return str(caught.value)


def lines(train: str, test: str = "good.jsonl") -> list[str]:
    """The problems told, without the sentence above them."""
    return [line.strip() for line in failure(train, test).splitlines()[1:]]


def test_good_rows_pass() -> None:
    check("good.jsonl")


def test_rows_of_all_splits_with_their_lines() -> None:
    Path("a.csv").write_text('text,label\n\n"two\nlines",a\n,b\nx,c\n')
    Path("b.jsonl").write_text('\n{"text": "t", "label": "a"}\n\n{"text": "t"}\n')
    assert lines("a.csv", "b.jsonl") == [
        'a.csv, line 5: "text" is empty',
        "a.csv, line 6: \"label\" is 'c'; expected a or b",
        'b.jsonl, line 4: "label" is None; expected a or b',
    ]


def test_line_numbers_are_those_of_the_file_after_a_draw() -> None:
    rows = [{"text": "t", "label": "wrong" if i == 30 else "a"} for i in range(40)]
    Path("a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = DataSettings(path="a.jsonl", splits=SplitSettings(validation=0.4, test=0.4))
    with pytest.raises(UsageError, match=r"a\.jsonl, line 31: "):
        check_rows(read_splits(settings, Heading.columns), Heading())


def test_the_first_twenty_and_how_many_more() -> None:
    Path("a.csv").write_text("text,label\n" + "x,c\n" * 25)
    told = lines("a.csv")
    assert len(told) == 21
    assert told[0].startswith("a.csv, line 2:") and told[19].startswith("a.csv, line 21:")
    assert told[20] == "and 5 more"


def test_empty_split() -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"text": [], "label": [], "id": []})
    split = Split("test", rows, "split 'test' of owner/name", str)
    with pytest.raises(UsageError, match=r"split .test. of owner/name: no rows for data\.splits\.test"):
        check_rows({"test": split}, Heading())


def test_empty_parquet() -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.Dataset.from_dict({"text": ["t"], "label": ["a"]}).select([]).to_parquet("none.parquet")
    assert lines("none.parquet") == ["none.parquet: the file has no rows"]


@pytest.mark.parametrize(
    ("name", "content", "line", "told"),
    [
        ("a.jsonl", "", 1, "the file has no rows"),
        ("a.jsonl", '{"text": "t", "label": "a"}\n\n{"text": "t",\n', 3, "not valid JSON"),
        ("a.jsonl", '{"text": "t", "label": "a"}\n["t", "a"]\n', 2, 'a list; expected an object {"column"'),
        ("a.jsonl", "null\n", 1, "null; expected an object"),
        ("a.jsonl", b'{"text": "t"}\n{"text": "\xff"}\n', 2, "byte 11 is not UTF-8"),
        ("a.json", '[{"text": "t", "label": "a"},\n{"text": "t"\n', 3, "not valid JSON"),
        ("a.json", '[{"text": "t"},\n "t"]', 2, "text; expected an object"),
        ("a.json", '[{"text": "t"}]\n[{"text": "u"}]\n', 1, "the list ends here and the file goes on"),
        ("a.json", '[{"text": "t"}\n', 2, "not valid JSON"),
        ("a.json", b'[\n{"text": "\xff"}]\n', 2, "byte 11 is not UTF-8"),
        ("a.csv", "", 1, "the file is empty"),
        ("a.csv", "text,label\n", 1, "the file has no rows"),
        ("a.csv", "text,text\na,b\n", 1, "the header names a column twice: text"),
        ("a.csv", "text,label\nt,a\nt\n", 3, "1 fields, where the header has 2: text, label"),
        ("a.csv", 'text,label\n"t\nt",a\nt,a,b\n', 4, "3 fields, where the header has 2"),
        ("a.csv", 'text,label\nt,a\n"t,a\nt,a\n', 3, "cannot be split into fields"),
        ("a.csv", 'text,label\n"t"t,a\n', 2, "cannot be split into fields"),
        ("a.csv", b'text,label\n"t\n\xff",a\n', 3, "byte 1 is not UTF-8"),
        ("a.csv", b'text,label\n"\xff\n",a\n', 2, "byte 2 is not UTF-8"),
        ("a.csv", b"te\xffxt,label\nt,a\n", 1, "byte 3 is not UTF-8"),
        ("a.tsv", "text\tlabel\nt,a\n", 2, "1 fields, where the header has 2"),
    ],
)
def test_broken_lines(name: str, content: str | bytes, line: int, told: str) -> None:
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = lines(name)
    assert len(problems) == 1
    assert problems[0].startswith(f"{name}, line {line}: {told}")


def test_broken_lines_of_all_files_before_missing_columns() -> None:
    Path("a.csv").write_text("words,class\nt\nt,a\nt,a,b\n")
    Path("b.jsonl").write_text("[]\n{}\n{\n")
    told = lines("a.csv", "b.jsonl")
    assert [line.split(":")[0] for line in told] == [
        "a.csv, line 2",
        "a.csv, line 4",
        "b.jsonl, line 1",
        "b.jsonl, line 3",
    ]


def test_a_column_of_two_kinds() -> None:
    Path("a.jsonl").write_text(
        '{"text": "t", "label": null, "x": 1}\n'
        '{"text": "t", "label": 1}\n'
        '{"text": "t", "label": "a", "x": "y"}\n'
    )
    assert lines("a.jsonl") == ['"label" is a number in a.jsonl, line 2, text in a.jsonl, line 3']


def test_kinds_mixed_within_a_value_name_the_line() -> None:
    Path("a.jsonl").write_text('{"text": ["0"], "label": "a"}\n\n{"text": [1], "label": "a"}\n')
    assert failure("a.jsonl") == (
        'a.jsonl, line 3: "text" has a value that does not go with those of the rows before it: it is '
        "list<item: int64>, and a.jsonl, line 1 has list<item: string>. A column has one type."
    )
    Path("a.jsonl").write_text('{"text": [], "label": "a"}\n{"text": [1, "0"], "label": "a"}\n')
    assert failure("a.jsonl").startswith('a.jsonl, line 2: "text" has an unusable value: Could not convert')


def test_true_is_not_a_number() -> None:
    Path("a.jsonl").write_text('{"text": "t", "label": true}\n{"text": "t", "label": 1}\n')
    assert lines("a.jsonl") == ['"label" is true or false in a.jsonl, line 1, a number in a.jsonl, line 2']


def test_blank_lines_of_a_csv_of_one_column() -> None:
    Path("a.csv").write_text("text\n   \nx\n\n")
    settings = DataSettings(path="a.csv", splits=SplitSettings(validation="a.csv", test="a.csv"))
    split = read_splits(settings, {"text": "words"})["train"]
    assert [row["text"] for row in split] == ["x"] and split.where(0) == "a.csv, line 3"


def test_whole_and_broken_numbers_are_one_kind() -> None:
    Path("a.jsonl").write_text('{"text": "t", "label": 1}\n{"text": "t", "label": 0.5}\n')
    assert lines("a.jsonl")[1] == 'a.jsonl, line 2: "label" is 0.5; expected a or b'


@pytest.mark.parametrize("value", [2**70, "\ud800"])
def test_a_value_beyond_all_types_names_the_line(value: object) -> None:
    Path("a.jsonl").write_text(
        json.dumps({"text": "t", "label": "a" if isinstance(value, str) else 1})
        + "\n"
        + json.dumps({"text": "t", "label": value})
    )
    assert failure("a.jsonl").startswith('a.jsonl, line 2: "label" has an unusable value')


def test_json_beyond_all_reason_is_one_line_each() -> None:
    Path("a.jsonl").write_text("[" * 100_000 + "\n" + '{"text": ' + "1" * 5000 + "}\n")
    told = lines("a.jsonl")
    assert "a.jsonl, line 1: not valid JSON (lists or objects in one another without end)" in told[0]
    assert "a.jsonl, line 2: not valid JSON (Exceeds the limit (4300 digits)" in told[1] and len(told) == 2


def test_lists_in_lists_without_end_are_one_line() -> None:
    Path("a.jsonl").write_text('{"text": ' + "[" * 300 + "]" * 300 + ', "label": "a"}\n')
    assert failure("a.jsonl").startswith("a.jsonl has a column that cannot be used: maximum recursion depth")


def test_a_list_of_another_depth_is_described_in_short() -> None:
    Path("a.jsonl").write_text(
        f'{{"text": {"[" * 50}{"]" * 50}, "label": "a"}}\n{{"text": ["x"], "label": "a"}}\n'
    )
    told = failure("a.jsonl")
    assert told.startswith('a.jsonl, line 2: "text" has a value that does not go with') and len(told) < 250


def test_all_lines_that_are_not_utf_8_are_told() -> None:
    Path("a.csv").write_bytes(b"\xef\xbb\xbf\xfftext,label\nt,a\nt\xfft,a,b\n")
    assert lines("a.csv") == [
        "a.csv, line 1: byte 1 is not UTF-8; save the file as UTF-8",
        "a.csv, line 3: byte 2 is not UTF-8; save the file as UTF-8",
    ]


def test_a_long_field_is_read() -> None:
    Path("a.csv").write_text(f"text,label\n{'x' * 200_000},a\n")
    check("a.csv")


def test_quoted_blanks_are_a_row() -> None:
    Path("a.csv").write_text('text\n"  "\n \n""\nx\n')
    settings = DataSettings(path="a.csv", splits=SplitSettings(validation="a.csv", test="a.csv"))
    split = read_splits(settings, {"text": "words"})["train"]
    assert [row["text"] for row in split] == ["  ", "", "x"] and split.where(2) == "a.csv, line 5"


def test_a_quote_that_is_never_closed_does_not_take_the_file_into_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tlplug.data.readers.records.LONGEST", 1000)
    Path("a.csv").write_text('text,label\nt,a\n"t,a\n' + "t,a\n" * 1000)
    told = lines("a.csv")
    assert told[0].startswith(
        "a.csv, line 3: cannot be split into fields (field larger than field limit (1000))"
    )
