import dataclasses
import math

import numpy as np
import pytest
import torch

from tests.plugins.tiny_generators import (
    EOS,
    one_thread,  # noqa: F401
    own_labels,
    random_model,
    steps,
    tiny_base,
)
from tlplug import modules_to_save
from tlplug.interfaces.registry import Registry
from tlplug_plugins.heads.generation.likelihood import labelled
from tlplug_plugins.heads.generation.masking import Masking

LanguageModeling = Registry().find("head", "language_modeling").load()

TEXTS = [
    "The bees went into winter with nine frames of honey.",
    "Damp kills more colonies than cold ever did, said the old man by the river.",
    "Honey is ripe when it is sealed.",
    "Rain.",
]
ROWS = [{"id": number, "text": text} for number, text in enumerate(TEXTS)]
MASK = 4


def build(name, base=None, **fields):
    head = LanguageModeling(LanguageModeling.Config(**fields))
    base = base or tiny_base(name, max_length=128)
    return head, base, random_model(head, base)


def predicted(head, base, model, rows=ROWS):
    with torch.no_grad():
        outputs = head.predict(model, head.collate(head.encode(rows, base, False), base))
    outputs.sort(key=lambda output: (output["id"], output["part"]))
    return head.decode(outputs, rows, base)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_the_loss_is_transformers_own(name):
    head, base, model = build(name, packing=False)
    batch = head.collate(head.encode(ROWS, base, True), base)
    labels = batch["labels"] if name == "bert" else own_labels(batch["labels"])
    own = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels)
    output = head.training_step(model, batch)
    assert output.loss.item() == pytest.approx(own.loss.item(), abs=1e-5)
    assert output.num_items == (batch["labels"] >= 0).sum()


@pytest.mark.parametrize("length", [512, 20])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_every_token_of_a_text_is_predicted_once(name, length):
    head, base = LanguageModeling(), tiny_base(name, max_length=length)
    features = head.encode(ROWS, base, True)
    assert max(len(feature["input_ids"]) for feature in features) <= length
    for row in ROWS:
        parts = [feature for feature in features if feature["id"] == row["id"]]
        assert [part["part"] for part in parts] == list(range(len(parts)))
        learnt = [label for part in parts for label in part["labels"] if label >= 0]
        whole = [*base.tokenizer(row["text"])["input_ids"], base.tokenizer.eos_token_id]
        assert learnt == whole[1:]
    assert base.tokenizer.decode(learnt).endswith("ain." + EOS)


@pytest.mark.parametrize("length", [128, 24])
@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_perplexity_and_accuracy_are_those_of_an_independent_count(name, length):
    head, base, model = build(name, tiny_base(name, max_length=length))
    total, right, count = 0.0, 0, 0
    for feature in head.encode(ROWS, base, False):
        logits = model(input_ids=torch.tensor([feature["input_ids"]])).logits[0].double()
        for place, label in enumerate(feature["labels"]):
            if label >= 0:
                total -= math.log(logits[place].softmax(-1)[label].item())
                right += int(logits[place].argmax() == label)
                count += 1
    predictions = predicted(head, base, model)
    scores = head.scores(predictions, ROWS)
    assert scores["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert scores["accuracy"] == pytest.approx(right / count)
    assert [each["id"] for each in predictions] == [row["id"] for row in ROWS]


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_the_mean_of_example_scores_is_the_primary_score(name):
    head, base, model = build(name)
    for predictions in (predicted(head, base, model), head.trivial_predictions(ROWS[:2], ROWS, base)):
        each = head.example_scores(predictions, ROWS)
        assert len(each) == len(ROWS)
        assert np.mean(each) == pytest.approx(head.scores(predictions, ROWS)["perplexity"], abs=1e-9)
    assert (head.primary_score, head.higher_is_better, head.display_scale) == ("perplexity", False, 1)


def test_the_words_of_a_text_are_hidden_whole():
    head, base = LanguageModeling(), tiny_base("bert", max_length=128)
    features = head.encode(ROWS, base, True)
    for _ in range(20):
        batch = head.collate(features, base)
        for row, feature in zip(batch["labels"], features, strict=True):
            drawn = {word for word, label in zip(feature["words"], row.tolist(), strict=False) if label >= 0}
            for place, (token, word) in enumerate(zip(feature["input_ids"], feature["words"], strict=True)):
                assert row[place] == (token if word in drawn else -100)
            assert -1 not in drawn and len(drawn) == max(1, round(0.15 * len(set(feature["words"]) - {-1})))


def test_tokens_of_their_own_are_hidden_where_words_do_not_count():
    base = tiny_base("bert", max_length=128)
    (feature,) = LanguageModeling(LanguageModeling.Config(whole_word=False)).encode(ROWS[:1], base, True)
    real = [word for word in feature["words"] if word >= 0]
    assert len(set(real)) == len(real) == len(feature["input_ids"]) - 2
    assert feature["words"][0] == feature["words"][-1] == -1


@pytest.mark.parametrize("share", [0.15, 0.4])
def test_the_share_of_hidden_words_and_what_stands_in_their_place(share):
    torch.manual_seed(0)
    ids, words = list(range(100, 300)), [place // 2 for place in range(200)]
    masking = Masking(share, mask_token=MASK, vocabulary=1000)
    hidden, masked, kept = 0, 0, 0
    for _ in range(200):
        example = masking(ids, words)
        for before, after, label in zip(ids, example.input_ids, example.labels, strict=True):
            assert label in (-100, before) and (label >= 0 or after == before)
            hidden, masked = hidden + (label >= 0), masked + (label >= 0 and after == MASK)
            kept += label >= 0 and after == before
    assert hidden / (200 * 200) == pytest.approx(share, abs=1e-9)
    assert masked / hidden == pytest.approx(0.8, abs=0.02) and kept / hidden == pytest.approx(0.1, abs=0.02)


def test_every_epoch_hides_others_the_same_ones_for_a_seed():
    head, base = LanguageModeling(), tiny_base("bert", max_length=128)
    features = head.encode(ROWS, base, True)

    def epochs():
        torch.manual_seed(3)
        return [head.collate(features, base)["labels"] for _ in range(3)]

    first, second = epochs(), epochs()
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])


