"""Batches from workers: the same ones, counted and resumed in the same way, and no process left behind."""

import logging
import multiprocessing
import os
import pickle
import random
import signal
import threading
import time
import traceback

import numpy as np
import pytest
import torch

import tlplug.data.batches
from tests.data.test_batching import base_info, data, features
from tests.plugins.tiny_generators import tiny_base
from tlplug.data.batches import BatchPlan, WorkerError, ignore_signals
from tlplug.data.datamodule import TransferData
from tlplug.data.features import encode
from tlplug.interfaces import TaskHead
from tlplug.interfaces.registry import Registry
from tlplug.settings import DataSettings
from tlplug.training.plugin_errors import name_plugin_in_errors

MAIN_PROCESS = os.getpid()
pytestmark = pytest.mark.filterwarnings("ignore:.*worker processes in total:UserWarning")


class Drawing(TaskHead):
    """Draw a number for each feature, and leave an array and a string as they are."""

    def collate(self, features, base):
        ids = torch.tensor([feature["id"] for feature in features])
        return {
            "id": ids,
            "drawn": torch.rand(len(ids)),
            "array": np.array(ids.tolist()),
            "base": base.source,
        }


class Failing(Registry().find("head", "classification").load()):
    """A head that cannot make the batch with feature 5."""

    contract = 1

    def collate(self, features, base):
        if any(feature["id"] == 5 for feature in features):
            raise LookupError("5 is unknown", 5)
        return Drawing.collate(self, features, base)


class FailingElsewhere(Drawing):
    def collate(self, features, base):
        if os.getpid() != MAIN_PROCESS:
            raise OSError("no such device here")
        return super().collate(features, base)


def loaded(workers, head=None, streams=(), count=37, seed=4):
    made = data(count, seed=seed)
    return TransferData(
        made.features,
        head or Drawing(),
        base_info(),
        DataSettings(batch_size=4, batching="rows", num_workers=workers),
        seed=seed,
        streams={name: features(11) for name in streams},
    )


