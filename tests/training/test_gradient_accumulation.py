"""Each example, or token, of an optimizer step weighs the same, whatever the batches it comes in."""

import os
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Callback
from torch.utils.data import DataLoader

from tests.plugins.tiny_generators import TEMPLATE
from tests.plugins.tiny_generators import tiny_base as tiny_generator
from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug.interfaces import LoadOptions, StepOutput
from tlplug.interfaces.registry import Registry
from tlplug.settings import OptimizerSettings
from tlplug.training.fit import TrainingHooks, adapt
from tlplug.training.module import BoundTask, StepMean, TransferModule
from tlplug.training.trainer import build_trainer

SETTINGS = OptimizerSettings(learning_rate=0.1, schedule="constant", warmup=0.0, weight_decay=0.0)
TEXTS = ["a", "a much longer answer than that", "four words and more", "b", "no", "it goes on and on and on"]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 2))
def test_the_gradient_is_that_of_the_mean_over_all_examples(sizes, missing):
    """`missing`: so many batches fewer than a step has, as at the end of an epoch."""
    values = torch.arange(float(sum(sizes))) ** 2
    weight = torch.nn.Parameter(torch.tensor(1.0))
    mean = StepMean(len(sizes) + missing)
    for part in values.split(sizes):
        loss = mean.of(StepOutput((weight * part).mean(), num_items=len(part)))
        (loss / mean.batches).backward()  # as Lightning divides
    mean.normalize([weight, torch.nn.Parameter(torch.zeros(2))])
    assert weight.grad.item() == pytest.approx(values.mean().item(), rel=1e-5)
    assert mean.weight == 0


def of_two_processes(rank, store, values):
    """One accumulated batch of each process, then a step; DDP averages the gradients of the two."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1, bias=False))
    mean = StepMean(4)
    own = values[:2] if rank == 0 else values[2:]
    with model.no_sync():
        (mean.of(StepOutput(model(own[0]).mean(), num_items=len(own[0]))) / 2).backward()
    (mean.of(StepOutput(model(own[1]).mean(), num_items=len(own[1]))) / 2).backward()
    mean.normalize(model.parameters())
    gradient = next(model.parameters()).grad.item()
    # No further: DDP's reducer, destroyed, waits with the GIL for a thread of gloo's, which may be waiting for the GIL.
    os._exit(0 if gradient == pytest.approx(torch.cat(values).mean().item(), rel=1e-5) else 1)


def test_examples_of_two_processes_weigh_the_same(tmp_path):
    values = list((torch.arange(20.0) ** 2).view(-1, 1).split([1, 5, 11, 3]))
    torch.multiprocessing.spawn(of_two_processes, (tmp_path / "store", values), nprocs=2)


def test_a_step_of_one_batch_is_left_as_it_is():
    weight, mean = torch.nn.Parameter(torch.tensor(2.0)), StepMean(1)
    loss = weight * 3
    assert mean.of(StepOutput(loss, num_items=7)) is loss
    loss.backward()
    mean.normalize([weight])
    assert weight.grad == 3.0


class Chat:
    """A generating head on a tiny decoder, and rows whose answers are of unequal length."""

    def __init__(self):
        self.base = tiny_generator("llama", TEMPLATE)
        self.head = Registry().find("head", "instruction").load()()
        self.rows = [
            {"id": i, "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": text}]}
            for i, text in enumerate(TEXTS)
        ]

    def module(self):
        torch.manual_seed(0)
        full = strategy("full")
        model = self.head.load_model(self.base, LoadOptions(random_weights=True)).train()
        full.optimizer = lambda groups, settings: torch.optim.SGD(groups, lr=settings.learning_rate)
        return TransferModule(model, full, BoundTask(self.head, self.base, {}), SETTINGS, 9)

    def batches(self, places):
        features = self.head.encode(self.rows, self.base, True)
        return [self.head.collate(features[start:end], self.base) for start, end in pairwise(places)]

    def trained(self, places, accumulate):
        module = self.module()
        settings = replace(
            QUICK, accumulate_grad_batches=accumulate, limit_val_batches=0, gradient_clip_val=None
        )
        loader = DataLoader(self.batches(places), batch_size=None)
        build_trainer(settings, [], [], "float32").fit(module, loader)
        return {name: value.detach().clone() for name, value in module.model.named_parameters()}


@pytest.mark.filterwarnings("ignore")
def test_tokens_of_accumulated_batches_weigh_the_same():
    """One step over three batches of 1, 2 and 3 rows is one step over all six; and a step of fewer batches comes last."""
    chat = Chat()
    whole = chat.trained([0, 6], accumulate=1)
    parted = chat.trained([0, 1, 3, 6], accumulate=3)
    assert all(torch.allclose(parted[name], whole[name], atol=1e-6) for name in whole)
    twice = chat.trained([0, 3, 6], accumulate=1)
    uneven = chat.trained([0, 1, 3, 4, 6], accumulate=2)
    assert all(torch.allclose(uneven[name], twice[name], atol=1e-6) for name in whole)
    short = chat.trained([0, 1, 2, 3, 6], accumulate=3)
    assert all(torch.allclose(short[name], twice[name], atol=1e-6) for name in whole)
    assert not all(torch.allclose(twice[name], whole[name], atol=1e-6) for name in whole)


@pytest.mark.filterwarnings("ignore")
def test_the_loss_is_logged_once_in_so_many_steps_and_at_the_end(tiny_base, monkeypatch):
    noted = []

    def log(module, name, value, **more):
        noted.append((name, module.trainer.global_step + 1))

    monkeypatch.setattr(TransferModule, "log_dict", lambda *given, **named: None)
    monkeypatch.setattr(TransferModule, "log", log)
    task = prepare(tiny_base, trainer=replace(QUICK, log_every_n_steps=3, limit_val_batches=0), train=64)
    adapt(task, strategy("linear_probe"), SETTINGS)
    assert noted == [("train/loss", step) for step in (3, 6, 8)]


def test_gradients_are_clipped_under_autocast_with_a_fused_optimizer(tiny_base):
    settings = replace(QUICK, precision="bf16-mixed", gradient_clip_val=1e-3, limit_val_batches=0)
    norms = []

    class Norms(Callback):
        def on_train_batch_end(self, trainer, pl_module, *given):
            assert trainer.optimizers[0].defaults["fused"]
            gradients = [p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]
            norms.append(torch.cat(gradients).norm().item())

    adapt(
        prepare(tiny_base, trainer=settings),
        strategy("full"),
        OptimizerSettings(),
        TrainingHooks(callbacks=[Norms()]),
    )
    assert len(norms) == 3 and norms == [pytest.approx(1e-3, rel=1e-3)] * 3
