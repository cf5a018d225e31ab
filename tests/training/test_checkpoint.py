"""From whichever checkpoint a training is gone on with, it ends at the same weights."""

import json
import multiprocessing
import shutil

import pytest
import torch

from tests.cli.runs import tiny_words
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.errors import UsageError
from tlplug.runs.prepare import prepare
from tlplug.runtime.console import Reporter
from tlplug.runtime.signals import StopRequest
from tlplug.settings import CheckpointSettings
from tlplug.training.checkpoint import Checkpoints
from tlplug.training.checkpoint_files import AtomicCheckpointIO, newest
from tlplug.training.fit import TrainingHooks, adapt

EVERY = CheckpointSettings(every_steps=1, every_minutes=None)


@pytest.fixture(scope="module")
def fit(tiny_folder, rows_folder, tmp_path_factory):
    """Trains by words in a folder of checkpoints; gives what moved, and the outcome."""

    def trained(folder, *words, kind=Checkpoints, settings=EVERY, identity=None, strategy="lora"):
        with Composer() as composer:
            job = build(composer.compose([*tiny_words(tiny_folder, rows_folder, strategy), *words]))
        task = prepare(job, Reporter())
        head = task.head
        keeps = kind(
            folder, settings, identity or {}, head.primary_score, head.higher_is_better, StopRequest()
        )
        model, outcome = adapt(task, job.strategy, job.optimizer, TrainingHooks(checkpoints=keeps))
        return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}, outcome

    return trained


class Copying(Checkpoints):
    """Leaves a copy of each beside, which is not pruned."""

    def _write(self, trainer):
        super()._write(trainer)
        for path in self.folder.glob("step-*.ckpt"):
            shutil.copy(path, self.folder.with_name("all") / path.name)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "words", "steps"),
    [
        ("lora", ["trainer.max_epochs=2", "trainer.val_check_interval=0.5"], [*range(1, 13)]),
        ("full", ["trainer.max_epochs=3", "trainer.accumulate_grad_batches=4"], [*range(1, 7)]),
        (
            "gradual_unfreezing",
            ["trainer.max_epochs=2", "trainer.limit_val_batches=0", "strategy.every_steps=2"],
            [*range(1, 6), *range(7, 13)],
        ),
        ("lora", ["trainer.max_steps=9", "trainer.max_epochs=9"], [*range(1, 10)]),
    ],
)
def test_a_training_goes_on_bit_for_bit_from_each_of_its_checkpoints(strategy, words, steps, fit, tmp_path):
    (tmp_path / "all").mkdir()
    whole, expected = fit(tmp_path / "whole", *words, kind=Copying, strategy=strategy)
    kept = {int(path.stem[5:]): path for path in (tmp_path / "all").iterdir()}
    assert sorted(kept) == steps
    for step, path in kept.items():
        folder = tmp_path / str(step)
        folder.mkdir()
        shutil.copy(path, folder / path.name)
        again, outcome = fit(folder, *words, strategy=strategy)
        assert same(whole, again), f"from step {step}"
        assert (outcome.curve, outcome.validation) == (expected.curve, expected.validation), (
            f"from step {step}"
        )
        assert outcome.predictions == expected.predictions


def test_workers_change_neither_a_training_nor_what_resumes_it(fit, tmp_path):
    (tmp_path / "all").mkdir()
    words = ["trainer.max_epochs=2", "trainer.val_check_interval=0.5"]
    whole, expected = fit(tmp_path / "whole", *words)
    ahead, outcome = fit(tmp_path / "ahead", *words, "data.num_workers=2", kind=Copying)
    folder = tmp_path / "again"
    folder.mkdir()
    shutil.copy(tmp_path / "all/step-8.ckpt", folder)  # of 12, in the middle of the second epoch
    again, resumed = fit(folder, *words, "data.num_workers=1")
    assert same(whole, ahead) and same(whole, again)
    for found in (outcome, resumed):
        assert (found.curve, found.predictions) == (expected.curve, expected.predictions)
    assert multiprocessing.active_children() == []


