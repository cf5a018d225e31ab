"""Rows of another domain: what is read of them, what is said where it cannot be, and how they come along in training."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities import CombinedLoader

from tests.data.sample_files import WANTED, jsonl, numbered, texts
from tests.data.test_batching import data, features
from tlplug.data.batching import EpochBatches, Process, Repeated
from tlplug.data.datamodule import TransferData
from tlplug.data.domain import read_for_evaluation, read_labelled, read_unlabelled, rename_keys
from tlplug.data.read import read_splits
from tlplug.data.split import Split
from tlplug.errors import UsageError
from tlplug.interfaces.registry import Registry
from tlplug.runtime.console import Reporter
from tlplug.settings import DataSettings, DomainSettings, LimitSettings, SplitSettings
from tlplug.training.module import by_stream

HEAD = Registry().find("head", "classification").load()()
KEY = "data.target_domain"
FILM = "pkg://tlplug_conf/corpora/film_sentiment"
PRODUCTS = "pkg://tlplug_conf/corpora/product_sentiment"


def task_rows(path: Path, rows: list[Any], wanted: dict[str, str] = WANTED) -> Split:
    file = str(jsonl(path, rows))
    asked = DataSettings(path=file, splits=SplitSettings(validation=file, test=file))
    return read_splits(asked, wanted, HEAD.optional_columns)["train"]


@pytest.fixture
def like(tmp_path: Path) -> Split:
    return task_rows(tmp_path / "task.jsonl", numbered(4, "task"))


def domain(path: object, **more: Any) -> DomainSettings:
    return DomainSettings(path=str(path), **more)


def test_training_rows_come_without_what_is_to_be_predicted(tmp_path: Path, like: Split) -> None:
    jsonl(tmp_path / "far/train.jsonl", numbered(6, "far"))
    jsonl(tmp_path / "far/test.jsonl", numbered(3, "tested"))
    seen = read_unlabelled(domain(tmp_path / "far"), HEAD, 0, KEY, like)
    assert [dict(row) for row in seen] == [{"text": f"far{i}", "id": i} for i in range(6)]
    tested = read_labelled(domain(tmp_path / "far"), HEAD, 0, KEY, like)
    assert [dict(row) for row in tested] == [
        {"text": f"tested{i}", "label": str(i % 2), "id": i} for i in range(3)
    ]


def test_training_rows_need_no_column_of_what_is_to_be_predicted(tmp_path: Path, like: Split) -> None:
    path = jsonl(tmp_path / "far.jsonl", [{"tweet": "so so", "n": 1}, {"tweet": "ha", "n": 2}])
    settings = domain(path, columns={"text": "tweet", "label": "no such column"})
    assert texts(read_unlabelled(settings, HEAD, 0, KEY, like)) == ["so so", "ha"]


def test_a_share_for_testing_is_not_among_the_training_rows(tmp_path: Path, like: Split) -> None:
    settings = domain(jsonl(tmp_path / "far.jsonl", numbered(20)), test=0.25)
    seen, tested = (read(settings, HEAD, 3, KEY, like) for read in (read_unlabelled, read_labelled))
    assert (len(seen), len(tested)) == (15, 5)
    assert {row["id"] for row in seen}.isdisjoint(row["id"] for row in tested)
    other = read_labelled(settings, HEAD, 4, KEY, like)
    assert texts(other) != texts(tested), "the seed of the data draws"


def test_limits_are_the_domain_s_own(tmp_path: Path, like: Split) -> None:
    settings = domain(
        jsonl(tmp_path / "far.jsonl", numbered(20)), test=0.5, limit=LimitSettings(train=4, test=3)
    )
    assert [len(read(settings, HEAD, 0, KEY, like)) for read in (read_unlabelled, read_labelled)] == [4, 3]


def test_where_there_are_test_rows_alone_their_texts_are_learnt_from_and_it_is_said(caplog, like) -> None:
    seen, tested = (read(domain(PRODUCTS), HEAD, 0, KEY, like) for read in (read_unlabelled, read_labelled))
    assert texts(seen) == texts(tested) and len(seen) == 200
    assert set(seen[0]) == {"text", "id"} and set(tested[0]) == {"text", "id", "label"}
    assert f"data.target_domain={PRODUCTS} has no training rows" in caplog.text
    assert "data.target_domain.train names others" in caplog.text


def test_named_training_rows_that_are_not_there_are_an_error(tmp_path: Path, like: Split, caplog) -> None:
    jsonl(tmp_path / "far/test.jsonl", numbered(3))
    with pytest.raises(UsageError, match=r"^data\.target_domain\.train=unlabeled: .* it has test\."):
        read_unlabelled(domain(tmp_path / "far", train="unlabeled"), HEAD, 0, KEY, like)
    assert caplog.text == ""


def test_pairs_go_with_pairs_and_single_texts_with_single_texts(tmp_path: Path, like: Split) -> None:
    pairs = [{**row, "text_pair": "and"} for row in numbered(3)]
    paired = task_rows(tmp_path / "pairs.jsonl", pairs)
    singles, doubles = (
        jsonl(tmp_path / f"{n}.jsonl", rows) for n, rows in (("s", numbered(3)), ("d", pairs))
    )
    with pytest.raises(
        UsageError, match=r'no column "text_pair"[\s\S]*Set data\.target_domain\.columns\.text_pair='
    ):
        read_unlabelled(domain(singles), HEAD, 0, KEY, paired)
    assert set(read_unlabelled(domain(doubles), HEAD, 0, KEY, paired)[0]) == {"text", "text_pair", "id"}
    assert set(read_unlabelled(domain(doubles), HEAD, 0, KEY, like)[0]) == {"text", "id"}
    assert set(read_unlabelled(domain(singles), HEAD, 0, "transfer.source_domain")[0]) == {"text", "id"}


@pytest.mark.parametrize(
    ("content", "settings", "told"),
    [
        ("", {"test": "train"}, "the file has no rows"),
        (
            '{"review": "good"}\n',
            {"test": "train"},
            'no column "text".*Set data.target_domain.columns.text=.',
        ),
        (
            '{"text": "good"}\n',
            {"test": "train"},
            'no column "label".*Set data.target_domain.columns.label=.',
        ),
        (
            '{"text": "good", "label": "a"}\n',
            {},
            "data.target_domain.test=test: .* it has train. Set data.target_domain.test=",
        ),
        (
            '{"text": "good", "label": "a"}\n',
            {"test": 0.5},
            "data.target_domain.test=0.5 leave no row to train on",
        ),
        ('{"text": "good", "label": "a"}\n', {"test": 1.5}, "data.target_domain.test=1.5: expected"),
        (
            '{"text": "good", "label": "a"}\n',
            {"test": "train", "columns": {"txt": "text"}},
            "data.target_domain.columns.txt",
        ),
        (
            '{"text": "good", "label": "a"}\n',
            {"test": "train", "limit": LimitSettings(test=0)},
            "data.target_domain.limit.test=0",
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_the_domain_s_own_keys(
    tmp_path, like, content, settings, told
) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        read_labelled(domain(path, **settings), HEAD, 0, KEY, like)
    assert re.search(told, str(error.value), re.DOTALL), error.value
    assert str(path) in str(error.value) or "data.jsonl" not in str(error.value)
    assert not re.search(r"(?<![\w./])data\.(splits|columns|limit|path)", str(error.value))


def test_a_file_that_is_not_there_is_told_with_those_near_it(tmp_path: Path, like: Split) -> None:
    jsonl(tmp_path / "tweets.jsonl", numbered(2))
    with pytest.raises(
        UsageError, match=r"^data\.target_domain\.path=.*tweet\.jsonl: there is no .*tweets\.jsonl"
    ):
        read_unlabelled(domain(tmp_path / "tweet.jsonl"), HEAD, 0, KEY, like)


def test_keys_are_renamed_and_file_names_are_not() -> None:
    told = "data.splits.test=x: /a/data.columns.csv and data.jsonl; set data.columns.text, data.limit.train or data.path."
    assert rename_keys("transfer.source_domain", told) == (
        "transfer.source_domain.test=x: /a/data.columns.csv and data.jsonl; set transfer.source_domain.columns.text, "
        "transfer.source_domain.limit.train or transfer.source_domain.path."
    )


def prepared(tmp_path: Path, rows: list[Any], *words: str) -> Any:

    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.prepare import prepare

    settings = [
        "strategy=coral",
        "task=sentiment",
        "transfer.baselines=[]",
        "data.target_domain.test=train",
        *words,
    ]
    settings += [f"data.target_domain={jsonl(tmp_path / 'far.jsonl', rows)}"] if rows else []
    with Composer() as composer:
        return prepare(build(composer.compose(settings)), Reporter())


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"text": "good", "label": "neutral"}],
            "line 1: column 'label' is 'neutral', which no training row has",
        ),
        ([{"text": "good", "label": None}], "line 1: column 'label' is empty"),
        ([{"text": " ", "label": "positive"}], "line 1: column 'text' is empty"),
        ([], "strategy 'coral' learns from unlabelled rows of another domain: set data.target_domain="),
    ],
)
def test_rows_that_the_head_cannot_use_are_told_before_the_model_loads(tmp_path, rows, told) -> None:
    with pytest.raises(UsageError, match=told.replace(".", r"\.")):
        prepared(tmp_path, rows)


def test_the_run_is_tested_on_the_target_and_trained_on_the_task(tmp_path: Path) -> None:
    task = prepared(tmp_path, [{"text": f"pan {n}", "label": "positive"} for n in range(5)])
    assert {name: len(rows) for name, rows in task.rows.items()} == {
        "train": 320,
        "validation": 80,
        "test": 5,
    }
    assert [row["text"] for row in task.rows["test"]] == [f"pan {n}" for n in range(5)]
    labelled_features, plain = task.data.features["train"][0], task.data.streams["target"][0]
    assert set(plain) < set(labelled_features) and not any("label" in name for name in plain)
    assert len(task.data.streams["target"]) == 5


# How they come along.


def streams(main: int, batch_size: int = 4, **others: int) -> TransferData:
    found = data(main, batch_size)
    found.streams = {name: features(count) for name, count in others.items()}
    return found


def batches(loader: Any) -> list[dict[str, Any]]:
    if isinstance(loader, CombinedLoader):
        return [batch for batch, _, _ in loader]
    return list(loader)


@pytest.mark.parametrize("count", [1, 3, 10, 50])
def test_each_stream_gives_a_whole_batch_for_each_of_the_task_s(count: int) -> None:
    found = batches(streams(10, 4, target=count).train_dataloader())
    assert [len(batch["main"]["id"]) for batch in found] == [4, 4, 2]
    assert [len(batch["target"]["id"]) for batch in found] == [4, 4, 4]
    seen = Counter(i for batch in found for i in batch["target"]["id"].tolist())
    assert max(seen.values()) - min(seen.values() if len(seen) == count else [0]) <= 1, (
        "no row twice before all once"
    )


def test_the_task_s_order_is_that_of_a_run_without_streams() -> None:
    alone = [batch["id"].tolist() for batch in batches(streams(10).train_dataloader())]
    beside = [batch["main"]["id"].tolist() for batch in batches(streams(10, target=7).train_dataloader())]
    assert alone == beside


def test_a_step_knows_streams_by_their_names() -> None:
    (batch, *_) = batches(streams(4, target=4, source=4).train_dataloader())
    assert set(by_stream(batch)) == {"main", "target", "source"}
    (alone,) = batches(streams(4).train_dataloader())
    assert set(by_stream(alone)) == {"main"}


def test_a_strategy_sees_the_streams_that_it_asked_for() -> None:
    both = streams(4, target=4, source=4)
    assert set(both.with_streams(["target", "unknown"]).streams) == {"target"}
    assert set(both.streams) == {"target", "source"}


class Notes(pl.LightningModule):
    """Notes the target's rows of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.epochs: dict[int, list[int]] = {}

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.epochs.setdefault(self.current_epoch, []).extend(batch["target"]["id"].tolist())
        return self.weight * 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_lightning_tells_streams_the_epoch_so_that_each_has_an_order_of_its_own(tmp_path: Path) -> None:
    notes = Notes()
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(notes, train_dataloaders=streams(10, 4, target=12).train_dataloader())
    assert [sorted(seen) for seen in notes.epochs.values()] == [list(range(12))] * 3
    assert len({tuple(seen) for seen in notes.epochs.values()}) == 3


