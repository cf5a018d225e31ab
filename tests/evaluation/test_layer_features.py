"""Features by layer: against transformers' own hidden states, whatever batches they came in and whatever was adapted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.sample_tasks import prepare, strategy
from tlplug.evaluation.layer_features import layer_features, map_batches, transformers_model
from tlplug.evaluation.probabilities import likelihoods, why_no_likelihood
from tlplug.evaluation.probes import PlainTexts, RecordedRows
from tlplug.interfaces import AdaptContext, LoadOptions
from tlplug.interfaces.registry import Registry
from tlplug.testing import tiny_models as tiny

TEXTS = ["a good film", "bad", "the plot is good and the cast is good", "dull , dull , dull"]
ROWS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
Classification = Registry().find("head", "classification").load()


def head_and_model(kind):
    base = tiny.base(kind)
    head = Classification().with_state({"labels": ["negative", "positive"]})
    return head, base, head.load_model(base, LoadOptions()).eval()


def features(model, head, base, size=2):
    found = RecordedRows("task", ROWS).features(head, base)
    with torch.no_grad():
        return map_batches(
            *(head, found, size),
            lambda some: layer_features(model, head, base, [head.collate(some, base)]),
            axis=1,
        )


@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
def test_they_are_means_of_the_hidden_states_that_transformers_gives(kind):
    head, base, model = head_and_model(kind)
    found = features(model, head, base)
    trunk = model.get_encoder() if base.kind == "encoder-decoder" else model.base_model
    for index, row in enumerate(ROWS):
        tokens = base.tokenizer(row["text"], return_tensors="pt")
        with torch.no_grad():
            states = trunk(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                output_hidden_states=True,
            ).hidden_states
        assert len(states) == len(found)
        # The last one of transformers' has gone through the final norm of the model where there is one.
        checked = len(states) if kind == "encoder" else len(states) - 1
        for layer in range(checked):
            mean = states[layer][0].mean(0).numpy()
            np.testing.assert_allclose(found[layer, index], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_batches_and_padding_change_nothing(kind):
    head, base, model = head_and_model(kind)
    np.testing.assert_allclose(
        features(model, head, base, 1), features(model, head, base, 4), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "name", ["lora", "prompt_tuning", "prefix_tuning", "bottleneck_adapter", "linear_probe"]
)
@pytest.mark.parametrize("kind", ["encoder", "decoder", "encoder-decoder"])
def test_adapted_models_have_as_many_and_as_wide(name, kind):
    head, base, model = head_and_model(kind)
    before = features(model, head, base)
    method = strategy(name)
    if method.why_incompatible(head, base):
        pytest.skip("refused before loading")
    context = AdaptContext(head, base, 0, lambda: iter(()), torch.device("cpu"))
    after = features(method.adapt(model, context).eval(), head, base)
    assert after.shape == before.shape
    if kind != "encoder" or name not in (
        "prompt_tuning",
        "prefix_tuning",
    ):  # whose positions are counted from the virtual tokens on
        np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-6)
    if name == "lora":
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)


def test_the_head_is_not_reached(tiny_base):
    task = prepare(tiny_base)
    model = task.head.load_model(tiny_base, LoadOptions()).eval()
    model.classifier.forward = lambda *given: pytest.fail("the head was called")
    assert features(model, task.head, tiny_base).shape == (3, 4, 64)


def test_blocks_that_share_weights_count_as_often_as_they_are_called(tiny_base):
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        vocab_size=len(tiny_base.tokenizer),
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
    )
    torch.manual_seed(0)
    model = AlbertModel(config).eval()
    base = replace(tiny_base, config=config)
    batch = dict(tiny_base.tokenizer(TEXTS, padding=True, return_tensors="pt"))
    with torch.no_grad():
        found = layer_features(model, PlainTexts("text"), base, [batch])
        states = model(**batch, output_hidden_states=True).hidden_states
    mask = batch["attention_mask"].unsqueeze(-1)
    assert len(found) == 4
    for layer, state in enumerate(states):
        mean = (state * mask).sum(1) / mask.sum(1)
        np.testing.assert_allclose(found[layer], mean.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_without_a_transformers_model_says_so():
    with pytest.raises(ValueError, match="holds no transformers model"):
        transformers_model(torch.nn.Linear(2, 2))


def language_model():
    head = Registry().find("head", "language_modeling").load()()
    base = tiny.base("decoder")
    return base, head.load_model(base, LoadOptions()).eval()


def test_likelihoods_are_transformers_own_loss_times_the_tokens():
    base, model = language_model()
    texts = PlainTexts("text")
    encoded = texts.encode(ROWS, base, False)
    with torch.no_grad():
        found = map_batches(
            *(texts, encoded, 3),
            lambda some: likelihoods(
                *(model, texts),
                [
                    dict(
                        base.tokenizer.pad([{"input_ids": e["input_ids"]} for e in some], return_tensors="pt")
                    )
                ],
            ),
        )
        for row, (nats, tokens) in zip(encoded, found, strict=True):
            ids = torch.tensor([row["input_ids"]])
            assert tokens == ids.shape[1] - 1
            assert nats / tokens == pytest.approx(float(model(input_ids=ids, labels=ids).loss), rel=1e-5)


def test_what_has_no_likelihood_says_why(tiny_base):
    base, model = language_model()
    assert why_no_likelihood(model, base) is None
    _, decoder, classifier = head_and_model("decoder")
    assert "replaces" in why_no_likelihood(classifier, decoder)
    assert "left to right" in why_no_likelihood(None, tiny_base)


@pytest.mark.parametrize("side", ["left", "right"])
def test_plain_texts_of_a_decoder_that_counts_positions_do_not_change_with_their_batch(side, tmp_path):
    from tests.evaluation.test_recorder import recorder
    from tests.models.test_base_kinds import saved
    from tlplug.data.domain import Domain
    from tlplug.models.base_model import find_base

    base = find_base(saved("gpt2", tmp_path, auto="AutoModelForCausalLM"), 64)
    base.tokenizer.padding_side = side
    head = Registry().find("head", "language_modeling").load()()
    model = head.load_model(base, LoadOptions())
    task = replace(prepare(base), head=head)
    together, alone = {}, {}
    for found, rows in [(together, ROWS), *((alone, [row]) for row in ROWS)]:
        task = replace(task, rows={**task.rows, "validation": ROWS})
        own = recorder(task, "full", metrics={}, domains={"source": Domain(rows, "text", plain=True)})
        own.before(model, torch.device("cpu"))
        for name in ("features/before/source", "nll/before/source"):
            found.setdefault(name, []).append(own.evidence()[name])
    np.testing.assert_allclose(
        together["features/before/source"][0],
        np.concatenate(alone["features/before/source"], axis=1),
        rtol=1e-4,
        atol=1e-5,
    )
    np.testing.assert_allclose(
        together["nll/before/source"][0], np.concatenate(alone["nll/before/source"]), rtol=1e-5
    )
