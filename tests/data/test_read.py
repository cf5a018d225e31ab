"""Reading rows: what `data.*` names is found, read as it stands, and divided the same way every time."""

from __future__ import annotations

import json
import pickle
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.data.sample_files import WANTED, failure, jsonl, numbered, settings, texts, whole
from tlplug.data.read import read_splits
from tlplug.data.readers.formats import SUFFIXES
from tlplug.settings import LimitSettings

pytestmark = pytest.mark.usefixtures("alone")


def test_split_is_rows_with_places(tmp_path: Path) -> None:
    split = whole(jsonl(tmp_path / "a.jsonl", numbered(5)))
    assert split[2] == {"text": "t2", "label": "0", "id": 2}
    assert len(split) == 5 and split[-1]["id"] == 4
    assert [row["id"] for row in split[1:3]] == [1, 2]
    assert split[3:].where(0) == "a.jsonl, line 4"
    assert pickle.loads(pickle.dumps(split)).where(1) == "a.jsonl, line 2"


def test_folder_with_a_file_for_each_split_of_any_format(tmp_path: Path) -> None:
    jsonl(tmp_path / "d/train.jsonl", numbered(4, "train"))
    (tmp_path / "d/validation.csv").write_text("text,label\nv,0\n")
    (tmp_path / "d/test.tsv").write_text("text\tlabel\nx,y\t1\n")
    (tmp_path / "d/README.md").write_text("about")
    asked = settings(tmp_path / "d", splits={"validation": "validation", "test": "test"})
    splits = read_splits(asked, WANTED)
    assert list(splits) == ["train", "validation", "test"]
    assert texts(splits["train"])[0] == "train0"
    assert splits["validation"][0] == {"text": "v", "label": "0", "id": 0}
    assert splits["test"][0] == {"text": "x,y", "label": "1", "id": 0}


def test_every_cell_of_a_csv_is_the_text_that_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('other,text,label\n1,NA,1\n2,None,01\n3,,1.0\n4,"two\nlines",true\n5,2020-01-01,1e3\n')
    split = whole(path)
    assert texts(split) == ["NA", "None", "", "two\nlines", "2020-01-01"]
    assert [row["label"] for row in split] == ["1", "01", "1.0", "true", "1e3"]
    assert split.where(4) == "a.csv, line 7"


def test_json_values_are_what_stands_there(tmp_path: Path) -> None:
    rows = [
        {"text": "2020-01-01", "label": 1, "other": 1},
        {"text": "2020-01-02", "label": None, "other": "a"},
        {"text": "2021-01-02", "late": {"x": []}},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\ufeff\n" + "\n\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    split = whole(path)
    assert texts(split) == ["2020-01-01", "2020-01-02", "2021-01-02"]
    assert [row["label"] for row in split] == [1, None, None]
    assert [split.where(i) for i in range(3)] == [f"a.jsonl, line {n}" for n in (2, 4, 6)]


def test_nested_json_keeps_its_shape(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "answers": {"text": ["x"], "start": [1]}},
        {"text": "b", "answers": {"text": [], "start": []}},
    ]
    split = whole(jsonl(tmp_path / "a.jsonl", rows), wanted={"text": "", "answers": ""})
    assert [row["answers"] for row in split] == [row["answers"] for row in rows]


def test_iteration_and_index_agree(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "label": str(i)} for i in range(2100)]
    split = whole(jsonl(tmp_path / "a.jsonl", rows))[50:]
    assert list(split) == [row | {"id": i} for i, row in enumerate(rows)][50:]
    assert split[-1] == {"text": "t2099", "label": "2099", "id": 2099}


def test_json_file_that_is_one_list(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(' [\n  {"text": "a",\n   "label": 1},\n\n  {"text": "b", "label": 2}\n]\n')
    split = whole(path)
    assert list(split) == [{"text": "a", "label": 1, "id": 0}, {"text": "b", "label": 2, "id": 1}]
    assert [split.where(i) for i in range(2)] == ["a.json, line 2", "a.json, line 5"]
    assert texts(whole(jsonl(tmp_path / "lines.json", numbered(3)))) == ["t0", "t1", "t2"]


def test_parquet_and_the_names_of_its_classes(tmp_path: Path) -> None:
    import datasets

    label = datasets.ClassLabel(names=["bad", "good"])
    features = datasets.Features(
        text=datasets.Value("string"), label=label, tags=datasets.List(label), x=datasets.Value("int8")
    )
    columns = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[0, 1], [], None], "x": [1, 2, 3]}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "a.parquet")
    split = whole(tmp_path / "a.parquet", wanted={**WANTED, "tags": ""})
    assert [row["label"] for row in split] == ["good", "bad", None]
    assert [row["tags"] for row in split] == [["bad", "good"], [], None]
    assert sorted(split[0]) == ["id", "label", "tags", "text"]
    assert split.where(1) == "a.parquet, row 2"


