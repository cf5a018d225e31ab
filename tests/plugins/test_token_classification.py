import copy
import functools
import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from tests.conftest import NEGATIVE, PLAIN, POSITIVE
from tests.models.test_base_model import MINILM
from tlplug import modules_to_save
from tlplug.interfaces import LoadOptions
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.settings import ModelSettings
from tlplug_plugins.heads.tagging.entities import spans

TokenClassification = Registry().find("head", "token_classification").load()
TAGS = ("O", "B-GOOD", "I-GOOD", "B-BAD", "I-BAD")
SIZES = {
    "vocab_size": 400,
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


def head_of(labels=TAGS, **fields):
    return TokenClassification(TokenClassification.Config(**fields)).with_state({"labels": list(labels)})


def make_tagged(count, seed=0, words=12):
    """Rows that a tiny model can learn: words of the two lists are entities, two of one list in a row are one."""
    draw, rows = random.Random(seed), []
    for identity in range(count):
        tokens = [draw.choice(PLAIN + POSITIVE + NEGATIVE) for _ in range(draw.randint(3, words))]
        kinds = ["GOOD" if t in POSITIVE else "BAD" if t in NEGATIVE else None for t in tokens]
        tags = [
            "O" if kind is None else f"{'I' if kind == before else 'B'}-{kind}"
            for kind, before in zip(kinds, [None, *kinds], strict=False)
        ]
        rows.append({"id": identity, "tokens": tokens, "tags": tags})
    return rows


def byte_level(cls, **names):
    """A byte-level tokenizer with few merges, as RoBERTa's and GPT-2's are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator([" ".join(PLAIN + POSITIVE + NEGATIVE)] * 3, trainer)
    model = json.loads(core.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return cls(vocab=model["vocab"], merges=merges, model_max_length=64, pad_token="<pad>", **names)


@pytest.fixture(scope="module")
def base_of(tmp_path_factory, tiny_base):
    """A function: kind of model -> a tiny base, saved as such models are on the hub."""
    import transformers as tf

    made = {"bert": tiny_base}
    eos = {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>"}

    def parts(kind):
        if kind == "roberta":
            config = tf.RobertaConfig(**SIZES, max_position_embeddings=66, pad_token_id=1)
            return tf.RobertaForMaskedLM, config, byte_level(tf.RobertaTokenizer)
        side = "left" if kind == "llama" else "right"
        tokenizer = byte_level(tf.GPT2Tokenizer, **eos, padding_side=side)
        if kind == "gpt2":
            return (
                tf.GPT2LMHeadModel,
                tf.GPT2Config(vocab_size=400, n_embd=32, n_layer=1, n_head=2),
                tokenizer,
            )
        return tf.LlamaForCausalLM, tf.LlamaConfig(**SIZES), tokenizer

    def build(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            torch.manual_seed(7)
            cls, config, tokenizer = parts(kind)
            cls(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[kind] = find_base(ModelSettings(source=str(folder)), 64)
        return made[kind]

    return build


@pytest.fixture(scope="module")
def minilm():
    return find_base(MINILM)


class Rigged(torch.nn.Module):
    """The label of a token is its id modulo the number of labels."""

    def forward(self, input_ids, **rest):
        return SimpleNamespace(logits=torch.nn.functional.one_hot(input_ids % len(TAGS), len(TAGS)))


# --- words and tokens -----------------------------------------------------------------------------------------------

WORD_TEXTS = st.text(
    st.sampled_from("abcdefgxyzAÉüß") | st.sampled_from("0123-.,'\u2019()€½") | st.sampled_from("東京ищ"),
    min_size=1,
    max_size=9,
)


@given(st.lists(WORD_TEXTS, min_size=1, max_size=8))
def test_labels_stand_at_the_first_token_of_each_word(words):
    base = find_minilm()
    row = {"id": 0, "tokens": words, "tags": [str(place) for place in range(len(words))]}
    head = head_of(labels=row["tags"])
    (feature,) = head.encode([row], base, True)
    reference = base.tokenizer(words, is_split_into_words=True)
    owners = [None, *reference.word_ids()]
    assert feature["input_ids"] == reference["input_ids"]
    assert feature["labels"] == [
        word if word is not None and word != before else -100 for before, word in itertools.pairwise(owners)
    ]


@functools.cache
def find_minilm():
    return find_base(MINILM)


SENTENCE = ["Zoë", "Lindqvist", "left", "Oslo", ",", "é", "!", "plot-scene", "1½", "the é"]


@pytest.mark.parametrize("kind", ["roberta", "gpt2", "llama"])
def test_byte_level_tokenizers_see_the_spaces_between_words(kind, base_of):
    base = base_of(kind)
    (feature,) = head_of().encode([{"id": 0, "tokens": SENTENCE}], base, False)
    text = base.tokenizer(" ".join(SENTENCE))
    assert feature["input_ids"] == text["input_ids"]
    starts = [place for place, word in enumerate(feature["words"]) if word >= 0]
    assert [feature["words"][place] for place in starts] == list(range(len(SENTENCE)))
    ends = [*starts[1:], len(feature["input_ids"])]
    for word, begin, end in zip(SENTENCE, starts, ends, strict=True):
        decoded = base.tokenizer.decode(feature["input_ids"][begin:end], skip_special_tokens=True)
        assert decoded.strip() == word


def test_a_word_may_hold_spaces_and_a_text_is_split(minilm):
    (feature,) = head_of().encode([{"id": 0, "tokens": ["New York", "is", "old"]}], minilm, False)
    assert feature["words"] == [-1, 0, -1, 1, 2, -1]
    row = {"id": 0, "tokens": "Ms O'Neil-Smith left Oslo, at last (she said)."}
    prediction = head_of().decode([], [row], None)[0]
    words = ["Ms", "O'Neil-Smith", "left", "Oslo", ",", "at", "last", "(", "she", "said", ")", "."]
    assert prediction["prediction"] == ["O"] * len(words)
    assert head_of().preview_prediction(prediction, row) == " ".join(words)


def test_a_word_without_a_token_is_not_trained_on_and_has_the_first_label(minilm):
    rows = [
        {"id": 0, "tokens": ["\u200b", "film"], "tags": ["B-GOOD", "B-BAD"]},
        {"id": 1, "tokens": ["\u200b"], "tags": ["B-GOOD"]},
    ]
    head = head_of()
    assert [(f["id"], f["labels"]) for f in head.encode(rows, minilm, True)] == [(0, [-100, 3, -100])]
    features = head.encode(rows, minilm, False)
    assert [(f["id"], f["words"]) for f in features] == [(0, [-1, 1, -1]), (1, [-1, -1])]
    outputs = head.predict(Rigged(), head.collate(features, minilm))
    predictions = head.decode(outputs, rows, minilm)
    film = TAGS[minilm.tokenizer.convert_tokens_to_ids("film") % len(TAGS)]
    assert [p["prediction"] for p in predictions] == [["O", film], ["O"]]


# --- windows --------------------------------------------------------------------------------------------------------


def farthest(held, place):
    """By brute force: the part where a token of the row lies farthest from a cut; `held`: each part's tokens."""
    distances = {}
    for part, tokens in enumerate(held):
        if place in tokens:
            left = tokens.index(place) if part else 10**6
            right = len(tokens) - 1 - tokens.index(place) if part < len(held) - 1 else 10**6
            distances[part] = min(left, right)
    return max(distances, key=lambda part: (distances[part], -part))


@pytest.mark.parametrize("max_length", [4, 9, 40, 64])
@pytest.mark.parametrize("stride", [0, 2, 3, 10, 64])
@pytest.mark.parametrize("side", ["right", "left"])
def test_each_word_is_in_one_window_the_one_where_it_is_farthest_from_a_cut(max_length, stride, side, minilm):
    tokenizer = copy.deepcopy(minilm.tokenizer)
    tokenizer.truncation_side = side
    base = replace(minilm, max_length=max_length, processor=tokenizer)
    draw = random.Random(max_length)
    words = [draw.choice(["film", "Lindqvist", "Skarnholm", "the", "½", "o'clock"]) for _ in range(60)]
    row = {"id": 3, "tokens": words, "tags": [draw.choice(TAGS) for _ in words]}
    head = head_of(stride=stride)
    features = head.encode([row], base, False)
    assert [f["part"] for f in features] == list(range(len(features)))
    assert all(len(f["input_ids"]) <= max_length for f in features)
    assert Counter(w for f in features for w in f["words"] if w >= 0) == Counter(range(60))

    owners = minilm.tokenizer(words, is_split_into_words=True, add_special_tokens=False).word_ids()
    first = [place for place, word in enumerate(owners) if word != ([None, *owners])[place]]
    room, shared = max_length - 2, min(stride, (max_length - 2) // 2)
    if side == "right":
        starts = range(0, max(len(owners) - shared, 1), room - shared)
        held = [list(range(start, min(start + room, len(owners)))) for start in starts]
    else:
        stops = range(len(owners), shared, shared - room)
        held = [list(range(max(stop - room, 0), stop)) for stop in stops][::-1]
    assert [len(tokens) for tokens in held] == [len(f["input_ids"]) - 2 for f in features]
    for word, place in enumerate(first):
        part = farthest(held, place)
        assert features[part]["words"][1 + held[part].index(place)] == word

    trained = head.encode([row], base, True)
    assert sum(label != -100 for f in trained for label in f["labels"]) == 60
    outputs = head.predict(Rigged(), head.collate(features, base))
    (prediction,) = head.decode(outputs, [row], base)
    ids = minilm.tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert prediction["prediction"] == [TAGS[ids[place] % len(TAGS)] for place in first]


def test_a_short_row_is_one_window_and_json(base_of):
    rows = make_tagged(3)
    for training in (True, False):
        features = head_of().encode(rows, base_of("bert"), training)
        assert [(f["id"], f["part"]) for f in features] == [(0, 0), (1, 0), (2, 0)]
        assert json.loads(json.dumps(features)) == features


# --- scores ---------------------------------------------------------------------------------------------------------

IOB = ["O", "B-A", "I-A", "B-B", "I-B"]
SETS = [
    IOB,
    [*IOB, "E-A", "S-A", "E-B", "S-B"],
    [*IOB, "L-A", "U-A", "L-B", "U-B"],
    ["O", "I-A", "I-B", "B-A"],
    ["O", "B", "I", "E", "M"],
    ["O", "A", "B-A", "LOC", "I-LOC", "I-O", "O-A", "X-A", "I-A-B", "7", "17"],
]


@st.composite
def tagged_rows(draw):
    names = draw(st.sampled_from(SETS))
    lengths = draw(st.lists(st.integers(1, 8), min_size=1, max_size=6))
    tags = st.sampled_from(names)
    return [
        tuple(draw(st.lists(tags, min_size=length, max_size=length)) for _ in range(2)) for length in lengths
    ]


def rows_and_predictions(pairs):
    rows = [{"id": i, "tokens": ["x"] * len(real), "tags": real} for i, (real, _) in enumerate(pairs)]
    return rows, [{"id": i, "prediction": predicted} for i, (_, predicted) in enumerate(pairs)]


def parts_of(tag):
    """Prefix and type: a label without a prefix is a type whose words have none."""
    if tag[0] in "BIMESLUO" and tag[1:2] in ("", "-"):
        return tag[0], tag[2:]
    return "", tag


def entities_by_definition(tags):
    """The longest runs of words of one type in which none but the first begins an entity and none but the last ends one."""
    read = [parts_of(tag) for tag in tags]

    def is_one(first, end):
        prefixes, types = zip(*read[first:end], strict=True)
        return (
            len(set(types)) == 1
            and "O" not in prefixes
            and not set(prefixes[1:]) & set("BSU")
            and not set(prefixes[:-1]) & set("ESLU")
        )

    places = range(len(tags) + 1)
    runs = {(first, end) for first in places for end in places[first + 1 :] if is_one(first, end)}
    # Runs grow from each first word that no longer run takes in.
    longest = {run for run in runs if not any(a <= run[0] and run[1] <= b and (a, b) != run for a, b in runs)}
    return [(read[first][1], first, end - 1) for first, end in sorted(longest)]


@given(st.sampled_from(SETS).flatmap(lambda names: st.lists(st.sampled_from(names), max_size=9)))
def test_any_labels_are_read_by_the_definition_of_an_entity(tags):
    assert spans(tags) == entities_by_definition(tags)


def iob1(kinds, before):
    return [("B" if before == kinds[0] else "I"), *"I" * (len(kinds) - 1)]


def iob2(kinds, before):
    return ["B", *"I" * (len(kinds) - 1)]


def iobes(kinds, before, single="S", last="E", inside="I"):
    return [single] if len(kinds) == 1 else ["B", *inside * (len(kinds) - 2), last]


SCHEMES = {
    "IOB1": iob1,
    "IOB2": iob2,
    "IOBES": iobes,
    "BMES": functools.partial(iobes, inside="M"),
    "BILOU": functools.partial(iobes, single="U", last="L"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@given(st.lists(st.tuples(st.sampled_from([None, "A", "B", "O", "A-B"]), st.integers(1, 4)), max_size=6))
def test_entities_written_in_a_scheme_are_read_back(scheme, runs):
    """A run is an entity of so many words, or words outside; two entities may stand side by side."""
    tags, entities, before = [], [], None
    for kind, length in runs:
        if kind is None:
            tags += ["O"] * length
        else:
            entities.append((kind, len(tags), len(tags) + length - 1))
            tags += [f"{prefix}-{kind}" for prefix in SCHEMES[scheme]([kind] * length, before)]
        before = kind
    assert spans(tags) == entities


@given(tagged_rows())
def test_scores_are_of_whole_entities(pairs):
    rows, predictions = rows_and_predictions(pairs)
    real, predicted = (
        {(row, *entity) for row, pair in enumerate(pairs) for entity in entities_by_definition(pair[side])}
        for side in (0, 1)
    )
    head, right = head_of(), len(real & predicted)
    scores = head.scores(predictions, rows)
    precision, recall = (right / len(side) if side else 0.0 for side in (predicted, real))
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    words = [(one, other) for pair in pairs for one, other in zip(*pair, strict=True)]
    assert scores["entity_f1"] == pytest.approx(f1, abs=1e-12)
    assert scores["entity_precision"] == pytest.approx(precision, abs=1e-12)
    assert scores["entity_recall"] == pytest.approx(recall, abs=1e-12)
    assert scores["accuracy"] == pytest.approx(
        sum(one == other for one, other in words) / len(words), abs=1e-12
    )
    shares = head.example_scores(predictions, rows)
    assert len(shares) == len(rows) and np.mean(shares) == pytest.approx(scores[head.primary_score], abs=1e-9)


def test_scores_by_hand():
    pairs = [
        (["B-A", "I-A", "O", "B-B"], ["B-A", "I-A", "O", "O"]),
        (["O", "B-A"], ["B-B", "B-A"]),
        (["O"], ["O"]),
    ]
    scores = head_of().scores(*rows_and_predictions(pairs)[::-1])
    # True positives A(0-1), A(1); three entities are predicted and three are real.
    assert scores == pytest.approx(
        {"entity_f1": 2 / 3, "entity_precision": 2 / 3, "entity_recall": 2 / 3, "accuracy": 5 / 7}
    )


def test_no_entities_at_all_score_0():
    rows, predictions = rows_and_predictions([(["O", "O"], ["O", "O"])] * 2)
    head = head_of()
    assert head.scores(predictions, rows) == {
        "entity_f1": 0.0,
        "entity_precision": 0.0,
        "entity_recall": 0.0,
        "accuracy": 1.0,
    }
    assert head.example_scores(predictions, rows) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        (["B-PER", "I-PER", "O", "B-LOC"], [("PER", "a b", 0, 2), ("LOC", "d", 3, 4)]),
        (["PER", "PER", "O", "LOC"], [("PER", "a b", 0, 2), ("LOC", "d", 3, 4)]),
        (["O", "I-PER", "B-PER", "O"], [("PER", "b", 1, 2), ("PER", "c", 2, 3)]),
        (["O", "B", "I", "O"], [("B", "b c", 1, 3)]),
        (["O", "O", "O", "O"], []),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_prediction_names_its_entities(tags, entities):
    head = head_of(labels=sorted(set(tags)))
    row = {"id": 0, "tokens": list("abcd")}
    output = {"id": 0, "part": 0, "words": [0, 1, 2, 3], "labels": [head.labels.index(tag) for tag in tags]}
    (prediction,) = head.decode([output], [row], None)
    assert prediction["prediction"] == tags
    assert [tuple(entity.values()) for entity in prediction["entities"]] == entities
    assert json.loads(json.dumps(prediction)) == prediction


def test_a_sample_is_one_line():
    tokens = ["Maria", "Lindqvist", "left", "Oslo"]
    head = head_of(labels=("O", "B-PER", "I-PER", "B-LOC"))
    output = {"id": 0, "part": 0, "words": [0, 1, 2, 3], "labels": [1, 2, 0, 3]}
    row = {"id": 0, "tokens": tokens}
    (prediction,) = head.decode([output], [row], None)
    assert head.preview_prediction(prediction, row) == "Maria Lindqvist [PER] left Oslo [LOC]"
    assert tokens == ["Maria", "Lindqvist", "left", "Oslo"]


# --- models ---------------------------------------------------------------------------------------------------------

KINDS = ["bert", "roberta", "gpt2", "llama"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_and_in_a_padded_batch_are_labelled_alike(kind, base_of):
    base, head = base_of(kind), head_of(stride=8)
    assert head.why_incompatible(base) is None
    assert base.tokenizer.padding_side == ("left" if kind == "llama" else "right")
    torch.manual_seed(0)
    model = head.load_model(base, LoadOptions()).eval()
    assert model.config.id2label == dict(enumerate(TAGS)) and model.config.num_labels == len(TAGS)
    rows = make_tagged(6, words=60)
    features = head.encode(rows, base, False)
    assert len({len(feature["input_ids"]) for feature in features}) > 2
    batch = head.collate(features, base)
    assert batch["words"].shape == batch["input_ids"].shape
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        logits = model(**inputs).logits
        together = head.predict(model, batch)
        for place, feature in enumerate(features):
            alone = head.collate([feature], base)
            length = len(feature["input_ids"])
            found = model(input_ids=alone["input_ids"], attention_mask=alone["attention_mask"]).logits
            assert torch.allclose(found[0], logits[place, :length], atol=1e-5)
            assert head.predict(model, alone)[0]["words"] == together[place]["words"]
    predictions = head.decode(together, rows, base)
    assert [len(p["prediction"]) for p in predictions] == [len(row["tokens"]) for row in rows]
    expected = {
        (f["id"], word): int(logits[n, t].argmax())
        for n, f in enumerate(features)
        for t, word in enumerate(f["words"])
        if word >= 0
    }
    assert [[TAGS.index(tag) for tag in p["prediction"]] for p in predictions] == [
        [expected[row["id"], word] for word in range(len(row["tokens"]))] for row in rows
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_mean_cross_entropy_over_words(kind, base_of):
    base, head, rows = base_of(kind), head_of(), make_tagged(5)
    model = head.load_model(base, LoadOptions()).eval()
    features = head.encode(rows, base, True)
    output = head.training_step(model, head.collate(features, base))
    losses = []
    for feature in features:
        logits = model(input_ids=torch.tensor([feature["input_ids"]])).logits[0]
        losses += [
            cross_entropy(logits[place], torch.tensor(label)).item()
            for place, label in enumerate(feature["labels"])
            if label != -100
        ]
    assert output.num_items == len(losses) == sum(len(row["tags"]) for row in rows)
    assert output.loss.item() == pytest.approx(np.mean(losses), abs=1e-5)
    reference = model(**{k: v for k, v in head.collate(features, base).items() if k not in ("id", "part")})
    assert output.loss.item() == pytest.approx(reference.loss.item(), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_training_lowers_the_loss_and_labels_new_rows(kind, base_of):
    base, head = base_of(kind), head_of(stride=16)
    torch.manual_seed(0)
    model = head.load_model(base, LoadOptions())
    batch = head.collate(head.encode(make_tagged(64), base, True), base)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = head.training_step(model, batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    rows = make_tagged(10, seed=1, words=100)
    with torch.no_grad():
        outputs = head.predict(model.eval(), head.collate(head.encode(rows, base, False), base))
    scores = head.scores(head.decode(outputs, rows, base), rows)
    assert scores["entity_f1"] > 0.6 and scores["accuracy"] > 0.8


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Bert", {}),
        ("DistilBert", {"n_layers": 1, "dim": 32, "n_heads": 2, "hidden_dim": 64}),
        ("DebertaV2", {}),
        (
            "ModernBert",
            {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
        ),
        ("Llama", {}),
        ("GPT2", {}),
        ("T5", {"d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 64}),
    ],
)
def test_every_weight_that_the_base_does_not_bring_is_of_an_output_module(name, fields):
    import transformers as tf

    config = (
        getattr(tf, f"{name}Config")(**fields)
        if name in ("GPT2", "T5")
        else getattr(tf, f"{name}Config")(**SIZES, **fields)
    )
    with torch.device("meta"):
        model = tf.AutoModelForTokenClassification.from_config(config)
        trunk = tf.AutoModel.from_config(config)
    known = set(trunk.state_dict())
    new = [key for key in model.state_dict() if key.removeprefix(f"{model.base_model_prefix}.") not in known]
    present = modules_to_save(model, TokenClassification.head_modules)
    assert new and all(key.split(".")[0] in present for key in new)


# --- rows, labels and bases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "space"),
    [
        ([["B-PER", "O"], ["B-LOC"]], ("O", "B-LOC", "B-PER")),
        ([["VERB"], ["NOUN", "Ä"]], ("NOUN", "VERB", "Ä")),
        ([[10, 2], [2, 9]], ("2", "9", "10")),
        ([["10", "9"], None, "O", [None]], ("10", "9")),
    ],
)
def test_label_space_has_o_first_then_integers_by_value_and_names_by_the_alphabet(tags, space):
    rows = [{"id": i, "tokens": ["x"], "tags": value} for i, value in enumerate(tags)]
    assert TokenClassification().fit(rows)["labels"] == list(space)


def test_integers_are_labels(base_of):
    head = head_of(labels=("0", "3"))
    row = {"id": 0, "tokens": ["film", "scene"], "tags": [3, 0]}
    assert head.row_error(row, with_targets=False) is None
    (feature,) = head.encode([row], base_of("bert"), True)
    assert feature["labels"] == [-100, 1, 0, -100]
    predictions = head.trivial_predictions([row], [row], None)
    assert predictions[0]["prediction"] == ["3", "0"]
    assert head.scores(predictions, [row])["accuracy"] == 1.0


FINE = {"tokens": ["warm", "film"], "tags": ["B-GOOD", "O"]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"tokens": "warm, film", "tags": ["O", "O", "O"]}, None),
        ({"tokens": 7}, "column 'tokens' should be a list of words, or a text, but is 7"),
        ({"tokens": None}, "column 'tokens' should be a list of words, or a text, but is None"),
        ({"tokens": []}, "column 'tokens' is empty"),
        ({"tokens": " "}, "column 'tokens' is empty"),
        ({"tokens": ["warm", ""]}, "column 'tokens' has '' as word 2"),
        ({"tokens": ["\t", "film"]}, "column 'tokens' has '\\t' as word 1"),
        ({"tokens": [None, "film"]}, "column 'tokens' has None as word 1"),
        ({"tokens": ["warm", 3]}, "column 'tokens' has 3 as word 2"),
        ({"tags": None}, "column 'tags' should be a list of labels, but is None"),
        ({"tags": "O O"}, "column 'tags' should be a list of labels, but is 'O O'"),
        ({"tags": ["O"]}, "column 'tags' has 1 labels, but column 'tokens' has 2 words"),
        ({"tokens": "warm film."}, "column 'tags' has 2 labels, but column 'tokens' has 3 words"),
        (
            {"tags": ["O", "B-PER"]},
            "column 'tags' has 'B-PER' for word 2, which no training row has; "
            "there is: O, B-GOOD, I-GOOD, B-BAD, I-BAD",
        ),
        ({"tags": [None, "O"]}, "column 'tags' has None for word 1"),
        ({"tags": ["O", ""]}, "column 'tags' has '' for word 2"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(change, says):
    problem = head_of().row_error(FINE | change, with_targets=False)
    assert problem is None if says is None else says in problem


def test_a_row_to_be_predicted_may_be_without_tags():
    assert head_of().row_error({"tokens": ["warm"]}, with_targets=False) is None
    assert "is empty" in head_of().row_error({"tokens": []}, with_targets=False)


def test_a_base_that_does_not_fit_is_told(base_of):
    from transformers import BartConfig

    head, base = head_of(), base_of("bert")
    assert head.why_incompatible(base) is None
    assert (
        head.why_incompatible(replace(base, config=BartConfig()))
        == "transformers has no token classification for bart."
    )
    slow = replace(base, processor=SimpleNamespace(is_fast=False, convert_ids_to_tokens=None))
    assert "its tokenizer is a slow one" in head.why_incompatible(slow)
    assert head.why_incompatible(replace(base, max_length=2)) == "data.max_length=2 leaves no room for words."
    assert head.why_incompatible(replace(base, max_length=3)) is None


def test_a_stride_below_0_is_refused_in_plain_words():
    with pytest.raises(ValueError, match="stride is -1; it has to be at least 0"):
        head_of(stride=-1)


def test_the_trivial_labels_are_each_words_commonest():
    train = [
        {"id": 0, "tokens": ["Oslo", "is", "old"], "tags": ["B-GOOD", "O", "O"]},
        {"id": 1, "tokens": ["Oslo", "Oslo", "is"], "tags": ["B-BAD", "B-BAD", "O"]},
    ]
    rows = [{"id": 5, "tokens": "Oslo was old", "tags": ["B-BAD", "O", "O"]}]
    (prediction,) = head_of().trivial_predictions(train, rows, None)
    assert prediction == {
        "id": 5,
        "prediction": ["B-BAD", "O", "O"],
        "entities": [{"type": "BAD", "text": "Oslo", "start": 0, "end": 1}],
    }
    without = [{"id": 0, "tokens": ["run", "runs", "dog"], "tags": ["VERB", "VERB", "NOUN"]}]
    head = head_of(labels=("NOUN", "VERB"))
    assert head.trivial_predictions(without, [{"id": 0, "tokens": ["dog", "cat"]}], None)[0][
        "prediction"
    ] == [
        "NOUN",
        "VERB",
    ]
