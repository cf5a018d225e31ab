"""Every format gives the rows that stand in the file, or says what is wrong with it."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.data.sample_files import failure, jsonl, numbered, settings, texts, whole
from tlplug.data.read import read_splits
from tlplug.data.split import Split

pytestmark = pytest.mark.usefixtures("alone")

PLAIN = {
    "a.jsonl": '{"text": "t0", "label": "0"}\n\n{"text": "ü", "label": "1"}\n',
    "a.json": '[\n{"text": "t0", "label": "0"},\n{"text": "ü", "label": "1"}]',
    "a.csv": 'text,label\nt0,0\n\n"ü",1\n',
    "a.tsv": "text\tlabel\nt0\t0\n\nü\t1\n",
}


def packed(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content if isinstance(content, bytes) else content.encode()))
    return path


def dataset(rows: list[dict[str, Any]]) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.Dataset.from_list(rows)


def arrow(path: Path, rows: list[dict[str, Any]], kind: str = "stream") -> Path:
    import pyarrow as pa

    table = dataset(rows).data.table
    opened = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, opened(file, table.schema) as writer:
        writer.write_table(table)
    return path


def rows_of(split: Split) -> list[dict[str, Any]]:
    return [{key: row[key] for key in row if key != "id"} for row in split]


@pytest.mark.parametrize("name", PLAIN)
def test_gzip_is_read_like_what_is_in_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(PLAIN[name])
    file = packed(tmp_path / f"{name}.gz", PLAIN[name])
    plain, split = whole(tmp_path / name), whole(file)
    assert list(split) == list(plain) and texts(split) == ["t0", "ü"]
    assert [split.where(i) for i in (0, 1)] == [plain.where(i).replace(name, f"{name}.gz") for i in (0, 1)]


def test_gzip_in_folders_packages_and_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in numbered(4))
    packed(tmp_path / "site/packed_pkg/x/train.jsonl.gz", lines)
    packed(tmp_path / "site/packed_pkg/x/dev.csv.gz", PLAIN["a.csv"])
    packed(tmp_path / "site/packed_pkg/x/test.TSV.GZ", PLAIN["a.tsv"])
    monkeypatch.syspath_prepend(tmp_path / "site")
    for path in (tmp_path / "site/packed_pkg/x", "pkg://packed_pkg/x"):
        splits = read_splits(settings(path, splits={"validation": "dev.csv.gz", "test": "test"}), wanted())
        assert {name: len(split) for name, split in splits.items()} == {
            "train": 4,
            "validation": 2,
            "test": 2,
        }


def wanted() -> dict[str, str]:
    return {"text": "", "label": ""}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.jsonl.gz", '{"text": "t"}\n{', "a.jsonl.gz, line 2: not valid JSON"),
        ("a.json.gz", '[{"text": "t"}\n', "a.json.gz, line 2: not valid JSON"),
        ("a.csv.gz", "text,label\nt,a\nt\n", "a.csv.gz, line 3: 1 fields"),
        ("a.tsv.gz", b"text\tlabel\n\xff\ta\n", "a.tsv.gz, line 2: byte 1 is not UTF-8"),
        ("a.jsonl.gz", "", "a.jsonl.gz, line 1: the file has no rows"),
        ("a.csv.gz", "", "a.csv.gz, line 1: the file is empty"),
        ("a.txt.gz", "\n \n", "a.txt.gz, line 1: the file has no rows"),
    ],
)
def test_gzip_has_the_same_errors(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    packed(tmp_path / name, content)
    assert told in failure(name)


def test_what_is_no_gzip(tmp_path: Path) -> None:
    (tmp_path / "plain.jsonl.gz").write_text('{"text": "t", "label": "a"}\n')
    assert failure("plain.jsonl.gz").startswith(
        "plain.jsonl.gz cannot be unpacked as gzip: Not a gzipped file"
    )
    (tmp_path / "none.json.gz").touch()
    assert "none.json.gz, line 1: the file has no rows" in failure("none.json.gz")
    good = packed(
        tmp_path / "a.csv.gz", "text,label\n" + "".join(f"{i**9},a\n" for i in range(5000))
    ).read_bytes()
    (tmp_path / "cut.csv.gz").write_bytes(good[:-3000])
    assert failure("cut.csv.gz").startswith("cut.csv.gz is cut off: ")
    (tmp_path / "bad.csv.gz").write_bytes(good[:3000] + b"\xff" * 500 + good[3500:])
    assert failure("bad.csv.gz").startswith("bad.csv.gz cannot be unpacked as gzip: ")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    jsonl(tmp_path / "a.jsonl", numbered(3))
    monkeypatch.setattr(Path, "open", refuse)
    assert failure("a.jsonl") == "a.jsonl cannot be read: Permission denied."


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_plain_text_is_a_row_a_line(tmp_path: Path, name: str) -> None:
    text = '\ufeff\none line\r\n\n    def f():\n \t\nlast, "x"'
    (packed(tmp_path / name, text) if name.endswith("gz") else (tmp_path / name).write_bytes(text.encode()))
    split = whole(tmp_path / name, wanted={"text": ""})
    assert texts(split) == ["one line", "    def f():", 'last, "x"']
    assert [split.where(i) for i in range(3)] == [f"{name}, line {n}" for n in (2, 4, 6)]
    assert f'{name}: no column "label". Its columns are text.' in failure(name)


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow_is_mapped_and_not_copied(tmp_path: Path, kind: str) -> None:
    import pyarrow as pa

    rows = [{"text": "x" * 1000, "label": i, "more": [i]} for i in range(20_000)]
    path = arrow(tmp_path / "a.arrow", rows, kind)
    before = pa.total_allocated_bytes()
    split = whole(path)
    assert pa.total_allocated_bytes() - before < 1_000_000
    assert split[19_999] == {"text": "x" * 1000, "label": 19_999, "id": 19_999}
    assert split.where(7) == "a.arrow, row 8"
    assert pickle.loads(pickle.dumps(split[:2]))[1]["label"] == 1


def test_what_is_no_arrow(tmp_path: Path) -> None:
    (tmp_path / "a.arrow").write_text("text,label\n" * 100)
    assert failure("a.arrow").startswith("a.arrow cannot be read as Arrow: ")
    (tmp_path / "b.arrow").touch()
    assert failure("b.arrow").startswith("b.arrow cannot be read as Arrow: ")
    for kind in ("stream", "file"):
        whole_file = arrow(tmp_path / "c.arrow", [{"text": "x" * 500, "label": i} for i in range(2000)], kind)
        whole_file.write_bytes(whole_file.read_bytes()[:-5000])
        assert failure("c.arrow").startswith("c.arrow cannot be read as Arrow: ")


def test_arrow_without_rows_and_with_odd_types(tmp_path: Path) -> None:
    import pyarrow as pa

    def write(table: Any) -> None:
        with pa.OSFile("a.arrow", "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)

    write(pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}))
    assert "a.arrow: the file has no rows" in failure("a.arrow")
    write(pa.table({"text": ["a"], "label": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64()))}))
    assert failure("a.arrow").startswith(
        "a.arrow has a column that cannot be used: Arrow type map<string, int64>"
    )
    kinds = pa.array(["x", "y"]).dictionary_encode()
    write(pa.table({"text": ["a", "b"], "label": kinds}))
    assert [row["label"] for row in whole(Path("a.arrow"))] == ["x", "y"]


def test_a_categorical_column_of_parquet_is_its_categories(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    table = pa.table({"text": ["a", "b", "c"], "label": pa.array(["x", "y", "x"]).dictionary_encode()})
    write_table(table, tmp_path / "a.parquet")
    assert [row["label"] for row in whole(tmp_path / "a.parquet")] == ["x", "y", "x"]


def test_folders_that_datasets_saved(tmp_path: Path) -> None:
    import datasets

    label = datasets.ClassLabel(names=["bad", "good"])
    one = dataset([{"text": f"t{i}", "label": i % 2} for i in range(10)]).cast_column("label", label)
    one.save_to_disk(tmp_path / "one", num_shards=2)
    splits = read_splits(settings("one"), wanted())
    assert {name: len(split) for name, split in splits.items()} == {"train": 6, "validation": 2, "test": 2}
    assert splits["train"][0] in [
        {"text": f"t{i}", "label": ["bad", "good"][i % 2], "id": i} for i in range(10)
    ]
    assert splits["train"].where(0).startswith("split 'train' of one, row ")

    datasets.DatasetDict(train=one, dev=one.select(range(3))).save_to_disk(tmp_path / "both")
    splits = read_splits(settings("both", splits={"validation": "dev", "test": "dev"}), wanted())
    assert len(splits["train"]) == 10 and texts(splits["test"]) == ["t0", "t1", "t2"]
    assert "both has no such split; it has train, dev" in failure("both", splits={"test": "tset"})

    (tmp_path / "both/train/state.json").write_text("{")
    assert failure("both").startswith("data.path: both/train/state.json cannot be read: ")


def test_a_folder_is_no_split(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", numbered(10))
    (tmp_path / "parts").mkdir()
    told = failure("a.jsonl", splits={"train": "./parts"})
    assert told.startswith("data.splits.train=./parts: parts is a folder, and a split is a file. ")
    told = failure("a.jsonl", splits={"train": "parts"})
    assert "has no such split; it has train." in told and told.endswith(
        "parts is a folder: a file in it is parts/..."
    )


def test_very_long_lines_are_read(tmp_path: Path) -> None:
    long = "x " * 500_000
    jsonl(tmp_path / "a.jsonl", [{"text": long, "label": "a"}, {"text": "t", "label": "b"}])
    (tmp_path / "a.json").write_text(json.dumps([{"text": long, "label": "a"}, {"text": "t", "label": "b"}]))
    (tmp_path / "a.csv").write_text(f'text,label\n"{long}",a\nt,b\n')
    (tmp_path / "a.txt").write_text(f"{long}\nt\n")
    for name in ("a.jsonl", "a.json", "a.csv", "a.txt"):
        columns = {"text": ""} if name == "a.txt" else wanted()
        assert texts(whole(tmp_path / name, wanted=columns)) == [long, "t"]
    (tmp_path / "b.jsonl").write_text('{"text": "' + long + '\n{"text": "t", "label": "b"}\n')
    told = failure("b.jsonl")
    assert "b.jsonl, line 1: not valid JSON" in told and len(told) < 300


CHATS: list[dict[str, Any]] = [
    {
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}],
        "tokens": ["a"],
    },
    {"messages": [], "tokens": []},
    {"messages": [{"role": "user", "content": "ü"}], "tokens": ["b", "c"]},
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet", "a.arrow", "a.jsonl.gz"])
def test_messages_and_tokens_keep_their_shape(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        dataset(CHATS).to_parquet(path)
    elif name == "a.arrow":
        arrow(path, CHATS)
    elif name == "a.json":
        path.write_text(json.dumps(CHATS))
    elif name == "a.jsonl":
        jsonl(path, CHATS)
    else:
        packed(path, "".join(json.dumps(row) + "\n" for row in CHATS))
    split = whole(path, wanted={"messages": "", "tokens": ""})
    assert rows_of(split) == CHATS
    assert [split[i]["messages"] for i in range(3)] == [row["messages"] for row in CHATS]
    assert rows_of(pickle.loads(pickle.dumps(split[1:]))) == CHATS[1:]


def test_objects_of_json_are_what_stands_there(tmp_path: Path) -> None:
    values: list[Any] = [
        [{"role": "user"}, {"role": "tool", "content": None, "arguments": {"x": 1, "y": [1, "a"]}}],
        [{"role": "user", "content": "c", "arguments": {"x": "one"}, "score": 1 / 3, "big": 2**70}],
        [[{"deep": []}], []],
        [],
        None,
    ]
    split = whole(
        jsonl(tmp_path / "a.jsonl", [{"messages": value} for value in values]), wanted={"messages": ""}
    )
    assert [row["messages"] for row in split] == values
    assert [split[i]["messages"] for i in range(5)] == values
    objects = [{"text": {"a": 1}, "label": 1}, {"text": {"b": 1.5}, "label": None}]
    assert rows_of(whole(jsonl(tmp_path / "b.jsonl", objects))) == objects


def test_json_of_the_hub_is_left_to_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(text=datasets.Json(), label=datasets.Value("int64"))
    rows = datasets.Dataset.from_list([{"text": {"a": i}, "label": i} for i in range(10)], features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.DatasetDict(train=rows))
    split = read_splits(settings("owner/name"), wanted())["train"]
    assert all(row["text"] == {"a": row["label"]} for row in split)
