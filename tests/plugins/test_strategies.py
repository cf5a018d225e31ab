"""Every strategy, on a tiny model: what moves, in which mode, and that it comes back as it was saved."""

import json
import subprocess
import sys

import pytest
import torch

from tests.plugins.conftest import STRATEGIES


# The intended parameters, by name; written here a second time on purpose, not asked of the strategy.
def everything(name):
    return True


def added(*marks):
    """What peft adds, and the head, which it trains a copy of."""
    return lambda name: any(mark in name for mark in (*marks, "modules_to_save"))


MOVES = {
    **dict.fromkeys(["full", "scratch", "l2_sp", "mixout", "feature_distillation"], everything),
    **dict.fromkeys(["gradual_unfreezing", "coral", "dann"], everything),
    "linear_probe": lambda name: name.startswith("classifier."),
    "bitfit": lambda name: name.endswith("bias") or name.startswith("classifier."),
    "last_layers": lambda name: "embeddings" not in name,  # the model has as many blocks as move
    "bottleneck_adapter": lambda name: (
        ".adapter." in name or "LayerNorm" in name or name.startswith("classifier.")
    ),
    "ia3": added("ia3_l"),
    "prefix_tuning": added("prompt_encoder"),
    "prompt_tuning": added("prompt_encoder"),
    "lora": added("lora_"),
    "qlora": added("lora_"),
}
KEPT = ("linear_probe", "last_layers")
"""Those that have a frozen prefix."""


def test_every_strategy_says_here_what_it_is_meant_to_move():
    assert set(MOVES) == set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_intended_parameters_move_within_two_steps_and_no_other(adapted, two_steps, name):
    _, model, module = adapted(name)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    two_steps(module)
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if MOVES[name](key)}
    assert moved


@pytest.mark.parametrize("name", STRATEGIES)
def test_only_a_frozen_prefix_is_in_eval_mode_while_training(adapted, name):
    strategy, model, module = adapted(name)
    prefix = strategy.frozen_prefix(model)
    frozen = {inner for part in prefix.modules for inner in part.modules()} if prefix is not None else set()
    assert {inner.training for inner in frozen} <= {False}
    assert all(inner.training for inner in model.modules() if inner not in frozen)
    assert bool(frozen) == (name in KEPT)
    module.eval()
    assert not any(inner.training for inner in model.modules())


@pytest.mark.parametrize("name", STRATEGIES)
def test_dropout_is_on_where_weights_move(adapted, batch, name):
    _, model, _ = adapted(name)
    inputs = {key: value for key, value in batch.items() if key not in ("id", "labels")}
    with torch.no_grad():
        first, second = model(**inputs).logits, model(**inputs).logits
    assert torch.equal(first, second) == (name == "linear_probe")


@pytest.mark.parametrize("name", STRATEGIES)
def test_saved_and_loaded_gives_equal_outputs(adapted, two_steps, head, tiny_base, batch, tmp_path, name):
    strategy, model, module = adapted(name)
    two_steps(module)
    strategy.save(model, tmp_path / "saved")
    torch.manual_seed(99)
    fresh = head.load_model(tiny_base, strategy.load_options(head))
    loaded = strategy.load(fresh, tmp_path / "saved", tiny_base)
    assert logits(loaded, batch) == pytest.approx(logits(model, batch), abs=5e-3 if name == "qlora" else 1e-6)


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        return model(**{k: v for k, v in batch.items() if k not in ("id", "labels")}).logits.numpy()


def test_stock_transformers_loads_what_full_saves(adapted, two_steps, batch, tmp_path):
    from transformers import AutoModelForSequenceClassification

    strategy, model, module = adapted("full")
    two_steps(module)
    strategy.save(model, tmp_path)
    stock = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert stock.config.id2label == {0: "negative", 1: "positive"}
    assert torch.equal(torch.tensor(logits(stock, batch)), torch.tensor(logits(model, batch)))