def test_every_pass_of_a_stream_is_shuffled_anew() -> None:
    repeated = Repeated(EpochBatches([1] * 6, 0, shuffle=True, batch=2), 2, 9)
    passes: list[tuple[int, ...]] = []
    for epoch in range(2):
        repeated.set_epoch(epoch)
        batches = list(repeated)
        assert len(batches) == len(repeated) == 9 and {len(batch) for batch in batches} == {2}
        seen = [index for batch in batches for index in batch]
        passes += [tuple(seen[start : start + 6]) for start in (0, 6, 12)]
    assert all(sorted(each) == list(range(6)) for each in passes) and len(set(passes)) == len(passes)


def test_processes_share_a_stream() -> None:
    orders = [EpochBatches([1] * 8, 0, shuffle=True, batch=4, process=Process(rank, 2)) for rank in range(2)]
    first, second = (list(Repeated(order, 2, 2)) for order in orders)
    assert sorted(index for batch in first + second for index in batch) == list(range(8))


def test_a_stream_s_batches_are_full_where_a_pass_ends_within_one() -> None:
    batches = list(Repeated(EpochBatches([1] * 5, 0, shuffle=True, batch=3), 3, 5))
    assert [len(batch) for batch in batches] == [3] * 5
    assert sorted(index for batch in batches for index in batch) == sorted([*range(5)] * 3)


