"""The features of two domains: what a head reads, of each kind of model."""

import pytest
import torch

from tests.conftest import make_rows
from tests.models.test_base_kinds import saved
from tests.plugins.tiny_generators import byte_tokenizer
from tlplug.interfaces import AdaptContext, LoadOptions
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.settings import ModelSettings


def reads_last(model, batch):
    states = model.model(
        **{name: batch[name] for name in ("input_ids", "attention_mask", "position_ids") if name in batch}
    ).last_hidden_state
    return torch.stack(
        [row[mask.nonzero()[-1, 0]] for row, mask in zip(states, batch["attention_mask"], strict=True)]
    )


def reads_first(model, batch):
    return model.roberta(batch["input_ids"], batch["attention_mask"]).last_hidden_state[:, 0]


def roberta(folder):
    from transformers import RobertaConfig, RobertaModel

    tokenizer = byte_tokenizer("<s> $A </s>")
    RobertaModel(
        RobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=300,
            pad_token_id=0,
        ),
        add_pooling_layer=False,
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "side", "reads"),
    [("llama", "right", reads_last), ("llama", "left", reads_last), ("roberta", "right", reads_first)],
)
@pytest.mark.parametrize("strategy", ["coral", "dann"])
def test_features_are_the_state_that_the_head_reads(name, side, reads, strategy, tmp_path):
    roberta(tmp_path) if name == "roberta" else saved(name, tmp_path)
    base = find_base(ModelSettings(source=str(tmp_path)), 64)
    base.tokenizer.padding_side = side
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    rows = make_rows(6)
    main = head.collate(head.encode(rows[:4], base, True), base)
    target = head.collate(head.encode(rows[2:], base, False), base)
    model = head.load_model(base, LoadOptions())
    found = Registry().find("strategy", strategy).load()()
    model = found.adapt(model, AdaptContext(head, base, 0, None, torch.device("cpu"))).eval()
    step, *features = found.step_and_features(model, head, {"main": main, "target": target})
    for got, batch in zip(features, (main, target), strict=True):
        torch.testing.assert_close(got, reads(model, batch))
        # The head's own module gives the model's logits of them: it is what it reads.
        module = model.score if name == "llama" else model.classifier
        given = got if name == "llama" else got[:, None]
        inputs = {key: value for key, value in batch.items() if key not in ("id", "labels")}
        torch.testing.assert_close(module(given), model(**inputs).logits, atol=1e-5, rtol=1e-4)
    assert step.loss.item() == pytest.approx(head.training_step(model, main).loss.item())


def test_an_encoder_decoder_s_features_are_its_decoder_s_end(tmp_path):
    base = find_base(saved("t5", tmp_path), 64)
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    batch = head.collate(head.encode(make_rows(4), base, True), base)
    found = Registry().find("strategy", "coral").load()()
    context = AdaptContext(head, base, 0, None, torch.device("cpu"))
    model = found.adapt(head.load_model(base, LoadOptions()), context).eval()
    _, features, same = found.step_and_features(model, head, {"main": batch, "target": batch})
    inputs = {key: value for key, value in batch.items() if key not in ("id", "labels")}
    assert features.shape == (4, model.config.d_model) and torch.equal(features, same)
    torch.testing.assert_close(model.classification_head(features), model(**inputs).logits)


def test_of_several_modules_of_a_head_it_is_the_first_s_input(tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    tokenizer = byte_tokenizer("<s> $A </s>")
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    base = find_base(ModelSettings(source=str(tmp_path)), 64)
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    batch = head.collate(head.encode(make_rows(4), base, True), base)
    found = Registry().find("strategy", "dann").load()()
    context = AdaptContext(head, base, 0, None, torch.device("cpu"))
    model = found.adapt(head.load_model(base, LoadOptions()), context).eval()
    _, features, _ = found.step_and_features(model, head, {"main": batch, "target": batch})
    states = model.distilbert(batch["input_ids"], batch["attention_mask"]).last_hidden_state
    torch.testing.assert_close(features, states[:, 0])