def test_evaluations_hide_the_same_words_each_time():
    base = tiny_base("bert", max_length=128)
    torch.manual_seed(0)
    once = LanguageModeling().encode(ROWS, base, False)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert LanguageModeling().encode(ROWS[2:], base, False) == once[2:]
    assert torch.equal(state, torch.get_rng_state())
    other = LanguageModeling().encode([{**ROWS[1], "id": 9}], base, False)[0]
    assert other["labels"] != once[1]["labels"]


def test_what_is_measured_hides_words_and_knows_them():
    head, base = LanguageModeling(), tiny_base("bert", max_length=128)
    for row, feature in zip(ROWS, head.encode(ROWS, base, False), strict=True):
        true = base.tokenizer(row["text"])["input_ids"]
        restored = [label if label >= 0 else token for token, label in zip(*both(feature), strict=True)]
        assert restored == true


def both(feature):
    return feature["input_ids"], feature["labels"]


def test_the_trivial_prediction_is_a_unigram_model():
    base = tiny_base("gpt2")
    train = [{"id": 0, "text": "abb"}, {"id": 1, "text": "bc"}]
    (found,) = LanguageModeling().trivial_predictions(train, [{"id": 4, "text": "xbz"}], base)
    # The first token of a text is predicted from nothing: b b end, c end.
    size = 5 + len(base.tokenizer)
    by_hand = -(math.log(3 / size) + math.log(1 / size) + math.log(3 / size))
    assert found["nll"] == pytest.approx(by_hand) and (found["tokens"], found["right"]) == (3, 1)


def test_the_unigram_model_of_hidden_words_is_of_all_words():
    head, base = LanguageModeling(), tiny_base("bert", max_length=128)
    train, row = [{"id": 0, "text": "a a b"}], {"id": 4, "text": "b"}
    (found,) = head.trivial_predictions(train, [row], base)
    assert found["nll"] == pytest.approx(-math.log(2 / (3 + len(base.tokenizer))))


def masked_model(name):
    import transformers as hf

    small = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    wide = {**small, "intermediate_size": 64}
    configs = {
        "bert": lambda: hf.BertConfig(**wide),
        "roberta": lambda: hf.RobertaConfig(**wide),
        "distilbert": lambda: hf.DistilBertConfig(
            vocab_size=90, dim=32, hidden_dim=64, n_layers=1, n_heads=2
        ),
        "electra": lambda: hf.ElectraConfig(**wide, embedding_size=16),
        "albert": lambda: hf.AlbertConfig(**wide, embedding_size=16),
        "modernbert": lambda: hf.ModernBertConfig(**wide, pad_token_id=0),
        "deberta-v2": lambda: hf.DebertaV2Config(**wide),
        "mpnet": lambda: hf.MPNetConfig(**wide),
    }
    return hf.AutoModelForMaskedLM.from_config(configs[name]())


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("bert", ["cls.predictions.transform"]),
        ("roberta", ["lm_head.dense", "lm_head.layer_norm"]),
        ("mpnet", ["lm_head.dense", "lm_head.layer_norm"]),
        ("distilbert", ["vocab_transform", "vocab_layer_norm"]),
        ("electra", ["generator_predictions"]),
        ("albert", ["predictions.LayerNorm", "predictions.dense"]),
        ("modernbert", ["head.dense", "head.norm"]),
        ("deberta-v2", None),
    ],
)
def test_the_parts_between_trunk_and_output_embedding_are_the_heads(name, names):
    model = masked_model(name)
    found = modules_to_save(model, LanguageModeling().head_modules)
    assert found == names if names else found
    within = {id(p) for module in found for p in model.get_submodule(module).parameters()}
    tied = {id(p) for p in model.get_output_embeddings().parameters()}
    own = {id(p) for n, p in model.named_parameters() if not n.startswith(f"{model.base_model_prefix}.")}
    biases = {
        id(p) for n, p in model.named_parameters() if n.endswith("predictions.bias") or n == "lm_head.bias"
    }
    assert within and not within & tied
    # All of the head is trained but what is tied to the embeddings, and its bias.
    assert own - tied - biases == within


