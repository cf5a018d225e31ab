"""A file that is larger than memory goes through a file on disk, and its rows are the same."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.sample_files import failure, jsonl, numbered, whole
from tlplug.data.split import Split

pytestmark = pytest.mark.usefixtures("alone")

ROWS: list[dict[str, Any]] = [
    {"text": f"ü{i}\n" * (i % 7), "label": i, "messages": [{"role": "user", "n": i / 3}] * (i % 3)}
    for i in range(500)
]
WANTED = {"text": "", "label": "", "messages": ""}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is large, and pieces are of 30 rows."""
    monkeypatch.setattr("tlplug.data.readers.arrow_store.LARGE", 100)
    for user in ("text_table", "typed_table"):
        monkeypatch.setattr(f"tlplug.data.readers.{user}.ROWS", 30)


def values(split: Split, column: str = "text") -> list[Any]:
    return [row[column] for row in split]


def is_on_disk(split: Split) -> bool:
    return any("tlplug-rows-" in file["filename"] for file in split.rows.cache_files)


def write(path: Path) -> Path:
    match path.suffixes:
        case [".jsonl"]:
            jsonl(path, ROWS)
        case [".jsonl", ".gz"]:
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()))
        case [".json"]:
            path.write_text(json.dumps(ROWS, ensure_ascii=False))
        case _:
            import datasets

            datasets.disable_progress_bars()
            datasets.Dataset.from_list(ROWS).to_parquet(path)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.json", "a.parquet"])
def test_the_rows_are_the_same(tmp_path: Path, name: str, small: None) -> None:
    path = write(tmp_path / name)
    split = whole(path, wanted=WANTED)
    assert is_on_disk(split)
    assert list(split) == [row | {"id": i} for i, row in enumerate(ROWS)]
    assert split[499] == ROWS[499] | {"id": 499}
    assert split[100:][3]["label"] == 103 and split[100:].where(3) == whole(path, wanted=WANTED).where(103)
    assert list(pickle.loads(pickle.dumps(split[:50]))) == list(split[:50])


def test_small_files_stay_in_memory(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.parquet"):
        assert not whole(write(tmp_path / name), wanted=WANTED).rows.cache_files


def test_what_gzip_makes_small_is_large_when_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"x" * 1000 + b"\n"))
    monkeypatch.setattr("tlplug.data.readers.arrow_store.LARGE", 500)
    assert is_on_disk(whole(path, wanted={"text": ""})) and path.stat().st_size < 500


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_csv_is_the_same(tmp_path: Path, name: str, small: None) -> None:
    separator = "\t" if name == "a.tsv" else ","
    lines = "".join(f'"u\n{i}"{separator}NA\n' for i in range(100))
    text = f"text{separator}label\n{lines}"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    split = whole(tmp_path / name)
    assert is_on_disk(split) and values(split) == [f"u\n{i}" for i in range(100)]
    assert split[99]["label"] == "NA" and split.where(99) == f"{name}, line 200"


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    "column",
    [
        [None] * 70 + ["late"],
        [1] * 70 + [0.5] + [2] * 70,
        [[]] * 70 + [["a", "b"]],
        [[1]] * 70 + [[0.5], None],
        [[[1]]] * 70 + [[[0.5]]],
        [[[]]] * 70 + [[[{"a": 1}]]],
        [[]] * 70 + [[{"role": "user"}]] + [["text"]] * 70,
        [["a", None]] * 70 + [["b", {"role": "user"}]] + [None] * 70,
        [None] * 70 + [{"a": 1}] + [None] * 70 + [{"b": [1, "x"]}],
    ],
    ids=lambda column: str(next(value for value in column[70:] if value)),
)
def test_types_that_come_late_hold_for_all(
    tmp_path: Path, column: list[Any], large: bool, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not large:
        monkeypatch.setattr("tlplug.data.readers.arrow_store.LARGE", 10**9)
    path = jsonl(tmp_path / "a.jsonl", [{"text": value, "label": i} for i, value in enumerate(column)])
    split = whole(path)
    assert values(split) == column and is_on_disk(split) == large
    assert values(split, "label") == list(range(len(column)))


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("before", "value"),
    [(["a"], [1]), ([1], ["a"]), ([1], [[1]]), (2**60 + 1, 0.5), (0.5, 2**60 + 1), ([2**60 + 1], [0.5])],
)
def test_a_value_that_does_not_fit_names_its_line(
    tmp_path: Path, before: Any, value: Any, large: bool, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not large:
        monkeypatch.setattr("tlplug.data.readers.arrow_store.LARGE", 10**9)
    column = [before] * 70 + [value] + [before] * 70
    rows = [{"text": "t", "label": value} for value in column]
    rows[60:60] = [{"text": "t", "label": None}] * 5
    jsonl(tmp_path / "a.jsonl", rows)
    assert "a.jsonl, line 76" in failure("a.jsonl")


def test_no_room_for_the_rows(tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    jsonl(tmp_path / "a.jsonl", numbered(100))
    monkeypatch.setattr(pa.ipc, "new_stream", full)
    assert "(No space left on device)" in failure("a.jsonl") and "set TMPDIR" in failure("a.jsonl")


READING = """
import sys
import datasets, numpy, pyarrow.parquet
from tlplug.settings import DataSettings, SplitSettings
from tlplug.data.read import read_splits

def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) * 1024

before = peak()
settings = DataSettings(path=sys.argv[1], splits=SplitSettings(validation=0.1, test=0.1))
splits = read_splits(settings, {"text": "", "label": ""})
rows = [split[len(split) // 2] for split in splits.values()]
print(sum(map(len, splits.values())), peak() - before, splits["train"].rows.cache_files[0]["filename"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("packed", [False, True])
def test_two_hundred_megabytes_do_not_take_as_much_memory(tmp_path: Path, packed: bool) -> None:
    words = [f"word{number}" for number in range(5000)]
    draw, size, count = random.Random(0), 0, 0
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    with gzip.open(path, "wt", compresslevel=1) if packed else path.open("w") as file:
        while size < 200_000_000:
            row = {"text": " ".join(draw.choices(words, k=120)), "label": draw.randint(0, 1)}
            size, count = size + file.write(json.dumps(row) + "\n"), count + 1
    done = subprocess.run(
        [sys.executable, "-c", READING, str(path)], capture_output=True, text=True, check=True
    )
    rows, growth, kept = done.stdout.split()
    assert int(rows) == count
    assert int(growth) < size / 2
    assert not Path(kept).exists(), "the process leaves its file behind"
