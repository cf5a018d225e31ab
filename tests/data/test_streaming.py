"""`data.streaming`: the first rows of a hub data set, without the rest of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.sample_files import failure, jsonl, numbered, settings, texts
from tlplug.data.read import read_splits
from tlplug.settings import LimitSettings

WANTED = {"text": "", "label": ""}

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was asked of the hub, which has the splits train and dev of owner/name."""
    import datasets

    real, asked = datasets.load_dataset, []
    files = {
        "train": str(jsonl(tmp_path / "hub/train.jsonl", numbered(30))),
        "dev": str(jsonl(tmp_path / "hub/dev.jsonl", numbered(20, "dev"))),
    }

    def load(path: str, subset: str | None, *, revision: str | None, streaming: bool) -> Any:
        asked.append((path, subset, revision, streaming))
        return real("json", data_files=files, streaming=streaming)

    monkeypatch.setattr(datasets, "load_dataset", load)
    return asked


def test_the_head_of_each_split_in_order(hub: list[Any]) -> None:
    more: dict[str, Any] = {"splits": {"validation": "dev", "test": "train"}, "subset": "s", "revision": "v1"}
    limit = LimitSettings(train=7, validation=3, test=2)
    splits = read_splits(settings("owner/name", streaming=True, limit=limit, **more), WANTED)
    assert hub == [("owner/name", "s", "v1", True)]
    assert texts(splits["train"]) == [f"t{i}" for i in range(7)]
    assert texts(splits["validation"]) == ["dev0", "dev1", "dev2"] and texts(splits["test"]) == ["t0", "t1"]
    assert splits["train"][6] == {"text": "t6", "label": "0", "id": 6}
    assert splits["validation"].where(2) == "split 'dev' of owner/name, row 3"


def test_a_limit_beyond_the_stream_is_all_of_it(hub: list[Any]) -> None:
    limit = LimitSettings(train=1000, validation=1, test=1)
    asked = settings("owner/name", streaming=True, limit=limit, splits={"validation": "dev", "test": "dev"})
    assert len(read_splits(asked, WANTED)["train"]) == 30


def test_no_more_is_read_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    read: list[int] = []

    def rows() -> Any:
        for i in range(100):
            read.append(i)
            yield {"text": f"t{i}", "label": i}

    stream = datasets.IterableDatasetDict(train=datasets.IterableDataset.from_generator(rows))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    limit = LimitSettings(train=5, validation=5, test=5)
    everything = {"validation": "train", "test": "train"}
    splits = read_splits(settings("owner/name", streaming=True, limit=limit, splits=everything), WANTED)
    assert texts(splits["train"]) == [f"t{i}" for i in range(5)] and max(read) <= 5


def test_names_of_classes_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["bad", "good"])
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    stream = datasets.IterableDatasetDict(train=rows.to_iterable_dataset())
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    limit = LimitSettings(train=2, validation=2, test=2)
    everything = {"validation": "train", "test": "train"}
    splits = read_splits(settings("owner/name", streaming=True, limit=limit, splits=everything), WANTED)
    assert [row["label"] for row in splits["train"]] == ["good", "bad"]


def test_all_that_a_stream_cannot_do_is_told_at_once(hub: list[Any]) -> None:
    told = failure("owner/name", streaming=True, splits={"validation": 0.1, "test": "dev"})
    assert told.splitlines() == [
        "data.limit.train is null, and data.streaming=true reads a stream up to that many rows. "
        "Set data.limit.train=1000, say.",
        "data.splits.validation=0.1: no fraction can be drawn out of a stream, whose length is not known. "
        "Set data.splits.validation to a split or a file, or data.streaming=false.",
        "data.limit.test is null, and data.streaming=true reads a stream up to that many rows. "
        "Set data.limit.test=1000, say.",
    ]
    told = failure("owner/name", streaming=True, splits={"validation": "val", "test": "dev"})
    assert "it has train, dev. Set data.splits.validation to a split or a file." in told


def test_a_file_beside_a_stream_needs_no_limit(hub: list[Any], tmp_path: Path) -> None:
    jsonl(tmp_path / "own.jsonl", numbered(4, "own"))
    limit = LimitSettings(validation=3)
    files = {"train": "own.jsonl", "validation": "dev", "test": 0.25}
    splits = read_splits(settings("owner/name", streaming=True, limit=limit, splits=files), WANTED)
    assert {name: len(split) for name, split in splits.items()} == {"train": 3, "validation": 3, "test": 1}


@pytest.mark.parametrize("path", ["a.jsonl", ".", "*.jsonl"])
def test_local_files_are_not_streamed(tmp_path: Path, path: str) -> None:
    jsonl(tmp_path / "a.jsonl", numbered(10))
    told = failure(path, streaming=True)
    assert told.startswith("data.streaming=true: ") and "local files are read row by row anyway" in told


def test_a_stream_that_breaks_off_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def rows() -> Any:
        yield {"text": "t", "label": 1}
        raise ConnectionError("the line went dead\nand more")

    stream = datasets.IterableDatasetDict(train=datasets.IterableDataset.from_generator(rows))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    limit = LimitSettings(train=5, validation=5, test=5)
    everything = {"validation": "train", "test": "train"}
    told = failure("owner/name", streaming=True, limit=limit, splits=everything)
    assert "cannot be loaded from the hub: the line went dead." in told and len(told.splitlines()) == 1
