"""The same training with peft used by hand: as many parameters that move, and the same loss after ten steps."""

import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AutoConfig, AutoModelForSequenceClassification

STEPS = 10
# So that the loss goes down by far more than it is compared to.
RATES = {"lora": 5e-3, "dora": 5e-3, "ia3": 5e-2, "prefix_tuning": 5e-2, "prompt_tuning": 5e-2}
LINEAR = ["query", "key", "value", "dense"]
BY_HAND = {
    "lora": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, task_type="SEQ_CLS"),
    "dora": lambda: LoraConfig(r=4, lora_alpha=8, target_modules=LINEAR, task_type="SEQ_CLS", use_dora=True),
    "ia3": lambda: IA3Config(task_type="SEQ_CLS"),
    "prefix_tuning": lambda: PrefixTuningConfig(num_virtual_tokens=7, task_type="SEQ_CLS"),
    "prompt_tuning": lambda: PromptTuningConfig(
        num_virtual_tokens=7, task_type="SEQ_CLS", prompt_tuning_init="SAMPLE_VOCAB"
    ),
}
OURS = {
    "lora": ("lora", {"r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0}),
    "dora": ("lora", {"r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0, "use_dora": True}),
    "ia3": ("ia3", {}),
    "prefix_tuning": ("prefix_tuning", {"num_virtual_tokens": 7}),
    "prompt_tuning": ("prompt_tuning", {"num_virtual_tokens": 7}),
}
# The size of each method made another.
TWINS = {
    "lora": {"r": 3},
    "dora": {"r": 3},
    "ia3": {"target_modules": ["key", "dense"], "feedforward_modules": ["dense"]},
    "prefix_tuning": {"num_virtual_tokens": 6},
    "prompt_tuning": {"num_virtual_tokens": 6},
}


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.train()


def moving(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def by_hand(method, folder, batch):
    """peft and a loop of plain torch, of whose code nothing is shared."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, num_labels=2, pad_token_id=0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
    model = without_dropout(get_peft_model(model, BY_HAND[method]()))
    optimizer = torch.optim.AdamW(moving(model), lr=RATES[method], weight_decay=0.0)
    inputs = {name: value for name, value in batch.items() if name not in ("id", "labels")}
    losses = []
    for _ in range(STEPS):
        loss = cross_entropy(model(**inputs).logits, batch["labels"])
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sum(p.numel() for p in moving(model)), losses


def by_strategy(adapted, method, batch, faster=1.0, **changes):
    name, fields = OURS[method]
    strategy, model, module = adapted(name, **{**fields, **changes})
    without_dropout(module)
    settings = module.settings
    optimizer = strategy.optimizer(strategy.parameter_groups(model, settings), settings)
    for group in optimizer.param_groups:
        group["lr"] = faster * RATES[method]
    losses = []
    for _ in range(STEPS):
        loss = module.strategy.training_step(module.model, module.head, {"main": batch}).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return sum(p.numel() for p in moving(model)), losses


@pytest.fixture(scope="module")
def reference(tiny_folder, batch):
    return {method: by_hand(method, tiny_folder, batch) for method in BY_HAND}


@pytest.mark.parametrize("method", BY_HAND)
def test_as_many_parameters_move_and_the_loss_is_the_same(adapted, batch, reference, method):
    count, losses = reference[method]
    own_count, own_losses = by_strategy(adapted, method, batch)
    assert own_count == count
    assert own_losses == pytest.approx(losses, abs=1e-5)
    assert abs(losses[-1] - losses[0]) > 1e-3, "nothing was learnt, so nothing was compared"


@pytest.mark.parametrize("method", BY_HAND)
def test_another_rate_is_seen(adapted, batch, reference, method):
    _, losses = by_strategy(adapted, method, batch, faster=1.1)
    assert losses[-1] != pytest.approx(reference[method][1][-1], abs=1e-5)


@pytest.mark.parametrize("method", BY_HAND)
def test_another_size_is_seen(adapted, batch, reference, method):
    count, losses = by_strategy(adapted, method, batch, **TWINS[method])
    assert count != reference[method][0]
    assert losses[-1] != pytest.approx(reference[method][1][-1], abs=1e-5)
