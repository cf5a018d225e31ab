"""A pattern is all files that match it, as one table in which each row knows its file."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.data.sample_files import failure, jsonl, numbered, settings, texts
from tlplug.data.read import read_splits
from tlplug.data.split import Split

pytestmark = pytest.mark.usefixtures("alone")

WANTED = {"text": "", "label": ""}


def train(path: str, pattern: str | None = None, wanted: dict[str, str] = WANTED) -> Split:
    """All rows of the files, in order."""
    given = pattern or path
    splits = {"train": given if pattern else "train", "validation": "one.jsonl", "test": "one.jsonl"}
    one = dict.fromkeys(wanted, "")
    jsonl(Path(path).parent / "one.jsonl" if pattern is None else Path(path) / "one.jsonl", [one])
    return read_splits(settings(path, splits=splits), wanted)["train"]


def test_files_in_order_of_their_names(tmp_path: Path) -> None:
    jsonl(tmp_path / "logs/b.jsonl", numbered(2, "b"))
    (tmp_path / "logs/a.jsonl").write_text('\n{"text": "a0", "label": "x"}\n\n{"text": "a1", "label": "x"}\n')
    jsonl(tmp_path / "logs/.hidden.jsonl", numbered(2, "hidden"))
    (tmp_path / "logs/c.csv").write_text("text,label\nc,0\n")
    (tmp_path / "logs/d.jsonl").mkdir()
    for path in ("logs/?.jsonl", str(tmp_path / "logs/[ab].jsonl"), "./logs/../logs/?.jsonl"):
        split = train(path)
        assert texts(split) == ["a0", "a1", "b0", "b1"]
        assert [row["id"] for row in split] == [0, 1, 2, 3]
        assert [Path(split.where(i)).name for i in range(4)] == [
            "a.jsonl, line 2",
            "a.jsonl, line 4",
            "b.jsonl, line 1",
            "b.jsonl, line 2",
        ]
    assert pickle.loads(pickle.dumps(split[2:])).where(1).endswith("b.jsonl, line 2")


def test_a_pattern_in_data_splits(tmp_path: Path) -> None:
    for name in ("part-1", "part-2"):
        (tmp_path / "d" / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"d/{name}.csv.gz").write_bytes(gzip.compress(f"text,label\n{name},0\n".encode()))
    assert texts(train("d", "part-*.csv.gz")) == ["part-1", "part-2"]
    assert texts(train("d", "part-*")) == ["part-1", "part-2"]
    jsonl(tmp_path / "d/x/y/deep.jsonl", numbered(1, "deep"))
    jsonl(tmp_path / "d/x/flat.jsonl", numbered(1, "flat"))
    assert texts(train("d", "x/**/*.jsonl")) == ["flat0", "deep0"]


def test_a_pattern_in_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        jsonl(tmp_path / f"site/patterned_pkg/x/{name}.jsonl", numbered(5, name))
    (tmp_path / "site/patterned_pkg/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert len(read_splits(settings("pkg://patterned_pkg/x/*.jsonl"), WANTED)["train"]) == 6


def test_a_pattern_has_the_split_train_only(tmp_path: Path) -> None:
    jsonl(tmp_path / "logs/train.jsonl", numbered(5))
    jsonl(tmp_path / "logs/test.jsonl", numbered(5))
    told = failure("logs/t*.jsonl", splits={"test": "test"})
    assert "logs/t*.jsonl has no such split; it has train" in told
    splits = read_splits(settings("logs/t*.jsonl", splits={"test": "test.jsonl"}), WANTED)
    assert len(splits["test"]) == 5 and len(splits["train"]) == 8


def test_a_folder_whose_own_name_has_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(tmp_path / "[runs]/a-1.jsonl", numbered(2, "a"))
    monkeypatch.chdir(tmp_path / "[runs]")
    assert texts(train(".", "a-*.jsonl")) == ["a0", "a1"]
    assert texts(train(str(tmp_path / "[runs]/a-[0-9].jsonl"))) == ["a0", "a1"]


def test_no_match_names_what_is_there(tmp_path: Path) -> None:
    jsonl(tmp_path / "logs/a.jsonl", numbered(5))
    assert failure("logs/*.csv") == "data.path: no file matches logs/*.csv. The folder logs has: a.jsonl."
    assert failure("nowhere/*.csv").startswith(
        "data.path: no file matches nowhere/*.csv. The folder . has: logs"
    )
    told = failure("logs", splits={"train": "b*.jsonl"})
    assert told.startswith("data.splits.train=b*.jsonl: no file matches logs/b*.jsonl.")
    (tmp_path / "logs/b.pdf").touch()
    assert failure("logs/*").startswith("data.path: logs/b.pdf is not a data file; its name may end in .csv")


def test_columns_that_do_not_agree_name_both_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("label,text\n0,t\n")
    (tmp_path / "b.csv").write_text("text,label\nu,1\n")
    assert [row["label"] for row in train("[ab].csv")] == ["0", "1"]
    (tmp_path / "b.csv").write_text("text,class\nu,1\n")
    told = failure("[ab].csv")
    assert "a.csv has label, text, and b.csv has text, class." in told and "[ab].csv" in told


def test_classes_that_do_not_agree_name_both_files(tmp_path: Path) -> None:
    import datasets

    datasets.disable_progress_bars()
    for name, classes in (("a", ["bad", "good"]), ("b", ["bad", "good"]), ("c", ["good", "bad"])):
        features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=classes))
        columns = {"text": [name, name], "label": [0, 1]}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / f"{name}.parquet")
    split = train("[ab].parquet")
    assert [row["label"] for row in split] == ["bad", "good", "bad", "good"]
    assert split.where(2) == "b.parquet, row 1"
    assert "a.parquet has {'label': ['bad', 'good']}, and c.parquet has" in failure("[abc].parquet")


def test_broken_lines_and_mixed_kinds_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "t", "label": 1}\n{\n')
    (tmp_path / "b.jsonl").write_text("[]\n")
    told = failure("*.jsonl")
    assert "a.jsonl, line 2: not valid JSON" in told and "b.jsonl, line 1: a list" in told
    jsonl(tmp_path / "a.jsonl", [{"text": "t", "label": None}, {"text": "t", "label": 1}])
    jsonl(tmp_path / "b.jsonl", [{"text": "t", "label": "x"}])
    assert '"label" is a number in a.jsonl, line 2, text in b.jsonl, line 1' in failure("*.jsonl")


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_values_that_do_not_agree_name_file_and_line(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    first: list[dict[str, Any]] = [{"text": ["a"], "label": 0}, {"text": [], "label": 0}]
    if name == "a.jsonl":
        jsonl(tmp_path / name, first)
    else:
        write_table(pa.Table.from_pylist(first), tmp_path / name)
    jsonl(
        tmp_path / "b.jsonl",
        [{"text": [], "label": 0}, {"text": None, "label": 1}, {"text": [1], "label": 1}],
    )
    assert failure("[ab].*").startswith('b.jsonl, line 3: "text" has a value that does not go with those')


def test_kinds_of_a_typed_and_of_a_text_file_name_both_places(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.Table.from_pylist([{"text": "a", "label": 0}]), tmp_path / "a.parquet")
    jsonl(tmp_path / "b.jsonl", [{"text": "b", "label": None}, {"text": "b", "label": "x"}])
    assert failure("[ab].*") == (
        'b.jsonl, line 2: "label" has a value that does not go with those of the rows before it: '
        "it is string, and a.parquet, row 1 has int64. A column has one type."
    )
    jsonl(tmp_path / "b.jsonl", [{"text": "b", "label": 2**53 + 1}, {"text": "b", "label": 0.5}])
    told = failure("[ab].*")
    assert told.startswith('b.jsonl, line 1: "label" has an unusable value: Integer value 9007199254740993')
    assert told.endswith("The column has int64 in a.parquet, row 1, double in b.jsonl, line 2.")


def test_types_are_those_that_hold_the_values_of_all_files(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", [{"text": None, "label": 1, "m": []}])
    jsonl(tmp_path / "b.jsonl", [{"text": "t", "label": 0.5, "m": [{"role": "user"}]}])
    split = train("[ab].jsonl", wanted={**WANTED, "m": ""})
    assert [(row["text"], row["label"], row["m"]) for row in split] == [
        (None, 1, []),
        ("t", 0.5, [{"role": "user"}]),
    ]


def test_arrow_files_are_mapped_and_not_copied(tmp_path: Path) -> None:
    import pyarrow as pa

    def write(name: str, table: Any) -> None:
        with pa.OSFile(name, "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)

    for name in ("a", "b"):
        write(f"{name}.arrow", pa.table({"text": [name * 1000] * 5000, "label": [1] * 5000}))
    before = pa.total_allocated_bytes()
    split = train("[ab].arrow")
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert split[5000]["text"] == "b" * 1000 and split.where(5000) == "b.arrow, row 1"
    write("b.arrow", pa.table({"text": ["b"], "label": [0.5]}))
    assert [row["label"] for row in train("[ab].arrow")][-2:] == [1, 0.5]
