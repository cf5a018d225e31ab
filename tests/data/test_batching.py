"""Which example is seen when, on every process."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tlplug.data.batching import WINDOWS, EpochBatches, Process, equal_token_batches
from tlplug.data.datamodule import TransferData
from tlplug.data.features import LENGTH, Features
from tlplug.interfaces import BaseInfo, Batch, TaskHead
from tlplug.settings import DataSettings

counts = st.integers(0, 60)
worlds = st.integers(1, 5)
seeds = st.integers(0, 2**31)
epochs = st.integers(0, 50)


class Padding(TaskHead):
    """Stacks ids and shows that it was given the base model."""

    def collate(self, features: Sequence[dict[str, Any]], base: BaseInfo) -> Batch:
        ids = torch.tensor([feature["id"] for feature in features])
        return {
            "id": ids,
            "longest": max(len(feature["input_ids"]) for feature in features),
            "base": base.source,
        }


def base_info() -> BaseInfo:
    return BaseInfo("tiny", "tiny", None, "0", config=None, processor=None, max_length=8)  # type: ignore[arg-type]


def features(count: int) -> Features:
    import datasets

    rows = [{"id": i, "input_ids": [0] * (1 + i * 7 % 5), LENGTH: 1 + i * 7 % 5} for i in range(count)]
    number = datasets.Value("int64")
    columns = datasets.Features({"id": number, "input_ids": datasets.List(number), LENGTH: number})
    return Features(datasets.Dataset.from_list(rows, features=columns), str(count))


def splits(train: int, test: int) -> dict[str, Features]:
    return {"train": features(train), "validation": features(7), "test": features(test)}


def data(count: int = 10, batch_size: int = 4, seed: int = 0, test: int = 3) -> TransferData:
    return TransferData(
        splits(count, test), Padding(), base_info(), DataSettings(batch_size=batch_size, batching="rows"), seed
    )  # fmt: skip


def seen_by(
    count: int,
    world: int,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = True,
    batch: int = 4,
    even: bool = False,
) -> list[list[list[int]]]:
    """The batches of each process, where so many examples are a batch of all of them."""
    seen = []
    lengths = [1 + i * 7 % 5 for i in range(count)]
    for rank in range(world):
        order = EpochBatches(
            lengths, seed, shuffle=shuffle, batch=batch, even=even, process=Process(rank, world)
        )
        order.set_epoch(epoch)
        seen.append(list(order))
        assert len(order) == len(seen[-1])
    return seen


def flat(batches: list[list[int]]) -> list[int]:
    return [index for batch in batches for index in batch]


@given(counts, worlds, seeds, epochs, st.booleans(), st.booleans())
def test_every_example_comes_and_few_come_twice(
    count: int, world: int, seed: int, epoch: int, shuffle: bool, even: bool
) -> None:
    seen = seen_by(count, world, seed, epoch, shuffle, 4 * world, even)
    times = Counter(index for batches in seen for index in flat(batches))
    assert set(times) == set(range(count))
    assert all(batch for batches in seen for batch in batches)
    assert len({len(batches) for batches in seen}) == 1
    assert sum(times.values()) - count < world
    assert sum(len({len(batches[at]) for batches in seen}) > 1 for at in range(len(seen[0]))) <= 1


@given(counts, worlds, st.integers(1, 8), seeds, epochs)
def test_more_processes_see_the_batches_of_one(
    count: int, world: int, batch_size: int, seed: int, epoch: int
) -> None:
    """Batch b of all processes together is batch b of one process with the batch size times as large."""
    size = batch_size * world
    [alone] = seen_by(count, 1, seed, epoch, batch=size)
    together = seen_by(count, world, seed, epoch, batch=size)
    for place, batch in enumerate(alone):
        shares = [batches[place] for batches in together]
        assert {index for share in shares for index in share} == set(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(seeds, epochs)
def test_order_is_a_function_of_seed_and_epoch(seed: int, epoch: int) -> None:
    for even in (False, True):
        [order] = seen_by(50, 1, seed, epoch, even=even)
        torch.manual_seed(epoch)
        assert order == seen_by(50, 1, seed, epoch, even=even)[0]
        assert order != seen_by(50, 1, seed, epoch + 1, even=even)[0]
        assert order != seen_by(50, 1, seed + 1, epoch, even=even)[0]
        assert seen_by(50, 1, seed, epoch + 1, even=even) != seen_by(50, 1, seed + 1, epoch, even=even)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    seen_by(10, 1)
    seen_by(10, 1, even=True)
    assert torch.rand(1) == expected


@given(counts, epochs)
def test_evaluation_takes_the_longest_first_in_every_epoch(count: int, epoch: int) -> None:
    [batches] = seen_by(count, 1, epoch=epoch, shuffle=False)
    lengths = [1 + index * 7 % 5 for index in flat(batches)]
    assert lengths == sorted(lengths, reverse=True)
    assert [batches] == seen_by(count, 1, shuffle=False)
    assert all(len(batch) == 4 for batch in batches[:-1])


@given(st.integers(1, 60), worlds, st.integers(1, 8))
def test_steps_are_computed_as_the_loaders_count_them(count: int, world: int, batch_size: int) -> None:
    loaded = data(count, batch_size)
    for rank in range(world):
        assert len(loaded._loader("train", rank, world)) == loaded.steps_per_epoch(world)


def test_loaders_collate_with_the_head() -> None:
    loaded = data()
    batches = list(loaded.val_dataloader())
    assert [batch["id"].tolist() for batch in batches] == [[2, 4, 1, 6], [3, 0, 5]]
    assert [batch["longest"] for batch in batches] == [5, 2]
    assert batches[0]["base"] == "tiny"
    assert [len(batch["id"]) for batch in loaded.test_dataloader()] == [3]
    assert pickle.loads(pickle.dumps(loaded)).train_dataloader() is not None


def test_train_batches_are_those_of_epoch_zero() -> None:
    loaded = data(seed=5)
    first = [batch["id"].tolist() for batch in loaded.train_batches()]
    assert first == [batch["id"].tolist() for batch in loaded.train_dataloader()]
    assert first == seen_by(10, 1, seed=5)[0]


def test_rank_is_read_when_the_loader_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = data()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    seen = [batch["id"].tolist() for batch in loaded.train_dataloader()]
    assert seen == seen_by(10, 2, batch=8)[1]
    assert len(list(loaded.train_batches())) == 3


class Recorder(pl.LightningModule):
    """Trains one number and notes the ids that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[int, list[list[int]]] = {}

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).append(batch["id"].tolist())
        return (self.weight - 1).square().sum()

    def validation_step(self, batch: Batch) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(**arguments: Any) -> Recorder:
    recorder = Recorder()
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = pl.Trainer(accelerator="cpu", use_distributed_sampler=False, **quiet, **arguments)
    trainer.fit(recorder, datamodule=data(seed=7))
    return recorder