def test_a_checkpoint_holds_what_moves_and_plain_types(fit, tmp_path):
    whole, _ = fit(tmp_path, "trainer.max_epochs=1", identity={"data": "a"})
    (path,) = tmp_path.glob("*.ckpt")
    found = torch.load(path, weights_only=True)
    assert {name.removeprefix("model.") for name in found["state_dict"] if "position" not in name} >= set(
        whole
    )
    assert not any("base_layer" in name for name in found["state_dict"]), (
        "what does not move is the base model's"
    )
    assert found["tlplug"]["identity"] == {"data": "a"} and len(found["tlplug"]["random"]) == 1
    assert found["optimizer_states"] and found["lr_schedulers"]


@pytest.mark.parametrize(("keep", "left"), [(0, 1), (1, 1), (3, 3)])
def test_the_last_ones_stay(keep, left, fit, tmp_path):
    fit(tmp_path, "trainer.max_epochs=1", settings=CheckpointSettings(every_steps=1, keep_last=keep))
    assert len(list(tmp_path.glob("step-*.ckpt"))) == left and newest(tmp_path) == 6


@pytest.mark.slow
def test_the_best_validation_is_tested_and_saved_where_it_is_asked_for(fit, tmp_path):
    words = ["trainer.max_epochs=6", "trainer.max_steps=26", "trainer.val_check_interval=0.34"]
    words += [
        "optimizer.learning_rate=1e-3",
        "optimizer.schedule=constant",
        "trainer.precision=32-true",
        "seed=1",
    ]
    last, without = fit(tmp_path / "last", *words, strategy="full")
    best, outcome = fit(
        tmp_path / "best", *words, settings=CheckpointSettings(use_best=True), strategy="full"
    )
    top = max(score for _, score in outcome.curve)
    first = next(number for number, (_, score) in enumerate(outcome.curve) if score == top)
    (path,) = (tmp_path / "best").glob("best-*.ckpt")
    assert int(path.stem[5:]) == 2 * (first + 1), "the first of those that scored best"
    assert outcome.validation["accuracy"] == top > without.validation["accuracy"]
    kept = torch.load(path, weights_only=True)
    assert "optimizer_states" not in kept
    assert all(torch.equal(kept["state_dict"][f"model.{name}"], best[name]) for name in best)
    assert not same(last, best)


def test_another_identity_is_refused_by_its_name(fit, tmp_path):
    fit(tmp_path, "trainer.max_epochs=1", identity={"base model": "a"})
    with pytest.raises(UsageError, match=r"another base model \(a\) than there is now \(b\)"):
        fit(tmp_path, "trainer.max_epochs=1", identity={"base model": "b"})


def test_of_checkpoints_that_are_damaged_the_one_before_is_taken(fit, tmp_path, caplog):
    words = ["trainer.max_epochs=1"]
    whole, _ = fit(tmp_path, *words, settings=CheckpointSettings(every_steps=1, keep_last=2))
    newer = tmp_path / "step-6.ckpt"
    newer.write_bytes(newer.read_bytes()[:2000])
    again, _ = fit(tmp_path, *words)
    assert same(whole, again) and "step-6.ckpt cannot be resumed from" in caplog.text


def test_a_checkpoint_of_another_strategy_is_refused(fit, tmp_path):
    fit(tmp_path, "trainer.max_epochs=1")
    with pytest.raises(UsageError, match="the checkpoint is of another training"):
        fit(tmp_path, "trainer.max_epochs=1", strategy="full")


@pytest.mark.parametrize("keys", [{"every_steps": 0}, {"every_minutes": -1.0}, {"keep_last": -1}])
def test_settings_of_no_sense_are_refused(keys):
    with pytest.raises(ValueError, match=next(iter(keys))):
        CheckpointSettings(**keys)


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path, caplog):
    class Refuses:
        def __reduce__(self):
            raise OSError(28, "No space left on device")

    path = tmp_path / "step-1.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)
    before = path.read_bytes()
    AtomicCheckpointIO().save_checkpoint({"a": Refuses()}, path)
    assert path.read_bytes() == before and [each.name for each in tmp_path.iterdir()] == [path.name]
    assert "could not be written (OSError: [Errno 28] No space left on device)" in caplog.text
    assert json.dumps(AtomicCheckpointIO().load_checkpoint(path)) == '{"a": 1}'