@pytest.mark.parametrize(("name", "tolerance"), [("lora", 0.0), ("qlora", 5e-3)])
def test_stock_peft_loads_the_adapter(adapted, two_steps, batch, tiny_folder, tmp_path, name, tolerance):
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification, BitsAndBytesConfig

    strategy, model, module = adapted(name)
    two_steps(module)
    strategy.save(model, tmp_path)
    options = {"config": AutoConfig.from_pretrained(tmp_path)}
    if name == "qlora":
        stored = json.loads((tmp_path / "quantization_config.json").read_text())
        options["quantization_config"] = BitsAndBytesConfig(**stored)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_folder, **options)
    stock = PeftModel.from_pretrained(base, tmp_path)
    difference = abs(logits(stock, batch) - logits(model, batch)).max()
    assert difference <= tolerance


def test_lora_reaches_every_linear_layer_of_the_trunk_and_no_head(adapted):
    _, model, _ = adapted("lora")
    wrapped = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    linear = {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in name and "classifier" not in name
    }
    assert {name.removesuffix(".base_layer") for name in linear} == wrapped
    assert len(wrapped) == 2 * 6 + 1  # six in each block, and the pooler


def test_qlora_quantizes_the_trunk_and_not_the_head(adapted):
    import bitsandbytes

    _, model, _ = adapted("qlora")
    quantized = {name for name, m in model.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)}
    assert len(quantized) == 2 * 6 + 1
    assert not any("classifier" in name for name in quantized)
    weight = next(m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)).weight
    assert weight.quant_state.quant_type == "nf4" and weight.quant_state.nested


def test_a_strategy_on_a_wrong_layer_name_is_a_usage_error(adapted):
    from tlplug import UsageError

    with pytest.raises(UsageError, match="no_such_layer"):
        adapted("lora", target_modules=["no_such_layer"])


def test_scratch_has_nothing_of_the_base_model(adapted, tiny_folder):
    from safetensors.torch import load_file

    pretrained = load_file(tiny_folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    _, scratch, _ = adapted("scratch")
    _, full, _ = adapted("full")
    assert torch.equal(full.bert.embeddings.word_embeddings.weight, pretrained)
    assert not torch.equal(scratch.bert.embeddings.word_embeddings.weight, pretrained)
    assert scratch.config.num_labels == full.config.num_labels


def test_the_probe_pools_the_mean_over_real_tokens(adapted, batch):
    _, model, _ = adapted("linear_probe")
    inputs = {k: v for k, v in batch.items() if k not in ("id", "labels")}
    states = model.prefix.trunk(**inputs).last_hidden_state
    expected = torch.stack(
        [row[: mask.sum()].mean(0) for row, mask in zip(states, batch["attention_mask"], strict=True)]
    )
    assert batch["attention_mask"].sum(1).unique().numel() > 1
    torch.testing.assert_close(model.prefix(**inputs), expected)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_s_file_loads_nothing_heavy(name):
    code = (
        f"import sys; from tlplug.interfaces.registry import Registry; Registry().find('strategy', '{name}').load()\n"
        "heavy = {'torch', 'transformers', 'peft', 'lightning', 'bitsandbytes'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_decay_is_on_matrices_only(adapted):
    strategy, model, module = adapted("full")
    decayed, plain = strategy.parameter_groups(model, module.settings)
    assert {p.ndim for p in decayed["params"]} == {2} and {p.ndim for p in plain["params"]} == {1}
    assert decayed["weight_decay"] == 0.01 and plain["weight_decay"] == 0.0


def test_zero_shot_moves_nothing(adapted):
    _, model, _ = adapted("zero_shot")
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_adapter_in_another_format_than_safetensors_is_refused(adapted, head, tiny_base, tmp_path):
    from tlplug import UsageError

    strategy, model, _ = adapted("lora")
    strategy.save(model, tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(UsageError, match="has no adapter_model.safetensors; other files are not loaded"):
        strategy.load(head.load_model(tiny_base, strategy.load_options(head)), tmp_path, tiny_base)