def test_a_domain_is_read_from_the_corpora_that_ship(like: Split) -> None:
    settings = replace(domain(FILM), limit=LimitSettings(train=5, test=2))
    assert len(read_unlabelled(settings, HEAD, 0, "transfer.source_domain")) == 5


def looked(tmp_path: Path, rows: list[Any], **more: Any) -> Any:
    return read_for_evaluation(
        domain(jsonl(tmp_path / "far.jsonl", rows), **more), HEAD, 0, "transfer.source_domain"
    )


def test_rows_that_are_looked_at_keep_what_is_to_be_predicted(tmp_path: Path) -> None:
    found = looked(tmp_path, numbered(3, "far"))
    assert (found.text, found.plain) == ("text", False)
    assert [row["label"] for row in found.rows] == ["0", "1", "0"]
    jsonl(tmp_path / "parts/train.jsonl", numbered(6, "far"))
    jsonl(tmp_path / "parts/test.jsonl", numbered(2, "tested"))
    of_folder = read_for_evaluation(domain(tmp_path / "parts"), HEAD, 0, "transfer.source_domain")
    assert [row["text"] for row in of_folder.rows] == ["tested0", "tested1"]


def test_rows_without_labels_and_columns_of_other_names_are_looked_at(tmp_path: Path) -> None:
    found = looked(tmp_path, [{"tweet": "so so"}, {"tweet": "ha"}], columns={"text": "tweet", "label": "x"})
    assert [dict(row) for row in found.rows] == [{"text": "so so", "id": 0}, {"text": "ha", "id": 1}]


def test_texts_are_looked_at_by_a_head_that_reads_more(tmp_path: Path) -> None:
    answering = Registry().find("head", "question_answering").load()()
    (tmp_path / "book.txt").write_text("One line.\nAnother line.\n")
    found = read_for_evaluation(domain(tmp_path / "book.txt"), answering, 0, "transfer.source_domain")
    assert found.plain and [row[found.text] for row in found.rows] == ["One line.", "Another line."]
    with pytest.raises(UsageError, match=r'no column "text".*transfer\.source_domain\.columns\.text'):
        odd = jsonl(tmp_path / "odd.jsonl", [{"words": "x"}])
        read_for_evaluation(domain(odd), answering, 0, "transfer.source_domain")


def test_what_is_not_there_is_an_error_of_its_own_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="transfer.source_domain.path"):
        read_for_evaluation(domain(tmp_path / "nothing.jsonl"), HEAD, 0, "transfer.source_domain")