def test_a_decoder_has_no_output_modules():
    head, _, model = build("llama")
    assert modules_to_save(model, head.head_modules) == []
    assert LanguageModeling(LanguageModeling.Config(objective="causal")).head_modules == ()


def test_the_models_are_those_of_the_objective():
    assert type(build("llama")[2]).__name__ == "LlamaForCausalLM"
    assert type(build("bert")[2]).__name__ == "BertForMaskedLM"


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_a_few_steps_lower_the_loss(name):
    head, base, model = build(name)
    losses = steps(head, model, head.collate(head.encode(ROWS, base, True), base), rate=1e-2)
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_adapted_models_are_trained(name):
    from peft import LoraConfig, get_peft_model

    head, base, model = build(name)
    batch = head.collate(head.encode(ROWS, base, True), base)
    plain = head.training_step(model, batch).loss.item()
    targets = ["q_proj", "v_proj"] if name == "llama" else ["query", "value"]
    kept = modules_to_save(model, head.head_modules)
    adapted = get_peft_model(model, LoraConfig(target_modules=targets, modules_to_save=kept or None))
    assert head.training_step(adapted, batch).loss.item() == pytest.approx(plain, abs=1e-5)
    assert steps(head, adapted, batch, count=30, rate=1e-2)[-1] < plain


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_bfloat16_weights_give_likelihoods_in_float32(name):
    head, base, model = build(name, dataclasses.replace(tiny_base(name, max_length=128), dtype="bfloat16"))
    assert next(model.parameters()).dtype == torch.bfloat16
    output = head.training_step(model, head.collate(head.encode(ROWS, base, True), base))
    assert output.loss.dtype == torch.float32 and output.loss.isfinite()
    assert all(math.isfinite(each["nll"]) for each in predicted(head, base, model))


def test_only_labelled_positions_are_made_float32():
    logits = torch.randn(3, 7, 11, dtype=torch.bfloat16)
    labels = torch.full((3, 7), -100)
    labels[0, 2], labels[2, 5] = 4, 9
    chosen, targets, rows = labelled(logits, labels)
    assert chosen.shape == (2, 11) and chosen.dtype == torch.float32
    assert (targets.tolist(), rows.tolist()) == ([4, 9], [0, 2])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (ROWS[0], None),
        ({"text": ""}, "column 'text' is empty"),
        ({"text": None}, "column 'text' should be text, but is None"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row, says):
    assert LanguageModeling().row_error(row, with_targets=False) == says


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"objective": "mlm"}, "objective is 'mlm'; it is one of auto, masked, causal"),
        ({"mask_share": 0.0}, "mask_share is 0.0; it has to be between 0 and 1"),
        ({"mask_share": 1.0}, "mask_share is 1.0; it has to be between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ValueError) as error:
        LanguageModeling.Config(**fields)
    assert str(error.value) == says


def test_base_models_that_cannot_learn_texts_are_refused():
    head = LanguageModeling()
    for name in ("llama", "gpt2", "bert"):
        assert head.why_incompatible(tiny_base(name)) is None
    assert head.why_incompatible(tiny_base("t5")) == (
        "it is an encoder-decoder; plain texts are learnt by an encoder or a decoder."
    )
    masked, causal = (LanguageModeling(LanguageModeling.Config(objective=o)) for o in ("masked", "causal"))
    assert (
        masked.why_incompatible(tiny_base("bert")) is None
        and causal.why_incompatible(tiny_base("llama")) is None
    )
    assert masked.why_incompatible(tiny_base("llama")) == (
        "head.objective=masked is not what a decoder was made for; use causal, or auto."
    )
    assert causal.why_incompatible(tiny_base("bert")) == (
        "head.objective=causal is not what an encoder was made for; use masked, or auto."
    )
    base = tiny_base("bert")
    base.tokenizer.mask_token = None
    assert head.why_incompatible(base) == "its tokenizer has no mask token."
    base = tiny_base("llama")
    base.tokenizer.eos_token = None
    assert "no end-of-sequence token" in head.why_incompatible(base)


def test_an_architecture_without_a_language_model_is_refused():
    from transformers import CLIPTextConfig

    base = dataclasses.replace(tiny_base("bert"), config=CLIPTextConfig())
    assert (
        LanguageModeling().why_incompatible(base) == "transformers has no language model for clip_text_model."
    )


def test_features_of_a_split_have_the_same_keys():
    for name in ("llama", "bert"):
        for training in (True, False):
            features = LanguageModeling().encode(ROWS, tiny_base(name, max_length=24), training)
            assert len({tuple(feature) for feature in features}) == 1
            assert len(features) > len(ROWS)