def plain(value):
    """A batch as types that `==` compares, with the types of its values."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return type(value), value.tolist() if isinstance(value, torch.Tensor | np.ndarray) else value


def passes(loader, orders, epochs=3):
    """The batches of each epoch, by one loader."""
    found = []
    for epoch in range(epochs):
        for order in orders(loader):
            order.set_epoch(epoch)
        found.append([plain(batch[0] if isinstance(batch, tuple) else batch) for batch in loader])
    return found


def one_order(loader):
    return [loader.order]


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_are_the_same_with_workers(workers):
    names = ("train_dataloader", "val_dataloader", "full_val_dataloader", "test_dataloader")
    for name in names:
        here, there = (getattr(loaded(count), name)() for count in (0, workers))
        assert there.num_workers == workers
        assert passes(here, one_order) == passes(there, one_order), name
    assert [*map(plain, loaded(0).single_pass("train"))] == [
        *map(plain, loaded(workers).single_pass("train"))
    ]
    assert multiprocessing.active_children() == []


def test_streams_are_the_same_with_workers():
    def orders(loader):
        return [each.order for each in loader.iterables.values()]

    here, there = (loaded(count, streams=("target", "source")).train_dataloader() for count in (0, 2))
    expected = passes(here, orders, 2)
    assert passes(there, orders, 2) == expected
    assert {*expected[0][0]} == {"main", "target", "source"} and expected[0] != expected[1]


def test_what_is_drawn_is_another_in_each_batch_epoch_and_seed():
    drawn = [
        tuple(batch["drawn"][1])
        for seed in (0, 1)
        for epoch in passes(loaded(0, seed=seed).train_dataloader(), one_order)
        for batch in epoch
    ]
    assert len({number for numbers in drawn for number in numbers}) == 2 * 3 * 37


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_resumes_after_what_was_handed_out(workers):
    expected = passes(loaded(0).train_dataloader(), one_order, 2)
    first = loaded(workers).train_dataloader()
    batches = iter(first)
    handed_out = [plain(next(batches)) for _ in range(3)]
    state = first.state_dict()
    assert state == {"given": 3}, "workers are ahead of it"
    batches.close()
    again = loaded(workers).train_dataloader()
    again.load_state_dict(state)
    (rest, second) = passes(again, one_order, 2)
    assert [handed_out + rest, second] == expected
    assert again.state_dict() == {"given": len(again)}


@pytest.mark.parametrize("workers", [0, 2])
def test_no_global_generator_is_drawn_from(workers):
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    expected = random.random(), np.random.rand(), torch.rand(3).tolist()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    passes(loaded(workers).train_dataloader(), one_order, 2)
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_collate_is_the_heads_own(workers):
    plugin = Registry().find("head", f"{__name__}.Failing")
    with pytest.raises(LookupError) as error, name_plugin_in_errors([plugin]):
        list(loaded(workers, Failing()).train_dataloader())
    assert error.value.args == ("5 is unknown", 5)
    told = "".join(traceback.format_exception(error.value))
    assert 'raise LookupError("5 is unknown", 5)' in told and "DataLoader worker" not in told
    (note,) = error.value.__notes__
    assert note.startswith("It was raised in head ") and "Failing" in note
    assert multiprocessing.active_children() == []


def test_what_only_workers_cannot_do_is_done_by_the_main_process(caplog):
    with caplog.at_level(logging.WARNING):
        found = passes(loaded(2, FailingElsewhere()).train_dataloader(), one_order, 1)
    assert found == passes(loaded(0).train_dataloader(), one_order, 1)
    assert "a worker cannot make a batch (OSError: no such device here)" in caplog.text


def test_the_answer_for_a_batch_that_failed_has_its_plan():
    maker = loaded(0, Failing()).single_pass("train").maker
    plan = BatchPlan([5], 1)
    assert maker[plan] == WorkerError(plan, "LookupError: ('5 is unknown', 5)")


@pytest.mark.parametrize("end", [lambda batches: batches.close(), lambda batches: None])
def test_a_pass_that_is_given_up_leaves_no_process(end):
    batches = iter(loaded(2).train_dataloader())
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    end(batches)
    del batches
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_workers_outlive_a_signal_to_all_processes(number):
    batches = iter(loaded(2).train_dataloader())
    found = [plain(next(batches))]
    for worker in multiprocessing.active_children():
        os.kill(worker.pid, number)
    time.sleep(0.2)
    found += map(plain, batches)
    assert [found] == passes(loaded(0).train_dataloader(), one_order, 1)
    assert multiprocessing.active_children() == []


def wait_as_a_worker(ready):
    ignore_signals(0)
    ready.set()
    time.sleep(60)


def test_workers_end_with_the_second_sigterm():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=wait_as_a_worker, args=(ready,), daemon=True)
    worker.start()
    assert ready.wait(30)
    worker.terminate()
    worker.join(0.3)
    assert worker.is_alive()
    worker.terminate()
    worker.join(30)
    assert worker.exitcode == -signal.SIGTERM


def test_hidden_words_are_the_same_with_workers():
    head, base = Registry().find("head", "language_modeling").load()(), tiny_base("bert", max_length=128)
    rows = [{"id": id, "text": f"{id} bees went into winter with {id + 7} frames"} for id in range(21)]
    train, test = (encode(head, rows, base, training) for training in (True, False))
    splits = {"train": train, "validation": test, "test": test}
    found = []
    for workers in (0, 2):
        settings = DataSettings(batch_size=4, batching="rows", num_workers=workers)
        found.append(passes(TransferData(splits, head, base, settings, 1).train_dataloader(), one_order))
    assert found[0] == found[1] and "labels" in found[0][0][0]
    hidden = [{tuple(row) for batch in epoch for row in batch["labels"][1]} for epoch in found[0]]
    assert len(hidden[0] & hidden[1]) < 5, "each epoch hides others"


def test_the_users_setting_of_the_tokenizers_stays(monkeypatch):
    for value in ("true", None):
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", value) if value else monkeypatch.delenv(
            "TOKENIZERS_PARALLELISM"
        )
        next(iter(loaded(1).train_dataloader()))
        assert os.environ.get("TOKENIZERS_PARALLELISM") == value


def test_a_loader_works_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.extend(passes(loaded(1).train_dataloader(), one_order, 1)))
    thread.start()
    thread.join(60)
    assert found == passes(loaded(0).train_dataloader(), one_order, 1)


def test_nothing_is_cached_under_another_key_for_it():
    assert loaded(0).digest() == loaded(2).digest() != loaded(0, seed=5).digest()


def test_what_travels_to_a_worker_can_be_pickled():
    maker = loaded(2).train_dataloader().maker
    plan = BatchPlan([3, 1], 7)
    assert plain(pickle.loads(pickle.dumps(maker))[plan]) == plain(maker[plan])


@pytest.mark.slow
def test_workers_that_are_no_forks_make_the_same_batches(monkeypatch):
    monkeypatch.setattr(tlplug.data.batches, "START_METHOD", "spawn")
    found = passes(loaded(1).train_dataloader(), one_order, 1)
    assert found == passes(loaded(0).train_dataloader(), one_order, 1)
