"""Rows that are packed together are trained as if each stood alone."""

import dataclasses

import pytest
import torch

from tests.plugins.tiny_generators import (
    TEMPLATE,
    llama_config,
    one_thread,  # noqa: F401
    own_labels,
    random_model,
    tiny_base,
)
from tlplug.errors import UsageError
from tlplug.interfaces import LoadOptions
from tlplug.interfaces.registry import Registry
from tlplug_plugins.heads.generation.likelihood import token_logits
from tlplug_plugins.heads.generation.packing import (
    first_fit_decreasing,
    packed,
    require_separate_rows,
    unpacked,
)

Instruction = Registry().find("head", "instruction").load()
LanguageModeling = Registry().find("head", "language_modeling").load()

WORDS = "the bee sat on a warm stone and then it flew over the river to another hive".split()
ROWS = [
    {"id": number, "prompt": " ".join(WORDS[:size]), "completion": " ".join(WORDS[-(size % 4 + 1) :])}
    for number, size in enumerate((16, 3, 5, 2, 9, 1))
]
MODELS = [(name, attention) for name in ("llama", "gpt2") for attention in ("sdpa", "eager")]


def build(name, attention="sdpa", **fields):
    base = tiny_base(name, TEMPLATE, attention=attention)
    head = Instruction(Instruction.Config(format="prompt", **fields))
    return head, base, random_model(head, base)


@pytest.mark.parametrize("lengths", [[7], [5, 5, 5], [9, 1, 8, 2, 7, 3, 6, 4, 5, 5], list(range(1, 40))])
def test_bins_hold_every_row_once_and_are_never_too_full(lengths):
    size = max(lengths)
    bins = first_fit_decreasing(lengths, size)
    assert sorted(index for row in bins for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= size for row in bins)
    assert len(bins) <= 11 / 9 * -(-sum(lengths) // size) + 1


@pytest.mark.parametrize(("name", "attention"), MODELS)
def test_packed_rows_have_the_loss_and_gradients_of_padded_ones(name, attention):
    head, base, model = build(name, attention)
    features = head.encode(ROWS, base, True)
    together, apart = head.collate(features, base), unpacked(features, base)
    assert len(together["input_ids"]) < len(apart["input_ids"]) == len(ROWS)
    found = []
    for batch in (together, apart):
        model.zero_grad()
        output = head.training_step(model, batch)
        output.loss.backward()
        found.append((output, [p.grad.clone() for p in model.parameters()]))
    (one, gradients), (other, expected) = found
    assert one.num_items == other.num_items == sum(len(e) for e in map(labels_of, features))
    assert one.loss.item() == pytest.approx(other.loss.item(), abs=1e-5)
    assert max(g.abs().max() for g in expected) > 1e-2
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-4)


def labels_of(feature):
    return [label for label in feature["labels"] if label >= 0]


@pytest.mark.parametrize(("name", "attention"), MODELS)
def test_a_packed_row_has_the_logits_that_it_has_alone(name, attention):
    head, base, model = build(name, attention)
    features = head.encode(ROWS, base, True)
    with torch.no_grad():
        logits = row_logits(model, features, base)
        for feature, found in zip(features, logits, strict=True):
            alone = model(input_ids=torch.tensor([feature["input_ids"]])).logits[0]
            torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "attention"), MODELS)
def test_other_tokens_in_one_packed_row_change_no_other_row(name, attention):
    head, base, model = build(name, attention)
    features = head.encode(ROWS, base, True)
    with torch.no_grad():
        before = row_logits(model, features, base)
        for changed in range(len(features)):
            others = [dict(feature) for feature in features]
            others[changed]["input_ids"] = [(t + 7) % 200 + 5 for t in features[changed]["input_ids"]]
            after = row_logits(model, others, base)
            for row, (one, other) in enumerate(zip(before, after, strict=True)):
                assert torch.equal(one, other) == (row != changed)


def row_logits(model, features, base):
    """Logits of each row out of the packed batch, in the order of the features."""
    batch = packed(features, base)
    logits = token_logits(model, batch)
    lengths = [len(feature["input_ids"]) for feature in features]
    found = {}
    for place, row in enumerate(first_fit_decreasing(lengths, max(lengths))):
        start = 0
        for index in row:
            found[index] = logits[place, start : start + lengths[index]]
            start += lengths[index]
    return [found[index] for index in range(len(features))]