@pytest.mark.filterwarnings("ignore")
def test_lightning_sets_the_epoch() -> None:
    seen = fit(max_epochs=3).seen
    assert seen == {epoch: seen_by(10, 1, seed=7, epoch=epoch)[0] for epoch in range(3)}


@pytest.mark.filterwarnings("ignore")
def test_lightning_can_overfit_a_batch() -> None:
    seen = fit(max_epochs=2, overfit_batches=1).seen
    assert seen[0] == seen[1] and len(seen[0]) == 1


def lengths_of_text(count: int) -> list[int]:
    """Token counts as sentences have them: most are short, some are long (log-normal, mean about 27)."""
    drawn = torch.randn(count, generator=torch.Generator().manual_seed(0))
    return [int(length) for length in (3 + torch.exp(drawn * 0.6 + 3)).clamp(max=128)]


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize(("count", "batch"), [(4000, 32), (4000, 8), (700, 16), (20_000, 64)])
def test_less_than_a_twentieth_of_an_epoch_is_padding(count: int, batch: int, even: bool) -> None:
    lengths = lengths_of_text(count)
    order = EpochBatches(lengths, 1, shuffle=True, batch=batch, even=even)
    assert order.padding() < 0.05
    padded = sum(len(ids) * max(lengths[i] for i in ids) for ids in order)
    assert order.padding() == pytest.approx(1 - sum(lengths) / padded)
    plain = torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    assert sum(max(lengths[i] for i in plain[at : at + batch]) * batch for at in range(0, count, batch)) > (
        1.5 * padded
    )


