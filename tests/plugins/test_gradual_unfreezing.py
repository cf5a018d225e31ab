"""The order of thawing, its steps, its rates; and that a training which was cut off goes on at its stage."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from tests.conftest import ROOT
from tests.training.sample_tasks import QUICK, prepare
from tlplug import OptimizerSettings, UsageError
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.settings import ModelSettings
from tlplug.training.fit import TrainingHooks, adapt, load
from tlplug.training.module import TransferModule

Gradual = Registry().find("strategy", "gradual_unfreezing").load()
STEADY = OptimizerSettings(learning_rate=1e-3, weight_decay=0.1, schedule="constant", warmup=0.0)
# Of a BERT of two blocks, by hand: the beginnings of the names of what each stage adds.
STAGES = [
    ("bert.pooler", "classifier"),
    ("bert.encoder.layer.1",),
    ("bert.encoder.layer.0",),
    ("bert.embeddings",),
]


class Watch(Callback):
    """Notes for every optimizer step which parameters had a gradient, and which changed."""

    def __init__(self):
        self.steps = []

    def on_fit_start(self, trainer, pl_module):
        self.before = copied(pl_module.model)

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        named = pl_module.model.named_parameters()
        self.graded = {name for name, parameter in named if parameter.grad is not None}

    def on_train_batch_end(self, trainer, pl_module, *given):
        if trainer.global_step == len(self.steps):
            return
        after = copied(pl_module.model)
        changed = {name for name, value in after.items() if not torch.equal(value, self.before[name])}
        self.steps.append((stages(self.graded), stages(changed)))
        self.before = after


def copied(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def stages(names):
    return sorted({stage for name in names for stage, begin in enumerate(STAGES) if name.startswith(begin)})


def gradual(**fields):
    return Gradual(Gradual.Config(**fields))


def run(base, strategy, epochs=3, watch=None, **changes):
    task = prepare(base, trainer=replace(QUICK, max_epochs=epochs, **changes), train=24)
    return adapt(task, strategy, STEADY, TrainingHooks(callbacks=[watch] if watch else []))


@pytest.mark.parametrize("accumulated", [1, 2])
def test_a_block_more_every_so_many_steps_and_the_embeddings_last(tiny_base, accumulated):
    watch = Watch()
    run(tiny_base, gradual(every_steps=2), 4, watch, accumulate_grad_batches=accumulated)
    expected = [list(range(min(step // 2, 3) + 1)) for step in range(len(watch.steps))]
    assert len(watch.steps) == (12 if accumulated == 1 else 8)  # 3 batches an epoch: 3 or 2 steps
    assert [graded for graded, _ in watch.steps] == expected
    assert [changed for _, changed in watch.steps] == expected, "no decay on what is frozen"


def scripted(monkeypatch, scores, higher=True):
    """The validation's score, as if it were the head's."""
    given = iter(scores)

    def score(self, split):
        self._outputs = []
        self.predictions[split], self.scores[split] = [], {"accuracy": next(given, 0.0)}

    plain = TransferModule._score
    monkeypatch.setattr(
        TransferModule, "_score", lambda self, split: (score if split == "validation" else plain)(self, split)
    )
    head = Registry().find("head", "classification").load()
    monkeypatch.setattr(head, "higher_is_better", higher)


@pytest.mark.parametrize(
    ("scores", "higher", "after"),
    [
        ([0.5, 0.6, 0.6, 0.7, 0.65, 0.69], True, [0, 0, 0, 1, 1, 2, 3]),
        ([0.5, 0.4, 0.4, 0.3, 0.35, 0.31], False, [0, 0, 0, 1, 1, 2, 3]),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], True, [0, 0, 1, 2, 3, 3, 3]),
    ],
)
def test_a_block_more_where_the_score_has_stopped_rising(tiny_base, monkeypatch, scores, higher, after):
    scripted(monkeypatch, scores, higher)
    watch = Watch()
    run(tiny_base, gradual(), len(after), watch)
    assert [graded[-1] for graded, _ in watch.steps] == [stage for stage in after for _ in range(3)]


def test_a_step_is_of_one_stage_where_batches_are_accumulated(tiny_base, monkeypatch):
    """Validated after every batch, two batches a step: what is due in the midst of a step waits for the next."""
    scripted(monkeypatch, [0.5, 0.6, 0.7, 0.4, 0.8, 0.9])
    seen = []

    class Batches(Callback):
        def on_train_batch_end(self, trainer, pl_module, *given):
            named = pl_module.model.named_parameters()
            seen.append(stages({name for name, parameter in named if parameter.requires_grad})[-1])

    run(tiny_base, gradual(), 2, Batches(), accumulate_grad_batches=2, val_check_interval=1)
    # Three batches an epoch. 0.4 comes after the fourth, which the fifth makes a step with.
    assert seen == [0, 0, 0, 0, 0, 1]


def test_the_rates_are_those_of_full_with_its_layer_decay(adapted):
    strategy, model, _ = adapted("gradual_unfreezing", layer_decay=0.25)
    groups = strategy.parameter_groups(model, STEADY)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
    assert set(rates) == set(names.values()), "all groups are there from the start"
    for name, rate in rates.items():
        assert rate == pytest.approx(1e-3 * 0.25 ** stages([name])[0]), name


def test_what_is_frozen_costs_no_backward_pass(tiny_base):
    class Graph(Callback):
        def __init__(self):
            self.seen = []

        def on_train_start(self, trainer, pl_module):
            for block in pl_module.model.bert.encoder.layer:
                block.register_forward_hook(lambda _, __, output: self.note(output))

        def note(self, output):
            if torch.is_grad_enabled():
                self.seen.append(output.requires_grad)

    graph = Graph()
    run(tiny_base, gradual(every_steps=1), 1, graph)
    assert graph.seen == [False, False, False, True, True, True]  # block 0 and block 1, in three steps


def test_everything_moves_after_adapt_and_dropout_is_on(adapted):
    _, model, _ = adapted("gradual_unfreezing")
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


def test_without_a_validation_the_steps_have_to_be_named(tiny_base):
    with pytest.raises(UsageError, match="the strategy needs strategy.every_steps"):
        run(tiny_base, gradual(), limit_val_batches=0)
    run(tiny_base, gradual(every_steps=2), limit_val_batches=0)


def test_a_validation_outside_of_the_training_thaws_nothing():
    """As when the head's decoding is tuned."""
    (thawing,) = gradual().callbacks()

    class Ended:
        state = type("State", (), {"fn": TrainerFn.VALIDATING})

    thawing.on_validation_end(Ended, None)
    assert (thawing.stage, thawing.best) == (0, None)