@pytest.mark.parametrize("kind", ["decimal128", "decimal256"])
def test_decimals_of_parquet_are_floats(tmp_path: Path, kind: str) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = pyarrow.array([Decimal("1.50"), None, Decimal("-2.00")], getattr(pyarrow, kind)(10, 2))
    pyarrow.parquet.write_table(
        pyarrow.table({"text": ["a", "b", "c"], "label": numbers}), tmp_path / "a.parquet"
    )
    assert [row["label"] for row in whole(tmp_path / "a.parquet")] == [1.5, None, -2.0]


def test_broken_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("text,label\n")
    assert failure("a.parquet").startswith("a.parquet cannot be read as Parquet")


def test_columns_are_renamed_even_across(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", [{"label": "words", "text": "class", "id": "own"}])
    assert whole(path, {"text": "label", "label": "text"})[0] == {"text": "words", "label": "class", "id": 0}


def test_package_folder_is_found_without_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jsonl(tmp_path / "site/some_pkg/corpora/x/train.jsonl", numbered(10))
    jsonl(tmp_path / "site/some_pkg/corpora/y/test.jsonl", numbered(3, "other"))
    (tmp_path / "site/some_pkg/__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    splits = read_splits(settings("pkg://some_pkg/corpora/x", splits={"test": "../y/test.jsonl"}), WANTED)
    assert texts(splits["test"]) == ["other0", "other1", "other2"]
    assert "some_pkg" not in sys.modules
    assert "no package 'som_pkg' is installed" in failure("pkg://som_pkg/corpora/x")
    assert "Did you mean 'x'" in failure("pkg://some_pkg/corpora/xx") or "there is no" in failure(
        "pkg://some_pkg/z"
    )


def test_fractions_share_out_the_rows(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(100))
    splits = read_splits(settings(path, splits={"validation": "0.1", "test": 0.3}), WANTED)
    ids = {name: [row["id"] for row in split] for name, split in splits.items()}
    assert {name: len(drawn) for name, drawn in ids.items()} == {"train": 60, "validation": 10, "test": 30}
    assert sorted(i for drawn in ids.values() for i in drawn) == list(range(100))
    assert all(drawn == sorted(drawn) for drawn in ids.values())
    assert ids["test"] != list(range(30)) and ids["train"] != list(range(60))
    for split in splits.values():
        assert all(row["text"] == f"t{row['id']}" for row in split)
        assert split.where(0) == f"a.jsonl, line {split[0]['id'] + 1}"


def test_fractions_depend_on_the_seed_alone(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(50))

    def drawn(seed: int, validation: float = 0.2) -> list[str]:
        return texts(
            read_splits(settings(path, seed=seed, splits={"validation": validation}), WANTED)["test"]
        )

    assert drawn(1) == drawn(1) == drawn(1, validation=0.4)
    assert drawn(1) != drawn(2)


def test_limits_draw_in_order_and_smaller_ones_are_parts_of_larger(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(60))

    def ids(limit: int) -> list[int]:
        splits = read_splits(settings(path, limit=LimitSettings(train=limit, test=5)), WANTED)
        assert len(splits["test"]) == 5 and len(splits["validation"]) == 12
        return [row["id"] for row in splits["train"]]

    few, more, full = ids(5), ids(20), ids(1000)
    assert len(few) == 5 and len(more) == 20 and set(few) < set(more)
    assert few == sorted(few) and more == sorted(more) and more != full[:20]
    assert len(full) == 36


def test_one_source_for_two_splits_and_a_fraction(tmp_path: Path) -> None:
    jsonl(tmp_path / "d/train.jsonl", numbered(20))
    jsonl(tmp_path / "d/dev.jsonl", numbered(4, "dev"))
    splits = read_splits(settings(tmp_path / "d", splits={"validation": 0.25, "test": "dev"}), WANTED)
    assert {name: len(split) for name, split in splits.items()} == {"train": 15, "validation": 5, "test": 4}


@pytest.mark.parametrize("fraction", [1, 0, "1.5", -0.1, "nan"])
def test_impossible_fractions(tmp_path: Path, fraction: object) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(10))
    told = failure(path, splits={"test": fraction})
    assert told.startswith("data.splits.test=") and "between 0 and 1" in told


def test_fractions_that_leave_nothing(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(10))
    told = failure(path, splits={"validation": 0.5, "test": 0.5})
    assert "data.splits.test=0.5" in told and "10 rows" in told
    assert "data.splits.train=0.5" in failure(path, splits={"train": 0.5})
    assert "data.limit.train=0" in failure(path, limit=LimitSettings(train=0))


def test_missing_splits_are_told_together_with_the_remedy(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(10))
    told = failure(path, splits={"validation": "validation", "test": "test"})
    assert "a.jsonl has no such split; it has train" in told
    assert "data.splits.validation=0.1" in told and "data.splits.test=0.1" in told
    assert "Did you mean 'train'?" in failure(path, splits={"test": "trian"})
    assert "data.splits.test=no.csv: there is no" in failure(path, splits={"test": "no.csv"})


def test_two_files_for_one_split_are_named(tmp_path: Path) -> None:
    jsonl(tmp_path / "d/train.jsonl", numbered(10))
    (tmp_path / "d/train.csv").write_text("text,label\nv,0\n")
    assert "it has train.csv, train.jsonl" in failure(tmp_path / "d")
    assert len(read_splits(settings(tmp_path / "d", splits={"train": "train.jsonl"}), WANTED)["train"]) == 6


def test_wrong_paths_name_what_is_near(tmp_path: Path) -> None:
    jsonl(tmp_path / "reviews.jsonl", numbered(3))
    told = failure("review.jsonl")
    assert told.startswith("data.path=review.jsonl: there is no review.jsonl. Did you mean 'reviews.jsonl'?")
    assert "there is no folder nowhere" in failure("nowhere/deep/x.csv").replace("nowhere/deep", "nowhere")
    (tmp_path / "notes.pdf").write_text("x")
    assert ", ".join(SUFFIXES) in failure("notes.pdf")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/pic.png").write_text("x")
    assert "It has: pic.png" in failure("empty")


def test_unknown_hub_id_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "films").mkdir()
    told = failure("flims")
    assert "data.path=flims" in told and "HF_HUB_OFFLINE is set" in told and "Did you mean 'films'?" in told


