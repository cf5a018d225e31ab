import copy
import itertools
import json
import random
import re
import string
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from tests.conftest import NEGATIVE, PLAIN, POSITIVE, ROOT
from tests.models.test_base_model import MINILM
from tlplug import modules_to_save
from tlplug.interfaces import LoadOptions
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.settings import ModelSettings
from tlplug_plugins.heads.span_extraction.answer_spans import candidates, nearest_sentence
from tlplug_plugins.heads.span_extraction.squad_metrics import best_threshold, exact_match, token_f1

QuestionAnswering = Registry().find("head", "question_answering").load()
SQUAD_LIKE = ROOT.parent / "shared" / "data" / "squad_like"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "?", "."]
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny models gain nothing by a second thread, and wait for it on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def head_of(**fields):
    return QuestionAnswering(QuestionAnswering.Config(**fields))


def make_row(identity, context, question, answer=None, start=None):
    """A question with one answer, the first place where it stands if no other is named; without an answer, none."""
    if answer is None:
        answers = {"text": [], "answer_start": []}
    else:
        answers = {"text": [answer], "answer_start": [context.index(answer) if start is None else start]}
    return {"id": identity, "context": context, "question": question, "answers": answers}


def make_questions(count, seed=0, words=24):
    """Rows that a tiny model can learn: the answer is the one word of the positive list."""
    draw, rows = random.Random(seed), []
    for identity in range(count):
        context = [draw.choice(PLAIN) for _ in range(draw.randint(6, words))]
        context.insert(draw.randint(0, len(context)), answer := draw.choice(POSITIVE))
        rows.append(make_row(identity, " ".join(context), "was the film warm ?", answer))
    return rows


def tokenizer_of(pair):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(SPECIALS + PLAIN + POSITIVE + NEGATIVE)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if pair:
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right" if pair else "left",
    )


