"""One adaptation, on a tiny model: modes, steps, order, repeatability, precision."""

import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from lightning.pytorch import Callback

from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug.models.precision import best_precision
from tlplug.settings import OptimizerSettings, TrainerSettings
from tlplug.training.cost import CostMeter, count
from tlplug.training.fit import TrainingHooks, adapt
from tlplug.training.trainer import build_trainer, total_steps


class Watch(Callback):
    """Notes, at every training batch, the ids seen, the learning rate and which modules are in eval mode."""

    def __init__(self):
        self.ids, self.rates, self.asleep = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.ids.append((trainer.current_epoch, tuple(batch["id"].tolist())))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.asleep.append({name for name, module in pl_module.model.named_modules() if not module.training})


def watched(task, name="lora", optimizer=None):
    watch = Watch()
    model, outcome = adapt(
        task, strategy(name), optimizer or OptimizerSettings(), TrainingHooks(callbacks=[watch])
    )
    return watch, model, outcome


def test_dropout_stays_on_over_validation_and_epochs(tiny_base):
    watch, _, _ = watched(prepare(tiny_base, trainer=replace(QUICK, max_epochs=3)))
    assert set(map(frozenset, watch.asleep)) == {frozenset()}


def test_a_frozen_prefix_stays_in_eval_mode_over_validation_and_epochs(tiny_base):
    watch, model, _ = watched(prepare(tiny_base, trainer=replace(QUICK, max_epochs=3)), "linear_probe")
    prefix = {name for name, _ in model.named_modules() if name.startswith("prefix")}
    assert prefix and all(asleep == prefix for asleep in watch.asleep)


def test_what_only_a_fit_needs_is_gone_by_the_test(tiny_base):
    class Held(Callback):
        def on_test_start(self, trainer, pl_module):
            self.gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            self.state = [dict(optimizer.state) for optimizer in trainer.optimizers]

    held = Held()
    adapt(prepare(tiny_base), strategy("full"), OptimizerSettings(), TrainingHooks(callbacks=[held]))
    assert (held.gradients, held.state) == ([], [{}])


def test_every_row_is_seen_once_an_epoch_in_an_order_of_the_seed(tiny_base):
    task = prepare(tiny_base, trainer=replace(QUICK, max_epochs=2))
    first, _, _ = watched(task)
    again, _, _ = watched(prepare(tiny_base, trainer=replace(QUICK, max_epochs=2)), "scratch")
    other, _, _ = watched(prepare(tiny_base, seed=4))
    for epoch in (0, 1):
        seen = [identity for at, ids in first.ids if at == epoch for identity in ids]
        assert sorted(seen) == list(range(24))
    assert first.ids == again.ids, "another strategy sees the same examples in the same order"
    assert first.ids[:3] != first.ids[3:] and first.ids[:3] != other.ids


def test_the_same_seed_gives_the_same_predictions_and_another_does_not(tiny_base):
    outcomes = [watched(prepare(tiny_base, seed=seed))[2] for seed in (3, 3, 4)]
    assert outcomes[0].predictions == outcomes[1].predictions
    assert outcomes[0].predictions != outcomes[2].predictions


def test_the_rate_warms_up_to_what_was_set_and_falls_to_zero(tiny_base):
    task = prepare(tiny_base, trainer=replace(QUICK, max_epochs=4), batch_size=3)
    watch, _, _ = watched(task, optimizer=OptimizerSettings(learning_rate=0.01, warmup=0.25))
    assert len(watch.rates) == 32
    assert watch.rates[0] == 0.0 and watch.rates[8] == pytest.approx(0.01)
    assert watch.rates[-1] == pytest.approx(0.01 / 24)


@pytest.mark.parametrize(
    ("changes", "batches", "steps"),
    [
        ({"max_epochs": 3}, 10, 30),
        ({"max_epochs": 3, "accumulate_grad_batches": 4}, 10, 9),
        ({"max_epochs": 3, "limit_train_batches": 4}, 10, 12),
        ({"max_epochs": 3, "limit_train_batches": 0.5}, 10, 15),
        ({"max_epochs": 3, "max_steps": 7}, 10, 7),
    ],
)
def test_steps_are_computed_as_lightning_counts_them(tiny_base, changes, batches, steps):
    settings = replace(TrainerSettings(accelerator="cpu", devices=1), **changes)
    assert total_steps(settings, batches) == steps
    task = prepare(tiny_base, trainer=settings, train=10, batch_size=1)
    watch = Watch()
    adapt(
        task,
        strategy("linear_probe"),
        OptimizerSettings(),
        TrainingHooks(callbacks=[watch, counter := Counter()]),
    )
    assert counter.steps == steps


class Counter(Callback):
    def on_train_end(self, trainer, pl_module):
        self.steps = trainer.global_step


@pytest.mark.parametrize(
    ("capabilities", "precision", "why"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, "bf16-mixed", "avx512_bf16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "bf16-mixed", "amx_bf16"),
        ({"avx512_f": True}, "32-true", "no instructions for bfloat16"),
        ({}, "32-true", "no instructions for bfloat16"),
    ],
)
def test_auto_precision_is_what_the_processor_is_fast_in(monkeypatch, capabilities, precision, why):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    chosen, reason = best_precision("auto", "float32")
    assert chosen == precision and why in reason
    assert best_precision("cpu", "bfloat16")[0] == "bf16-mixed"
    trainer = build_trainer(replace(QUICK, precision="auto"), [], [], "float32")
    assert trainer.precision == precision and not trainer.loggers


def test_auto_precision_is_float32_on_a_device_that_is_not_known():
    assert best_precision("mps", "float32")[0] == "32-true"


def test_settings_go_to_the_trainer_as_they_are():
    trainer = build_trainer(replace(QUICK, gradient_clip_val=0.5, precision="bf16-mixed"), [], [], "float32")
    assert (trainer.gradient_clip_val, trainer.precision) == (0.5, "bf16-mixed")


def test_the_cost_counts_real_tokens_and_weights(tiny_base):
    task = prepare(tiny_base, trainer=replace(QUICK, max_epochs=2))
    _, model, outcome = watched(task, "linear_probe")
    tokens = 2 * sum(len(feature["input_ids"]) for feature in task.data.features["train"])
    cost = outcome.cost
    assert cost["tokens_per_second"] * cost["seconds"] == pytest.approx(tokens)
    assert cost["trainable_parameters"] == 64 * 2 + 2
    assert cost["total_parameters"] == sum(p.numel() for p in model.parameters())
    assert 100 < cost["peak_memory_mb"] < 20_000


def test_a_4_bit_model_counts_the_weights_it_stands_for(tiny_base):
    task = prepare(tiny_base)
    plain = task.head.load_model(tiny_base, strategy("lora").load_options(task.head))
    packed = task.head.load_model(tiny_base, strategy("qlora").load_options(task.head))
    assert sum(p.numel() for p in packed.parameters()) < sum(p.numel() for p in plain.parameters())
    assert count(packed) == count(plain)


def test_peak_memory_of_one_fit_is_not_the_next_one_s():
    code = (
        "import torch; from tlplug.training.cost import peak_memory, reset_peak\n"
        "cpu = torch.device('cpu'); block = torch.ones(60_000_000); high = peak_memory(cpu)\n"
        "del block; reset_peak(cpu)\n"
        "assert peak_memory(cpu) < high - 100 * 2**20"
    )
    # A process of its own: here the block could lie in memory that another test has given back.
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_meter_is_fresh_for_each_fit():
    assert CostMeter().tokens == 0 and asdict(QUICK)["max_epochs"] == 1
