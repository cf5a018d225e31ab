"""LoRA and its kin: scales, rates, starting points, and that what is saved goes over the untouched base model."""

import itertools
import json

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora.dora import DoraLinearLayer

from tests.conftest import ROOT
from tests.plugins.test_strategies import logits
from tlplug import AdaptContext, UsageError
from tlplug.interfaces.registry import Registry

Lora = Registry().find("strategy", "lora").load()
VARIANTS = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "lora_plus": {"loraplus_lr_ratio": 16.0},
    "gaussian": {"init_lora_weights": "gaussian"},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "eva": {"init_lora_weights": "eva", "r": 3},
    "pissa_rslora": {"init_lora_weights": "pissa", "use_rslora": True},
    "pissa_dora": {"init_lora_weights": "pissa", "use_dora": True},
    "eva_dora": {"init_lora_weights": "eva", "r": 3, "use_dora": True},
}
EVERY = pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)


def plain(head, tiny_base):
    torch.manual_seed(99)
    return head.load_model(tiny_base, Lora().load_options(head)).eval()


def layer_of(model):
    """The query of the second block, wrapped."""
    return model.base_model.model.bert.encoder.layer[1].attention.self.query


def low_rank(layer):
    return layer.lora_B["default"].weight @ layer.lora_A["default"].weight


@EVERY
def test_stock_peft_over_the_untouched_base_model_gives_the_same(
    adapted, two_steps, head, tiny_base, batch, tmp_path, fields
):
    strategy, model, module = adapted("lora", **fields)
    two_steps(module)
    strategy.save(model, tmp_path)
    stock = PeftModel.from_pretrained(plain(head, tiny_base), tmp_path)
    trained = logits(model, batch)
    assert abs(logits(stock, batch) - trained).max() <= 1e-5
    assert abs(logits(plain(head, tiny_base), batch) - trained).max() > 1e-2
    assert json.loads((tmp_path / "adapter_config.json").read_text())["init_lora_weights"] in (
        *(True, "gaussian", "eva"),
    )


@EVERY
def test_merged_is_one_model_that_gives_the_same(
    adapted, two_steps, head, tiny_base, batch, tmp_path, fields
):
    strategy, model, module = adapted("lora", **fields)
    two_steps(module)
    strategy.save(model, tmp_path)
    merged = strategy.merge(strategy.load(plain(head, tiny_base), tmp_path, tiny_base))
    assert type(merged) is type(plain(head, tiny_base))
    assert not any("lora" in name for name, _ in merged.named_parameters())
    assert abs(logits(merged, batch) - logits(model, batch)).max() <= 1e-5


@EVERY
def test_training_begins_at_the_base_model(adapted, head, tiny_base, batch, fields):
    """With the same head, the model gives what the base model gives: W_res + s B A is W."""
    _, model, _ = adapted("lora", **fields)
    torch.manual_seed(0)
    bare = head.load_model(tiny_base, Lora().load_options(head))
    bare.classifier.load_state_dict(model.base_model.model.classifier.original_module.state_dict())
    assert abs(logits(model, batch) - logits(bare, batch)).max() <= 1e-5


@pytest.mark.parametrize(("stabilized", "scale"), [(False, 16 / 4), (True, 16 / 4**0.5)])
def test_the_update_is_scaled_by_alpha_over_the_rank_or_its_root(adapted, two_steps, stabilized, scale):
    _, model, module = adapted("lora", r=4, lora_alpha=16.0, use_rslora=stabilized)
    two_steps(module)
    layer, given = layer_of(model.eval()), torch.randn(5, 64)
    expected = layer.base_layer(given) + scale * given @ low_rank(layer).T
    torch.testing.assert_close(layer(given), expected)


def test_dora_trains_norms_apart_from_directions(adapted, two_steps):
    _, model, module = adapted("lora", r=4, lora_alpha=16.0, use_dora=True)
    two_steps(module)
    layer, given = layer_of(model.eval()), torch.randn(5, 64)
    norms = layer.lora_magnitude_vector["default"]
    assert isinstance(norms, DoraLinearLayer) and norms.weight.requires_grad
    moved = layer.base_layer.weight + 4 * low_rank(layer)
    direction = moved / moved.norm(dim=1, keepdim=True)
    assert not torch.allclose(norms.weight, moved.norm(dim=1), atol=1e-6)
    expected = given @ (norms.weight[:, None] * direction).T + layer.base_layer.bias
    torch.testing.assert_close(layer(given), expected)


