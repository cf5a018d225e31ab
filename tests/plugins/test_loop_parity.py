"""The loop written by hand that tlplug's speed is held to does what tlplug does: step by step, from one seed."""

import pytest

from bench.trainer.loss_curves import Recorder, without_dropout
from bench.trainer.manual_loop import Loop
from tests.cli.runs import tiny_words
from tlplug.config.compose import Composer
from tlplug.config.job import build
from tlplug.runs.prepare import prepare
from tlplug.runtime.console import Reporter
from tlplug.training.fit import TrainingHooks, adapt

TOLERANCE = 1e-5
NO_DROPOUT = {"lora": ["strategy.lora_dropout=0"]}


def job_of(*words):
    with Composer() as composer:
        return build(composer.compose(words), words)


def losses(job):
    """tlplug's, and the loop's."""
    task, recorder = prepare(job, Reporter()), Recorder()
    adapt(task, job.strategy, job.optimizer, TrainingHooks(callbacks=[recorder]))
    loop = Loop(job, task)
    loop.fit()
    return recorder.losses, [float(loss) for loss in loop.losses]


@pytest.fixture(scope="module")
def still_folder(tiny_folder, tmp_path_factory):
    return without_dropout(tiny_folder, tmp_path_factory.mktemp("still") / "base")


@pytest.mark.parametrize("strategy", ["lora", "full", "linear_probe"])
def test_without_dropout_the_loop_s_losses_are_tlplug_s(strategy, still_folder, rows_folder):
    words = tiny_words(still_folder, rows_folder, strategy)
    own, loop = losses(job_of(*words, "trainer.precision=32-true", *NO_DROPOUT.get(strategy, [])))
    assert len(own) == len(loop) > 4
    assert loop == pytest.approx(own, abs=TOLERANCE)


def test_with_dropout_and_in_tlplug_s_own_precision_they_are_the_same_still(tiny_folder, rows_folder):
    own, loop = losses(job_of(*tiny_words(tiny_folder, rows_folder, "lora")))
    assert loop == pytest.approx(own, abs=TOLERANCE)