def test_a_packed_batch_counts_real_tokens_and_knows_its_rows():
    head, base, _ = build("llama")
    features = head.encode(ROWS, base, True)
    batch = head.collate(features, base)
    assert batch["attention_mask"].sum() == sum(len(feature["input_ids"]) for feature in features)
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert batch["input_ids"].shape[1] == max(len(feature["input_ids"]) for feature in features)
    assert sorted(batch["id"].tolist()) == [row["id"] for row in ROWS]
    assert (batch["position_ids"] == 0).sum() >= len(ROWS)


@pytest.mark.parametrize("fields", [{"packing": False}, {"packing": True}])
def test_only_training_rows_are_packed_and_only_where_asked(fields):
    head, base, _ = build("llama", **fields)
    training = head.collate(head.encode(ROWS, base, True), base)
    assert ("position_ids" in training) == fields["packing"]
    assert "position_ids" not in head.collate(head.encode(ROWS, base, False), base)


def test_the_loss_of_a_packed_batch_is_transformers_own_over_the_padded_one():
    head, base, model = build("llama")
    features = head.encode(ROWS, base, True)
    batch = unpacked(features, base)
    own = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=own_labels(batch["labels"]),
    )
    assert head.training_step(model, head.collate(features, base)).loss.item() == pytest.approx(
        own.loss.item(), abs=1e-5
    )


def test_rows_for_flash_attention_lie_in_one_row_with_the_borders_that_transformers_finds():
    from transformers.modeling_flash_attention_utils import prepare_fa_kwargs_from_position_ids

    head, base, model = build("llama")
    features = head.encode(ROWS, base, True)
    flash = packed(features, dataclasses.replace(base, attention="flash_attention_2"))
    assert flash["input_ids"].shape[0] == 1 and flash["attention_mask"].all()
    (borders, _), (longest, _) = prepare_fa_kwargs_from_position_ids(flash["position_ids"])
    lengths = sorted((len(feature["input_ids"]) for feature in features), reverse=True)
    assert borders.diff().tolist() == lengths and longest == lengths[0]
    # Which rows stand together makes no difference.
    assert head.training_step(model, flash).loss.item() == pytest.approx(
        head.training_step(model, packed(features, base)).loss.item(), abs=1e-5
    )


@pytest.mark.parametrize("head", [Instruction(Instruction.Config(format="text")), LanguageModeling()])
def test_architectures_that_cannot_separate_packed_rows_are_refused(head):
    from transformers import BloomConfig

    base = tiny_base("llama")
    config = BloomConfig(vocab_size=len(base.tokenizer), hidden_size=32, n_layer=2, n_head=4)
    bloom = dataclasses.replace(base, config=config)
    with pytest.raises(
        UsageError, match=r"a bloom model lets rows .* see each other; set head\.packing=false"
    ):
        random_model(head, bloom)
    apart = type(head)(dataclasses.replace(head.config, packing=False))
    assert random_model(apart, bloom).config.model_type == "bloom"


def test_trying_the_architecture_out_leaves_the_model_as_it_was():
    head, base, _ = build("llama", packing=False)
    model = head.load_model(base, LoadOptions(random_weights=True))
    state = torch.get_rng_state()
    require_separate_rows(model, base)
    assert model.training and torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_bfloat16_weights_can_be_packed(name):
    base = dataclasses.replace(tiny_base(name, TEMPLATE), dtype="bfloat16")
    head = Instruction(Instruction.Config(format="prompt"))
    model = random_model(head, base)
    output = head.training_step(model, head.collate(head.encode(ROWS, base, True), base))
    assert output.loss.dtype == torch.float32 and output.loss.isfinite()


def test_a_learnt_prompt_is_no_part_of_the_loss_and_cannot_be_packed():
    from peft import PromptTuningConfig, get_peft_model

    head, base, model = build("llama", packing=False)
    tuned = get_peft_model(model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4))
    features = head.encode(ROWS, base, True)
    batch = head.collate(features, base)
    own = tuned(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        labels=own_labels(batch["labels"]),
    )
    assert head.training_step(tuned, batch).loss.item() == pytest.approx(own.loss.item(), abs=1e-5)
    with pytest.raises(UsageError, match="learnt prompt"):
        head.training_step(tuned, packed(features, base))


def test_gradient_checkpointing_keeps_packed_rows_apart():
    from transformers import AutoModelForCausalLM

    head, base, model = build("llama")
    batch = head.collate(head.encode(ROWS, base, True), base)
    plain = head.training_step(model, batch).loss.item()
    other = AutoModelForCausalLM.from_config(llama_config(len(base.tokenizer)))
    other.load_state_dict(model.state_dict())
    other.train().gradient_checkpointing_enable({"use_reentrant": False})
    loss = head.training_step(other, batch).loss
    loss.backward()
    assert loss.item() == pytest.approx(plain, abs=1e-6)