@pytest.fixture(scope="module")
def base_of(tmp_path_factory):
    """A function: kind of model -> a tiny base, saved as such models are on the hub."""
    import transformers as tf

    made = {}
    configs = {
        "bert": lambda: (tf.BertModel, tf.BertConfig(**SIZES, max_position_embeddings=64)),
        "gpt2": lambda: (tf.GPT2LMHeadModel, tf.GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2)),
        "llama": lambda: (tf.LlamaForCausalLM, tf.LlamaConfig(**SIZES, max_position_embeddings=64)),
        "t5": lambda: (
            tf.T5ForConditionalGeneration,
            tf.T5Config(
                vocab_size=64,
                d_model=32,
                num_layers=1,
                num_heads=2,
                d_ff=64,
                d_kv=16,
                decoder_start_token_id=0,
            ),
        ),
        "bart": lambda: (
            tf.BartForConditionalGeneration,
            tf.BartConfig(
                vocab_size=64,
                d_model=32,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=64,
                decoder_ffn_dim=64,
                max_position_embeddings=64,
            ),
        ),
    }

    def build(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            torch.manual_seed(7)
            cls, config = configs[kind]()
            cls(config).save_pretrained(folder)
            tokenizer_of(pair=kind in ("bert", "bart")).save_pretrained(folder)
            made[kind] = find_base(ModelSettings(source=str(folder)), 64)
        return made[kind]

    return build


@pytest.fixture(scope="module")
def minilm():
    return find_base(MINILM)


@pytest.fixture(scope="module")
def squad_rows():
    if not SQUAD_LIKE.is_dir():
        pytest.skip("../shared/data is not here")
    lines = [
        line
        for split in ("train", "validation")
        for line in (SQUAD_LIKE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return [{**json.loads(line), "id": identity} for identity, line in enumerate(lines)]


def answered(rows, texts):
    return [{"id": row["id"], "prediction": text} for row, text in zip(rows, texts, strict=True)]


# --- scores ---------------------------------------------------------------------------------------------------------


def varied(row, draw):
    """The answer, the answer changed, a part of it, words of the context, a sentence, nothing."""
    gold = row["answers"]["text"][0]
    words = row["context"].split()
    place = draw.randrange(len(words))
    return draw.choice(
        [
            gold,
            f"The {gold.upper()}!",
            gold.split()[0],
            f"{words[place]} {gold}",
            " ".join(words[place : place + 5]),
            nearest_sentence(row["question"], row["context"]),
            "",
        ]
    )


def reference_v1(predictions, rows):
    from torchmetrics.functional.text import squad

    found = squad(
        [{"id": str(p["id"]), "prediction_text": p["prediction"]} for p in predictions],
        [{"id": str(row["id"]), "answers": row["answers"]} for row in rows],
    )
    return {name: float(value) / 100 for name, value in found.items()}


def test_scores_of_version_1_are_those_of_the_official_script(squad_rows):
    draw, head = random.Random(3), head_of()
    rows = copy.deepcopy(draw.sample(squad_rows, 200))
    for row, other in zip(rows[:50], rows[50:100], strict=True):
        row["answers"]["text"] = [*other["answers"]["text"], *row["answers"]["text"]]
    predictions = answered(rows, [varied(row, draw) for row in rows])
    scores = head.scores(predictions, rows)
    assert set(scores) == {"exact_match", "f1"} and 0.1 < scores["exact_match"] < scores["f1"] < 0.9
    assert scores == pytest.approx(reference_v1(predictions, rows), abs=1e-6)
    assert np.mean(head.example_scores(predictions, rows)) == pytest.approx(scores["f1"], abs=1e-9)


TEXTS = st.lists(
    st.sampled_from(
        [
            "the",
            "The",
            "a",
            "an",
            "cat",
            "Cat,",
            "cats",
            "-",
            "«cat»",
            "an.",
            "İ",
            "the-cat",
            "\u00a0",
            "1,000",
        ]
    )
    | st.text(max_size=4),
    max_size=6,
).map(" ".join)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_any_text_is_scored_as_the_official_script_scores_it(prediction, texts):
    rows = [{"id": 0, "answers": {"text": texts, "answer_start": [0] * len(texts)}}]
    predictions = answered(rows, [prediction])
    assert head_of().scores(predictions, rows) == pytest.approx(reference_v1(predictions, rows), abs=1e-6)


def official_v2(predictions, rows):
    """The rules of evaluate-v2.0.py, one after another, in its own order."""

    def normalize(text):
        text = "".join(ch for ch in text.lower() if ch not in string.punctuation)
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    def f1(gold, predicted):
        gold_tokens, predicted_tokens = normalize(gold).split(), normalize(predicted).split()
        same = sum((Counter(gold_tokens) & Counter(predicted_tokens)).values())
        if len(gold_tokens) == 0 or len(predicted_tokens) == 0:
            return int(gold_tokens == predicted_tokens)
        if same == 0:
            return 0
        precision, recall = 1.0 * same / len(predicted_tokens), 1.0 * same / len(gold_tokens)
        return (2 * precision * recall) / (precision + recall)

    exact_scores, f1_scores, has_answer = {}, {}, {}
    for prediction, row in zip(predictions, rows, strict=True):
        key, text = row["id"], prediction["prediction"]
        has_answer[key] = bool(row["answers"]["text"])
        gold_answers = [answer for answer in row["answers"]["text"] if normalize(answer)]
        if not gold_answers:
            gold_answers = [""]
        exact_scores[key] = max(int(normalize(gold) == normalize(text)) for gold in gold_answers)
        f1_scores[key] = max(f1(gold, text) for gold in gold_answers)
    with_answer = [key for key in has_answer if has_answer[key]]
    without = [key for key in has_answer if not has_answer[key]]
    found = {
        "exact_match": sum(exact_scores.values()) / len(rows),
        "f1": sum(f1_scores.values()) / len(rows),
    }
    if with_answer:
        found["has_answer_exact_match"] = sum(exact_scores[key] for key in with_answer) / len(with_answer)
        found["has_answer_f1"] = sum(f1_scores[key] for key in with_answer) / len(with_answer)
    if without:
        found["no_answer_accuracy"] = sum(exact_scores[key] for key in without) / len(without)
    return found


WORDS = st.lists(st.sampled_from(["the cat", "cat", "a dog.", "dog", "sat"]), min_size=1, max_size=3).map(
    " ".join
)


@given(st.lists(st.tuples(TEXTS | st.just(""), st.lists(WORDS, max_size=3)), min_size=1, max_size=8))
def test_scores_of_version_2_follow_the_official_rules(cases):
    rows = [
        {"id": identity, "answers": {"text": texts, "answer_start": [0] * len(texts)}}
        for identity, (_, texts) in enumerate(cases)
    ]
    predictions = answered(rows, [prediction for prediction, _ in cases])
    head = head_of(unanswerable=True)
    assert head.scores(predictions, rows) == pytest.approx(official_v2(predictions, rows), abs=1e-12)
    assert np.mean(head.example_scores(predictions, rows)) == pytest.approx(
        head.scores(predictions, rows)[head.primary_score], abs=1e-9
    )


def test_an_answer_that_normalisation_leaves_nothing_of_counts_only_where_all_questions_have_one():
    rows = [{"id": 0, "answers": {"text": ["the", "cat"], "answer_start": [0, 4]}}]
    assert head_of().scores(answered(rows, ["a"]), rows)["exact_match"] == 1.0
    assert head_of(unanswerable=True).scores(answered(rows, ["a"]), rows)["exact_match"] == 0.0


# --- the threshold --------------------------------------------------------------------------------------------------


def mean_at(threshold, differences, with_answer, without):
    return np.mean(
        [b if d > threshold else a for d, a, b in zip(differences, with_answer, without, strict=True)]
    )


SHARES = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 1)
CASES = st.lists(
    st.tuples(st.integers(-3, 3).map(float) | st.floats(-20, 20), SHARES, SHARES), min_size=1, max_size=12
)


@given(CASES)
@example([(0.0, 0.0, 0.0), (0.0, 0.0, 0.25), (-5e-324, 0.0, 0.0)])
def test_the_threshold_is_the_best_of_all_that_decide_differently(cases):
    differences, with_answer, without = zip(*cases, strict=True)
    found = best_threshold(differences, with_answer, without)
    distinct = sorted(set(differences))
    middles = [(low, (low + high) / 2, high) for low, high in itertools.pairwise(distinct)]
    every = [
        min(0.0, distinct[0] - 1.0),
        *(middle if middle < high else low for low, middle, high in middles),
        max(0.0, distinct[-1] + 1.0),
    ]
    reached = [mean_at(threshold, *zip(*cases, strict=True)) for threshold in every]
    assert mean_at(found, differences, with_answer, without) == pytest.approx(max(reached), abs=1e-9)
    tied = [abs(t) for t, value in zip(every, reached, strict=True) if value >= max(reached) - 1e-12]
    assert abs(found) <= min(tied) + 1e-12


def v2_outputs():
    rows = [
        make_row(0, "warm film", "what ?", "warm"),
        make_row(1, "grim film", "what ?", "grim"),
        make_row(2, "flat film", "what ?"),
        make_row(3, "stale film", "what ?"),
    ]
    scores = {0: 9.0, 1: 4.0, 2: 3.0, 3: 1.0}
    outputs = [
        {
            "id": row["id"],
            "part": 0,
            "null": 6.0,
            "candidates": [[scores[row["id"]], 0, row["context"].index(" ")]],
        }
        for row in rows
    ]
    return outputs, rows


def test_tuning_separates_what_zero_does_not():
    outputs, rows = v2_outputs()
    head = head_of(unanswerable=True)
    assert head.tunes and [p["prediction"] for p in head.decode(outputs, rows, None)] == ["warm", "", "", ""]
    found = head.tune(outputs, rows, None)
    assert found == {"null_threshold": 2.5}
    predictions = head.with_state({**head.state, **found}).decode(outputs, rows, None)
    assert [p["prediction"] for p in predictions] == ["warm", "grim", "", ""]
    assert [p["null_difference"] for p in predictions] == [-3.0, 2.0, 3.0, 5.0]
    assert head.scores(predictions, rows)["f1"] == 1.0


def test_no_answer_has_to_score_more_than_the_threshold_to_be_given():
    outputs, rows = v2_outputs()
    head = head_of(unanswerable=True).with_state({"null_threshold": 2.0})
    assert [p["prediction"] for p in head.decode(outputs, rows, None)] == ["warm", "grim", "", ""]


def test_a_question_is_always_answered_where_all_have_answers():
    outputs, rows = v2_outputs()
    head = head_of()
    assert not head.tunes and head.tune(outputs, rows, None) == {}
    assert [p["prediction"] for p in head.decode(outputs, rows, None)] == ["warm", "grim", "flat", "stale"]


def test_no_answer_scores_what_it_does_in_the_window_that_speaks_most_against_it():
    row = make_row(0, "warm grim", "what ?", "grim")
    outputs = [
        {"id": 0, "part": 0, "null": 9.0, "candidates": [[1.0, 0, 4]]},
        {"id": 0, "part": 1, "null": 2.0, "candidates": [[5.0, 4, 5], [3.0, 4, 9], [2.5, 0, 9]]},
    ]
    assert head_of(unanswerable=True).decode(outputs, [row], None) == [
        {"id": 0, "prediction": "grim", "score": 3.0, "null_difference": -1.0}
    ]


# --- windows --------------------------------------------------------------------------------------------------------


class Rigged(torch.nn.Module):
    """High start and end logits at one token, wherever it stands."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def forward(self, input_ids, **rest):
        logits = 5.0 * (input_ids == self.token)
        return SimpleNamespace(start_logits=logits, end_logits=logits)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_long_context_gives_one_answer_and_it_is_found_in_the_last_window(kind, base_of):
    base, head, draw = base_of(kind), head_of(doc_stride=8), random.Random(1)
    contexts = [" ".join(draw.choices(PLAIN, k=count)) + " radiant" for count in (5, 200, 120)]
    rows = [
        make_row(identity, context, "what felt warm ?", "radiant")
        for identity, context in enumerate(contexts)
    ]
    features = head.encode(rows, base, False)
    counts = Counter(feature["id"] for feature in features)
    assert counts[0] == 1 and counts[1] > 3 and counts[2] > 2
    assert all(len(feature["input_ids"]) <= 64 for feature in features)
    assert [f["part"] for f in features if f["id"] == 1] == list(range(counts[1]))
    model = Rigged(base.tokenizer.convert_tokens_to_ids("radiant"))
    outputs = head.predict(model, head.collate(features, base))
    predictions = head.decode(outputs, rows, base)
    assert [p["id"] for p in predictions] == [0, 1, 2]
    assert [p["prediction"] for p in predictions] == ["radiant"] * 3
    assert json.loads(json.dumps(predictions)) == predictions
    assert [p["score"] for p in predictions] == [10.0] * 3


@pytest.mark.parametrize("max_length", [16, 23, 64])
@pytest.mark.parametrize("stride", [0, 5, 128])
@pytest.mark.parametrize("asked", [1, 7, 90])
def test_windows_hold_every_token_and_share_as_many_as_there_is_room_for(max_length, stride, asked, base_of):
    base = replace(base_of("bert"), max_length=max_length)
    row = make_row(0, " ".join(random.Random(0).choices(PLAIN, k=150)), " ".join(PLAIN[:1] * asked))
    features = head_of(doc_stride=stride, unanswerable=True).encode([row], base, False)
    held = [[tuple(o) for o in feature["offsets"] if o[0] >= 0] for feature in features]
    questions = {feature["offsets"].index(list(held[part][0])) - 2 for part, feature in enumerate(features)}
    assert questions == {min(asked, max_length // 2)}
    room = max_length - 3 - questions.pop()
    every = base.tokenizer(row["context"], add_special_tokens=False, return_offsets_mapping=True)
    assert sorted(set().union(*held)) == every["offset_mapping"]
    shared = {len(set(one) & set(other)) for one, other in itertools.pairwise(held)}
    assert shared == {min(stride, room // 2)} and all(len(window) == room for window in held[:-1])
    for feature, window in zip(features, held, strict=True):
        assert feature["input_ids"][-1 - len(window) : -1] == [
            base.tokenizer.convert_tokens_to_ids(row["context"][begin:stop]) for begin, stop in window
        ]


def test_a_tokenizer_that_cuts_on_the_left_loses_nothing_either(base_of):
    tokenizer = copy.deepcopy(base_of("bert").tokenizer)
    tokenizer.truncation_side = "left"
    base = replace(base_of("bert"), processor=tokenizer, max_length=32)
    rows = [row for row in make_questions(6, words=90) if len(row["context"].split()) > 40]
    features = head_of(doc_stride=8).encode(rows, base, True)
    found = {f["id"] for f in features if f["start_positions"] and f["start_positions"] == f["end_positions"]}
    assert len(features) > 2 * len(rows) and found == {row["id"] for row in rows}


@pytest.mark.parametrize("max_length", [64, 128, 384])
def test_gold_spans_give_the_gold_text_back(max_length, squad_rows, minilm):
    base, head = replace(minilm, max_length=max_length), head_of()
    rows = {row["id"]: row for row in squad_rows}
    trained, asked = (head.encode(squad_rows, base, training) for training in (True, False))
    assert [(f["id"], f["part"]) for f in trained] == [(f["id"], f["part"]) for f in asked]
    found = {}
    for target, feature in zip(trained, asked, strict=True):
        first, last = target["start_positions"], target["end_positions"]
        assert target["input_ids"] == feature["input_ids"] and len(target["input_ids"]) <= max_length
        if first == last == 0:
            continue
        context = rows[feature["id"]]["context"]
        found.setdefault(feature["id"], set()).add(
            context[feature["offsets"][first][0] : feature["offsets"][last][1]]
        )
    wrong = [
        rows[key]["answers"]["text"][0]
        for key, texts in found.items()
        if texts != {rows[key]["answers"]["text"][0]}
    ]
    # One answer of the corpus ends within a number.
    assert wrong == ["7,000,000 square kilometres (2,70"]
    # Two windows of that row share 23 tokens, and its answer has 26: each window cuts it.
    assert set(rows) - set(found) == ({671} if max_length == 64 else set())


def test_the_answer_of_a_window_that_cuts_it_is_token_0(base_of):
    base = replace(base_of("bert"), max_length=16)
    row = make_row(0, "the film was warm and tender to me with a plot", "was warm ?", "warm and tender")
    targets = [
        (f["start_positions"], f["end_positions"]) for f in head_of(doc_stride=5).encode([row], base, True)
    ]
    # 10 of 11 words fit the first window; the second shares 5 with it.
    assert targets == [(8, 10), (0, 0)]
    assert {
        (f["start_positions"], f["end_positions"])
        for f in head_of(unanswerable=True).encode([make_row(0, row["context"], "was warm ?")], base, True)
    } == {(0, 0)}


def test_only_the_first_answer_is_trained_on_and_spaces_around_it_are_not(base_of):
    row = make_row(0, "the film was warm", "was warm ?")
    row["answers"] = {"text": [" was ", "warm"], "answer_start": [8, 13]}
    feature = head_of().encode([row], base_of("bert"), True)[0]
    assert (feature["start_positions"], feature["end_positions"]) == (7, 7)
    row = make_row(0, " warm film ", "warm ?", " warm film ", 0)
    feature = head_of().encode([row], base_of("bert"), True)[0]
    assert (feature["start_positions"], feature["end_positions"]) == (4, 5)


@pytest.mark.parametrize(("longest", "best"), [(1, 3), (3, 20), (30, 5)])
def test_candidates_are_the_best_spans_of_the_context(longest, best):
    generator = torch.Generator().manual_seed(longest)
    start, end = torch.randn(3, 9, generator=generator), torch.randn(3, 9, generator=generator)
    offsets = torch.tensor([[[-1, -1]] * 3 + [[2 * t, 2 * t + 1] for t in range(5)] + [[-1, -1]]] * 3)
    offsets[2, :] = -1
    found = candidates(start, end, offsets, longest, best)
    for b in range(2):
        every = [
            [float(start[b, i] + end[b, j]), 2 * (i - 3), 2 * (j - 3) + 1]
            for i in range(3, 8)
            for j in range(i, min(i + longest, 8))
        ]
        every.sort(key=lambda span: -span[0])
        assert [span[1:] for span in found[b]] == [span[1:] for span in every[:best]]
        assert [span[0] for span in found[b]] == pytest.approx([span[0] for span in every[:best]])
    assert found[2] == []


@pytest.mark.parametrize(
    ("fields", "longest", "count"), [({}, 30, 20), ({"max_answer_tokens": 2, "n_best": 7}, 2, 7)]
)
def test_predictions_keep_to_the_config(fields, longest, count, base_of):
    base, head = base_of("bert"), head_of(**fields)
    row = make_row(0, " ".join(PLAIN * 2), "was the film warm ?")
    model = Rigged(-1)
    (output,) = head.predict(model, head.collate(head_of(unanswerable=True).encode([row], base, False), base))
    lengths = [len(row["context"][begin:stop].split()) for _, begin, stop in output["candidates"]]
    assert len(lengths) == count and min(lengths) >= 1 and max(lengths) <= longest


# --- models ---------------------------------------------------------------------------------------------------------

KINDS = ["bert", "gpt2", "llama", "t5", "bart"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_and_in_a_padded_batch_are_answered_alike(kind, base_of):
    base, head = base_of(kind), head_of(doc_stride=8)
    assert head.why_incompatible(base) is None
    rows = make_questions(4, words=90)
    features = head.encode(rows, base, False)
    assert len({len(feature["input_ids"]) for feature in features}) > 2
    torch.manual_seed(0)
    model = head.load_model(base, LoadOptions()).eval()
    batch = head.collate(features, base)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        together = head.predict(model, batch)
        alone = [head.predict(model, head.collate([feature], base))[0] for feature in features]
    null = (logits.start_logits[:, 0] + logits.end_logits[:, 0]).tolist()
    assert [output["null"] for output in together] == pytest.approx(null, abs=1e-6)
    for one, other in zip(together, alone, strict=True):
        assert (one["id"], one["part"]) == (other["id"], other["part"])
        assert one["null"] == pytest.approx(other["null"], abs=1e-5)
        assert len(one["candidates"]) == len(other["candidates"]) > 0
        scores = [[span[0] for span in found["candidates"]] for found in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    for split in (together, alone):
        assert all(
            row["context"].count(p["prediction"])
            for row, p in zip(rows, head.decode(split, rows, base), strict=True)
        )


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_loss_is_the_mean_of_two_cross_entropies_over_the_real_tokens(kind, base_of):
    base, head = base_of(kind), head_of()
    model = head.load_model(base, LoadOptions()).eval()
    features = head.encode(make_questions(5), base, True)
    output = head.training_step(model, head.collate(features, base))
    by_hand = []
    for feature in features:
        inputs = {name: torch.tensor([feature[name]]) for name in ("input_ids", "attention_mask")}
        logits = model(**inputs)
        for found, target in ((logits.start_logits, "start_positions"), (logits.end_logits, "end_positions")):
            by_hand.append(cross_entropy(found, torch.tensor([feature[target]])).item())
    assert output.num_items == len(features) == 5
    assert output.loss.item() == pytest.approx(np.mean(by_hand), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss(kind, base_of):
    base, head = base_of(kind), head_of()
    torch.manual_seed(0)
    model = head.load_model(base, LoadOptions())
    batch = head.collate(head.encode(make_questions(16), base, True), base)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = head.training_step(model, batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_what_was_learnt_answers_new_questions(base_of):
    base, head = base_of("bert"), head_of()
    torch.manual_seed(0)
    model = head.load_model(base, LoadOptions())
    batch = head.collate(head.encode(make_questions(64), base, True), base)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        head.training_step(model, batch).loss.backward()
        optimizer.step()
    rows = make_questions(20, seed=1, words=100)
    with torch.no_grad():
        outputs = head.predict(model.eval(), head.collate(head.encode(rows, base, False), base))
    assert len(outputs) > len(rows)
    assert head.scores(head.decode(outputs, rows, base), rows)["exact_match"] > 0.9


def trunk_of(model):
    return getattr(model, model.base_model_prefix)


def test_llama_brings_its_pretrained_trunk_whatever_it_was_saved_as(base_of, tmp_path):
    from transformers import AutoModelForCausalLM

    base, head = base_of("llama"), head_of()
    saved = AutoModelForCausalLM.from_pretrained(base.path).model.state_dict()
    model = head.load_model(base, LoadOptions())
    assert model.training and all(module.training for module in model.modules())
    for name, value in trunk_of(model).state_dict().items():
        assert torch.equal(value, saved[name]), name
    model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    again = head.load_model(find_base(ModelSettings(source=str(tmp_path))), LoadOptions())
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    fresh = head.load_model(base, LoadOptions(random_weights=True))
    assert not torch.equal(trunk_of(fresh).embed_tokens.weight, saved["embed_tokens.weight"])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Bert", {}),
        ("DistilBert", {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64}),
        ("BigBird", {}),
        (
            "ModernBert",
            {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
        ),
        ("Splinter", {}),
        ("Qwen3", {"head_dim": 16, "num_key_value_heads": 2}),
        ("Mistral", {"num_key_value_heads": 2}),
        ("GPTNeoX", {}),
        ("XLNet", {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 64}),
        ("T5", {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64}),
    ],
)
def test_every_weight_that_the_base_does_not_bring_is_of_an_output_module(name, fields):
    import transformers as tf

    config = getattr(tf, f"{name}Config")(**({**SIZES, **fields} if "d_model" not in fields else fields))
    with torch.device("meta"):
        model = tf.AutoModelForQuestionAnswering.from_config(config)
        trunk = tf.AutoModel.from_config(config)
    known = set(trunk.state_dict())
    new = [key for key in model.state_dict() if key.removeprefix(f"{model.base_model_prefix}.") not in known]
    present = modules_to_save(model, QuestionAnswering.head_modules)
    assert new and all(key.split(".")[0] in present for key in new)


# --- rows and bases that do not fit ---------------------------------------------------------------------------------

FINE = {"context": "the warm film", "question": "what ?", "answers": {"text": ["warm"], "answer_start": [4]}}


def answers(texts, starts):
    return {"text": texts, "answer_start": starts}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"answers": answers(["warm", "film"], [4, 9])}, None),
        ({"context": 7}, "column 'context' should be text, but is 7"),
        ({"context": None}, "column 'context' should be text, but is None"),
        ({"context": " "}, "column 'context' is empty"),
        ({"question": ["a"]}, "column 'question' should be text, but is ['a']"),
        ({"question": ""}, "column 'question' is empty"),
        (
            {"answers": "warm"},
            "column 'answers' should be {\"text\": [...], \"answer_start\": [...]}, but is 'warm'",
        ),
        ({"answers": None}, "but is None"),
        ({"answers": {"text": ["warm"]}}, "but is {'text': ['warm']}"),
        ({"answers": answers("warm", [4])}, "but is {'text': 'warm', 'answer_start': [4]}"),
        (
            {"answers": answers(["warm", "film"], [4])},
            "column 'answers' has 2 in text, but 1 in answer_start",
        ),
        (
            {"answers": answers([], [])},
            "column 'answers' has no answer; where questions may have none, set head.unanswerable=true",
        ),
        ({"answers": answers([""], [4])}, "column 'answers' has an empty text at 4"),
        (
            {"answers": answers([4], [4])},
            "column 'answers' should have texts and whole numbers, but has 4 at 4",
        ),
        ({"answers": answers(["warm"], ["4"])}, "but has 'warm' at '4'"),
        (
            {"answers": answers(["warm"], [5])},
            "column 'answers' has 'warm' at 5, where the context has 'arm '",
        ),
        ({"answers": answers(["warm", "film"], [4, 12])}, "has 'film' at 12, where the context has 'm'"),
        ({"answers": answers(["warm"], [-9])}, "has 'warm' at -9, where the context has ''"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(change, says):
    problem = head_of().row_error(FINE | change, with_targets=False)
    assert problem is None if says is None else says in problem


def test_a_row_may_be_without_answers_where_that_is_set_and_without_the_column_to_be_predicted():
    assert (
        head_of(unanswerable=True).row_error(FINE | {"answers": answers([], [])}, with_targets=False) is None
    )
    assert (
        head_of().row_error({name: FINE[name] for name in ("context", "question")}, with_targets=False)
        is None
    )
    assert "set head.unanswerable=true" in head_of().row_error(
        FINE | {"answers": answers([], [])}, with_targets=False
    )


def test_predicting_needs_no_answers(base_of):
    base, head = base_of("bert"), head_of()
    rows = [{"id": 4, "context": "the warm film", "question": "what ?"}]
    model = Rigged(base.tokenizer.convert_tokens_to_ids("warm"))
    outputs = head.predict(model, head.collate(head.encode(rows, base, False), base))
    (prediction,) = head.decode(outputs, rows, base)
    assert prediction["prediction"] == "warm"
    assert head.preview_prediction(prediction, rows[0]) == "what ? -> warm"
    assert head.preview_prediction(prediction | {"prediction": ""}, rows[0]) == "what ? -> (no answer)"


@pytest.mark.parametrize("field", ["doc_stride", "max_answer_tokens", "n_best"])
def test_a_number_that_cannot_be_is_refused_in_plain_words(field):
    with pytest.raises(ValueError, match=f"{field} is -1; it has to be at least"):
        head_of(**{field: -1})


def test_a_base_that_does_not_fit_is_told(base_of):
    from transformers import GemmaConfig

    head, base = head_of(), base_of("bert")
    assert head.why_incompatible(base) is None
    gemma = replace(base, config=GemmaConfig())
    assert head.why_incompatible(gemma) == "transformers has no extractive question answering for gemma."
    slow = replace(base, processor=SimpleNamespace(is_fast=False, convert_ids_to_tokens=None))
    assert "its tokenizer is a slow one" in head.why_incompatible(slow)
    assert "data.max_length=15 leaves no room for a context" in head.why_incompatible(
        replace(base, max_length=15)
    )


# --- the trivial answer ---------------------------------------------------------------------------------------------


def test_the_trivial_answer_is_the_sentence_that_shares_most_words():
    context = "Rollo came first. The Vikings came from the north! Picardy lies in the north of France. Nobody knows."
    assert (
        nearest_sentence("Where does Picardy lie in the north?", context)
        == "Picardy lies in the north of France."
    )
    assert nearest_sentence("Which Vikings?", context) == "The Vikings came from the north!"
    assert nearest_sentence("Unrelated words", context) == "Rollo came first."
    # One rare word counts for more than two that stand everywhere.
    assert nearest_sentence("in of Rollo", "Of it in it of. Rollo. In of in of.") == "Rollo."


def test_the_trivial_answer_is_silence_where_most_questions_have_none():
    rows = [make_row(0, "The film was warm. It rained.", "What was warm?", "film")]
    unanswered = [make_row(1, "grim", "what ?"), make_row(2, "grim", "what ?")]
    head = head_of(unanswerable=True)
    assert head.trivial_predictions([*rows, *rows, *unanswered], rows, None) == [
        {"id": 0, "prediction": "The film was warm."}
    ]
    assert head.trivial_predictions([*rows, *unanswered], rows, None) == [{"id": 0, "prediction": ""}]


def test_words_in_common_count_as_often_as_both_have_them():
    assert token_f1("cat cat dog", "the cat sat") == pytest.approx(2 * 1 / (3 + 2))
    assert exact_match("The Cat!", "cat") == 1.0 and exact_match("cats", "cat") == 0.0