@pytest.mark.parametrize("steps", [0, -3])
def test_stages_of_no_steps_are_refused(steps):
    with pytest.raises(ValueError, match="it must be at least 1, or null"):
        Gradual.Config(every_steps=steps)


class Stop(Callback):
    """Saves a checkpoint at an epoch's end and ends the training, as one that is cut off."""

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def fitted(base, strategy, callbacks=(), checkpoint=None, epochs=4):
    """The weights after a training with a Trainer of its own, dropout off, over the same batches in each epoch."""
    torch.manual_seed(5)
    task = prepare(base, trainer=replace(QUICK, max_epochs=epochs), train=24)
    model = load(task, strategy, torch.device("cpu"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    module = TransferModule(model, strategy, task, STEADY, 3 * epochs).train()
    trainer = Trainer(
        max_epochs=epochs,
        min_epochs=0,
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[*callbacks, *strategy.callbacks()],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        val_check_interval=1.0,
    )
    trainer.fit(module, datamodule=task.data, ckpt_path=checkpoint)
    return copied(model)


@pytest.mark.parametrize(
    ("fields", "cut"), [({"every_steps": 4}, 9), ({}, 12)], ids=["by steps", "by the score"]
)
def test_a_training_cut_off_in_stage_two_goes_on_as_if_it_had_not_been(
    tiny_base, tmp_path, monkeypatch, fields, cut
):
    """By steps stage 2 is that of the steps 8 to 11; by the score that of the epochs 3 and 4."""
    scores, path, whole, rest = [0.5, 0.4, 0.3, 0.6, 0.55, 0.7], tmp_path / "cut.ckpt", Watch(), Watch()
    scripted(monkeypatch, scores)
    expected = fitted(tiny_base, gradual(**fields), [whole], epochs=6)
    scripted(monkeypatch, scores)
    fitted(tiny_base, gradual(**fields), [Stop(cut, path)], epochs=6)
    state = torch.load(path, weights_only=True)["callbacks"]["UnfreezeCallback"]
    assert state == {"stage": 2, "best": None if fields else 0.6}
    scripted(monkeypatch, scores[cut // 3 :])
    found = fitted(tiny_base, gradual(**fields), [rest], path, epochs=6)
    assert [graded[-1] for graded, _ in whole.steps[cut:]][:1] == [2]
    assert [graded for graded, _ in rest.steps] == [graded for graded, _ in whole.steps[cut:]]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


TWO = """
import os, sys
import torch
from tests.plugins.test_gradual_unfreezing import thawed_in

weights = thawed_in(2, sys.argv[1])
if os.environ.get("LOCAL_RANK", "0") == "0":
    torch.save(weights, sys.argv[2])
"""


def thawed_in(processes, folder):
    """The weights that so many processes end with, each with its share of the same batches."""
    base = find_base(ModelSettings(source=str(folder)))
    base.config.hidden_dropout_prob = base.config.attention_probs_dropout_prob = 0.0
    how = {"devices": processes, "strategy": "ddp" if processes > 1 else "auto"}
    task = prepare(base, trainer=replace(QUICK, max_epochs=3, **how), train=24, batch_size=8 // processes)
    return copied(adapt(task, gradual(every_steps=2), STEADY)[0])


@pytest.mark.slow
def test_two_processes_end_where_one_does(tiny_folder, tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "two.py"), str(tiny_folder), str(tmp_path / "two.pt")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = thawed_in(1, tiny_folder), torch.load(tmp_path / "two.pt")
    for name, value in one.items():
        if not name.endswith("key.bias"):  # no gradient but rounding, which AdamW scales up
            torch.testing.assert_close(value, two[name], rtol=0, atol=1e-4)