def test_hub_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = datasets.Dataset.from_list(numbered(10))
    asked: list[object] = []

    def load(path: str, subset: str | None, revision: str | None) -> Any:
        asked.append((path, subset, revision))
        return datasets.DatasetDict(train=rows, validation=rows.select(range(3)))

    monkeypatch.setattr(datasets, "load_dataset", load)
    more = {"splits": {"test": "validation"}, "subset": "sst2", "revision": "v1"}
    splits = read_splits(settings("owner/name", **more), WANTED)
    assert asked == [("owner/name", "sst2", "v1")]
    assert len(splits["train"]) == 8 and len(splits["test"]) == 3
    assert splits["test"].where(1) == "split 'validation' of owner/name, row 2"
    assert "owner/name has no such split; it has train, validation" in failure(
        "owner/name", splits={"test": "tset"}
    )


def test_missing_columns_of_all_files_at_once(tmp_path: Path) -> None:
    jsonl(tmp_path / "d/train.jsonl", [{"sentence": "a", "labels": 1}])
    (tmp_path / "d/test.csv").write_text("text,class\nv,0\n")
    told = failure(tmp_path / "d", splits={"validation": "train", "test": "test"})
    assert told.count('no column "label"') == 2 and told.count('no column "text"') == 1
    assert 'd/train.jsonl: no column "label". Its columns are sentence, labels.' in told
    assert "data.columns.label=..." in told and "Did you mean 'labels'?" in told


def test_unknown_and_doubled_keys_of_columns(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", numbered(10))
    told = failure(path, columns={"txt": "text"})
    assert "data.columns.txt: the head's columns are text, label. Did you mean 'text'?" in told
    assert "more than one of text, label" in failure(path, columns={"text": "label"})


def test_no_progress_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import datasets

    datasets.enable_progress_bars()
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "v,0\n" * 30)
    read_splits(settings(path), WANTED)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a[1].csv", "with blank*.csv", "ü.csv", "A.CSV"])
def test_odd_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text,label\nv,0\n")
    assert texts(whole(tmp_path / name)) == ["v"]
