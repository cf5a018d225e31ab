import itertools

import pytest
import torch

from tests.conftest import make_rows
from tlplug.interfaces import REQUIRED, AdaptContext
from tlplug.interfaces.registry import Registry
from tlplug.training.module import BoundTask, TransferModule

STRATEGIES = [
    name
    for name in Registry().names("strategy")
    if Registry().find("strategy", name).load().capabilities.trains
]
"""Those under which something moves."""


@pytest.fixture(scope="session")
def head():
    found = Registry().find("head", "classification").load()()
    return found.with_state(found.fit(make_rows(4)))


@pytest.fixture(scope="session")
def batch(head, tiny_base):
    return head.collate(head.encode(make_rows(8), tiny_base, True), tiny_base)


@pytest.fixture
def adapted(head, tiny_base, batch):
    """A function: strategy's name -> (strategy, freshly adapted model, the module that trains it)."""

    def build(name, seed=0, **fields):
        torch.manual_seed(seed)
        cls = Registry().find("strategy", name).load()
        strategy = cls(cls.Config(**fields))
        context = AdaptContext(head, tiny_base, seed, lambda: itertools.repeat(batch), torch.device("cpu"))
        model = strategy.adapt(head.load_model(tiny_base, strategy.load_options(head)), context)
        task = BoundTask(head, tiny_base, {})
        module = TransferModule(model, strategy, task, strategy.optimizer_defaults, 10).train()
        return strategy, model, module

    return build


@pytest.fixture(scope="session")
def unlabelled(head, tiny_base):
    """A batch of another domain."""
    return head.collate(head.encode(make_rows(8, seed=9), tiny_base, False), tiny_base)


@pytest.fixture
def two_steps(batch, unlabelled):
    """Takes two optimizer steps as the module configures them, without the schedule's warm-up."""

    def take(module):
        settings = module.settings
        optimizer = module.strategy.optimizer(
            module.strategy.parameter_groups(module.model, settings), settings
        )
        required = [name for name, need in module.strategy.extra_data.items() if need is REQUIRED]
        for _ in range(2):
            optimizer.zero_grad()
            batches = {"main": batch, **dict.fromkeys(required, unlabelled)}
            module.strategy.training_step(module.model, module.head, batches).loss.backward()
            optimizer.step()

    return take