@pytest.mark.parametrize(("count", "batch"), [(4000, 32), (700, 16), (20_000, 64)])
def test_even_batches_are_of_about_equal_tokens_and_as_many_in_every_epoch(count: int, batch: int) -> None:
    lengths = lengths_of_text(count)
    order = EpochBatches(lengths, 1, shuffle=True, batch=batch, even=True)
    for epoch in range(3):
        order.set_epoch(epoch)
        tokens = [len(ids) * max(lengths[i] for i in ids) for ids in order]
        assert len(tokens) == len(order) == -(-count // batch)
        mean = sum(tokens) / len(tokens)
        assert max(tokens) < 1.3 * mean
        assert sum(abs(each - mean) for each in tokens) / len(tokens) < 0.1 * mean


@pytest.mark.parametrize(("rows", "world"), [(1, 2), (1, 8), (4, 8), (16, 2)])
def test_even_batches_are_shared_out_evenly(rows: int, world: int) -> None:
    """Each process computes about as much in a step as the others; 2003 rows leave some over in one batch."""
    lengths = lengths_of_text(2003)
    ranks = [
        list(
            EpochBatches(
                lengths, 1, shuffle=True, batch=rows * world, even=True, process=Process(rank, world)
            )
        )
        for rank in range(world)
    ]
    steps = [[len(ids) * max(lengths[i] for i in ids) for ids in step] for step in zip(*ranks, strict=True)]
    assert sum(map(max, steps)) < 1.1 * sum(map(sum, steps)) / world
    twice = Counter(i for batches in ranks for ids in batches for i in ids)
    assert sum(twice.values()) - 2003 < world


def test_evaluation_keeps_to_a_number_of_tokens_too() -> None:
    for batching, tokens, most in (("tokens", 15, 20), ("rows", None, 25)):
        loaded = TransferData(
            splits(40, 40), Padding(), base_info(),
            DataSettings(batch_size=5, batching=batching, tokens_per_batch=tokens), seed=0,
        )  # fmt: skip
        sizes = [len(batch["id"]) * batch["longest"] for batch in loaded.test_dataloader()]
        assert len(sizes) == 8 and max(sizes) == most


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60), st.data())
def test_a_cut_is_as_even_as_can_be(lengths: list[int], drawn: st.DataObject) -> None:
    """Against all cuts: no batch of the best one of so many is larger than the largest of another."""
    lengths = sorted(lengths, reverse=True)
    count = drawn.draw(st.integers(1, len(lengths)))
    sizes = equal_token_batches(lengths, count)
    assert len(sizes) == count and sum(sizes) == len(lengths) and min(sizes) > 0
    starts = [sum(sizes[:at]) for at in range(count)]
    largest = max(size * max(1, lengths[start]) for size, start in zip(sizes, starts, strict=True))
    assert largest == smallest_largest(lengths, count)


def smallest_largest(lengths: list[int], count: int) -> int:
    """By dynamic programming over where the last batch begins."""
    best = [0] + [10**9] * len(lengths)
    for _ in range(count):
        best = [
            min((max(best[at], (end - at) * max(1, lengths[at])) for at in range(end)), default=10**9)
            for end in range(len(lengths) + 1)
        ]
    return best[-1]


def test_a_number_of_tokens_stands_in_the_place_of_rows() -> None:
    loaded = TransferData(
        splits(40, 3), Padding(), base_info(), DataSettings(tokens_per_batch=15), seed=0
    )  # fmt: skip
    assert loaded.batch_size == 5 and loaded.steps_per_epoch(1) == 8
    assert sum(len(batch["id"]) for batch in loaded.train_dataloader()) == 40
    assert loaded.suggest_smaller_batch() == "data.tokens_per_batch=7"
    assert (
        data(batch_size=7).suggest_smaller_batch() == "data.batch_size=3"
        and data(batch_size=1).suggest_smaller_batch() is None
    )
    told = loaded.describe_batches()
    assert told.startswith("batches of 5 rows on average, ") and told.endswith(" tokens each")
    assert data(batch_size=7).describe_batches() == "batches of 7 rows"


def test_who_shares_a_batch_changes_with_the_epoch_and_lengths_come_in_any_order() -> None:
    lengths = lengths_of_text(640)
    for even in (False, True):
        order = EpochBatches(lengths, 1, shuffle=True, batch=8, even=even)
        seen = []
        for epoch in range(2):
            order.set_epoch(epoch)
            seen.append([tuple(sorted(batch)) for batch in order])
        assert len(set(seen[0]) & set(seen[1])) < 20
        means = [sum(lengths[i] for i in ids) / len(ids) for ids in seen[0]]
        assert means != sorted(means) and means != sorted(means, reverse=True)
        assert order.window in WINDOWS


def test_no_more_is_sorted_than_padding_asks_for() -> None:
    same, mixed = [40] * 400, lengths_of_text(4000)
    assert EpochBatches(same, 1, shuffle=True, batch=8).window == WINDOWS[0]
    order = EpochBatches(mixed, 1, shuffle=True, batch=8)
    smaller = WINDOWS[WINDOWS.index(order.window) - 1]
    order.__dict__["window"] = smaller
    assert smaller < 100 and order.padding() > 0.045