def test_b_learns_faster_than_a_by_the_ratio(adapted):
    strategy, model, module = adapted("lora", loraplus_lr_ratio=16.0)
    names = {id(value): name for name, value in model.named_parameters()}
    groups = strategy.parameter_groups(model, module.settings)
    rates = {names[id(p)]: group.get("lr", 5e-4) for group in groups for p in group["params"]}
    assert set(rates) == {name for name, value in model.named_parameters() if value.requires_grad}
    assert {rate for name, rate in rates.items() if "lora_B" in name} == {16 * 5e-4}
    assert {rate for name, rate in rates.items() if "lora_B" not in name} == {5e-4}
    # AdamW's first step is as long as the rate, whatever the gradient.
    optimizer = strategy.optimizer(groups, module.settings)
    assert sorted({group["lr"] for group in optimizer.param_groups}) == [5e-4, 16 * 5e-4]


def test_without_a_ratio_there_are_no_more_groups(adapted):
    strategy, model, module = adapted("lora")
    assert all("lr" not in group for group in strategy.parameter_groups(model, module.settings))


def test_pissa_begins_with_the_first_singular_vectors(adapted, head, tiny_base):
    _, model, _ = adapted("lora", r=4, lora_alpha=8.0, init_lora_weights="pissa")
    weight = plain(head, tiny_base).bert.encoder.layer[1].attention.self.query.weight
    left, values, right = torch.linalg.svd(weight)
    layer = layer_of(model)
    first = left[:, :4] @ values[:4].diag() @ right[:4]
    torch.testing.assert_close(2 * low_rank(layer), first, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(layer.base_layer.weight, weight - first, atol=1e-6, rtol=1e-4)


def test_olora_begins_with_orthonormal_columns(adapted):
    _, model, _ = adapted("lora", r=4, init_lora_weights="olora")
    b = layer_of(model).lora_B["default"].weight
    torch.testing.assert_close(b.T @ b, torch.eye(4), atol=1e-5, rtol=0)


def test_eva_begins_with_the_directions_of_the_inputs(adapted, head, tiny_base, batch):
    """Against the principal components of all real tokens that come into the layer."""
    _, model, _ = adapted("lora", init_lora_weights="eva", r=3)
    a, seen = layer_of(model).lora_A["default"].weight, []
    bare = plain(head, tiny_base)
    layer = bare.bert.encoder.layer[1].attention.self.query
    layer.register_forward_hook(lambda _, given, output: seen.append(given[0].detach()))
    logits(bare, batch)
    tokens = seen[0][batch["attention_mask"].bool()]
    _, _, right = torch.linalg.svd(tokens - tokens.mean(0), full_matrices=False)
    assert ((a @ right[: len(a)].T).abs() - torch.eye(len(a))).abs().max() < 2e-2
    ranks = {m.r["default"] for m in model.modules() if hasattr(m, "lora_A")}
    assert len(ranks) > 1, "every layer got the same rank"


def test_eva_on_batches_that_are_too_small_ends_with_a_word_of_why(head, tiny_base, batch):
    """The pooler sees one vector a row: eight rows do not give sixteen directions."""
    torch.manual_seed(0)
    strategy = Lora(Lora.Config(init_lora_weights="eva", r=8))
    context = AdaptContext(head, tiny_base, 0, lambda: itertools.repeat(batch), torch.device("cpu"))
    with pytest.raises(UsageError, match=r"pooler.dense sees 8 vectors in a batch, too few for 16"):
        strategy.adapt(head.load_model(tiny_base, strategy.load_options(head)), context)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"r": 0}, "r is 0"),
        ({"lora_alpha": 0.0}, "lora_alpha is 0.0"),
        ({"lora_dropout": 1.0}, "lora_dropout is 1.0"),
        ({"loraplus_lr_ratio": 0.0}, "loraplus_lr_ratio is 0.0"),
        ({"init_lora_weights": "lucky"}, "init_lora_weights is 'lucky'; it must be one of default, gaussian"),
        ({"target_modules": "query"}, "target_modules is 'query'"),
        ({"target_modules": []}, "target_modules is"),
    ],
)
def test_nonsense_is_an_error(fields, words):
    with pytest.raises(ValueError, match=words):
        Lora.Config(**fields)


@pytest.mark.parametrize(
    ("preset", "fields"),
    [
        ("dora", {"use_dora": True}),
        ("rslora", {"use_rslora": True}),
        ("lora_plus", {"loraplus_lr_ratio": 16.0}),
        ("pissa", {"init_lora_weights": "pissa", "lora_dropout": 0.0}),
    ],
)
def test_a_preset_sets_its_fields_and_nothing_else(preset, fields):
    from tlplug.config.compose import Composer
    from tlplug.config.job import build

    with Composer() as composer:
        job = build(composer.compose([f"strategy={preset}", "task=sentiment"]))
    assert job.strategy.config == Lora.Config(**fields)
    assert (ROOT / "conf" / "strategy" / f"{preset}.yaml").read_text().startswith("# LoRA")
