"""Several labels, numbers, pairs, class weights; and decoders."""

from decimal import Decimal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from tests.conftest import make_rows
from tests.plugins.tiny_generators import byte_tokenizer, random_model
from tests.plugins.tiny_generators import tiny_base as tiny_generator
from tlplug import LoadOptions, UsageError
from tlplug.interfaces.registry import Registry

Classification = Registry().find("head", "classification").load()
LABELS = ["calm", "loud", "odd", "rare"]


def head(labels=LABELS, **fields):
    return Classification(Classification.Config(**fields)).with_state({"labels": list(labels)})


def decoded(found, outputs):
    return found.decode([{"id": i, "output": output} for i, output in enumerate(outputs)], [], None)


def several(seed, rows=150):
    draw = np.random.default_rng(seed)
    return draw.random((rows, 4)), draw.random((rows, 4)) < [0.5, 0.3, 0.1, 0.0]


def rows_of(target):
    return [
        {"id": i, "text": "x", "label": [LABELS[k] for k in np.flatnonzero(row)]}
        for i, row in enumerate(target)
    ]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_several_labels_agree_with_scikit_learn(threshold):
    probabilities, target = several(1)
    found = head(problem_type="multi_label", threshold=threshold)
    predictions, rows = decoded(found, probabilities.tolist()), rows_of(target)
    chosen = probabilities >= threshold
    scores = found.scores(predictions, rows)
    assert scores["micro_f1"] == pytest.approx(sk.f1_score(target, chosen, average="micro"), abs=1e-6)
    assert scores["macro_f1"] == pytest.approx(
        np.mean([*sk.f1_score(target[:, :3], chosen[:, :3], average=None).tolist(), 0.0]), abs=1e-6
    )
    precision = sk.average_precision_score(target[:, :3], probabilities[:, :3], average="macro")
    assert scores["mean_average_precision"] == pytest.approx(precision, abs=1e-6)
    assert scores["subset_accuracy"] == pytest.approx(sk.accuracy_score(target, chosen))
    assert found.primary_score == "micro_f1"
    assert np.mean(found.example_scores(predictions, rows)) == pytest.approx(scores["micro_f1"], abs=1e-6)


def test_the_loss_of_several_labels_is_the_mean_binary_cross_entropy():
    logits, target = torch.randn(5, 4), torch.rand(5, 4).round()
    found = head(problem_type="multi_label").problem_posed.loss(logits, target, None)
    p = logits.sigmoid()
    by_hand = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    assert found.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("value", "names"), [(["b", "a"], ["b", "a"]), ("a, b", ["a", "b"]), ("", []), ([], [])]
)
def test_several_labels_come_as_a_list_or_with_commas(value, names):
    found = head(["a", "b"], problem_type="multi_label")
    assert found.row_error({"text": "x", "label": value}, with_targets=True) is None
    assert found.problem_posed.target(value) == [float("a" in names), float("b" in names)]
    assert found.problem_posed.labels_of([value, ["c"]]) == tuple(sorted({*names, "c"}))


values = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=40)


@given(values)
def test_a_number_s_scores_agree_with_scipy(pairs):
    found, real = (np.round([pair[side] for pair in pairs], 3) for side in (0, 1))
    number = head(["value"], problem_type="regression")
    predictions = decoded(number, found.tolist())
    rows = [{"id": i, "text": "x", "label": value} for i, value in enumerate(real.tolist())]
    scores = number.scores(predictions, rows)
    constant = np.ptp(found) == 0 or np.ptp(real) == 0
    assert scores["mse"] == pytest.approx(np.mean((found - real) ** 2))
    for name, theirs in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        expected = 0.0 if constant else theirs(found, real).statistic
        assert scores[name] == pytest.approx(expected, abs=1e-6)
    shares = number.example_scores(predictions, rows)
    assert np.mean(shares) == pytest.approx(scores["pearson"], abs=1e-6)


def test_large_means_do_not_hide_a_correlation():
    number = head(["value"], problem_type="regression")
    rows = [{"id": i, "text": "x", "label": 1e9 + i % 3} for i in range(30)]
    assert number.scores(decoded(number, [2.0 * (i % 3) for i in range(30)]), rows)[
        "pearson"
    ] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("problem", "label", "says"),
    [
        ("regression", "many", "should be a number"),
        ("regression", True, "should be a number"),
        ("regression", float("nan"), "should be finite"),
        ("multi_label", 3, "should be a list of labels"),
        ("multi_label", ["calm", "wild"], "has wild, which no training row has; there is: calm, loud"),
        ("single_label", ["calm"], "one label is expected"),
    ],
)
def test_what_is_wrong_with_a_label_is_said(problem, label, says):
    told = head(problem_type=problem).row_error({"text": "x", "label": label}, with_targets=True)
    assert told.startswith("column 'label'") and says in told


def test_a_row_to_be_predicted_needs_no_label():
    assert head().row_error({"text": "x"}, with_targets=False) is None
    assert "'text_pair' is empty" in head().row_error({"text": "x", "text_pair": " "}, with_targets=False)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"problem_type": "two"}, "problem_type is 'two'"),
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"class_weights": "heavy"}, "class_weights is 'heavy'"),
        ({"class_weights": {"a": -1}}, "class_weights is"),
        ({"class_weights": "balanced", "problem_type": "regression"}, "of no use to regression"),
    ],
)
def test_a_config_of_no_use_is_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        Classification.Config(**fields)


def test_balanced_weights_make_each_class_count_the_same(tiny_base):
    rows = [{"id": i, "text": "the film", "label": label} for i, label in enumerate("aaaaaab")]
    bound = Classification(Classification.Config(class_weights="balanced"))
    bound = bound.with_state(bound.fit(rows))
    assert bound.state["weights"] == pytest.approx([7 / (2 * 6), 7 / (2 * 1)])
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(bound.state["weights"]))
    model = bound.load_model(tiny_base, LoadOptions()).eval()
    batch = bound.collate(bound.encode(rows, tiny_base, True), tiny_base)
    expected = theirs(model(**bound.model_inputs(batch)).logits.float(), batch["labels"])
    assert bound.training_step(model, batch).loss.item() == pytest.approx(expected.item())


def test_weights_by_label_and_the_label_that_is_not_there():
    rows = [{"id": 0, "text": "x", "label": "a"}, {"id": 1, "text": "x", "label": "b"}]
    asked = Classification(Classification.Config(class_weights={"b": 3}))
    assert asked.fit(rows)["weights"] == [1.0, 3.0]
    numbers = [{**row, "label": at} for at, row in enumerate(rows)]
    assert Classification(Classification.Config(class_weights={0: 5.0})).fit(numbers)["weights"] == [
        5.0,
        1.0,
    ]
    with pytest.raises(UsageError, match="class_weights names c; the labels are: a, b"):
        Classification(Classification.Config(class_weights={"c": 3})).fit(rows)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([1, 0.0, -0.0, 1.0], ["0", "1"]),
        ([Decimal("2"), Decimal("10.0"), 2], ["2", "10"]),
        ([0.5, -1.0, 3.0], ["-1", "0.5", "3"]),
        ([True, False], ["False", "True"]),
        (["1.0", "1"], ["1", "1.0"]),
        ([float("nan"), 1, float("inf"), 0], ["0", "1"]),
    ],
)
def test_a_number_is_one_label_in_all_its_forms(values, labels):
    rows = [{"id": i, "text": "x", "label": value} for i, value in enumerate(values)]
    bound = Classification(Classification.Config())
    bound = bound.with_state(bound.fit(rows))
    assert list(bound.labels) == labels
    assert {bound.class_of(row) for row in rows if bound.row_error(row, True) is None} == set(labels)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), Decimal("NaN"), Decimal("Infinity")])
def test_a_label_that_is_no_number_is_an_error_of_its_row(value):
    error = head(["0", "1"]).row_error({"id": 0, "text": "x", "label": value}, True)
    assert error is not None and "which is no label" in error


def test_a_pair_is_encoded_as_the_tokenizer_joins_them(tiny_base):
    row = {"id": 0, "text": "the film", "text_pair": "was flat", "label": "calm"}
    feature = head().encode([row], tiny_base, True)[0]
    assert feature["input_ids"] == tiny_base.tokenizer("the film", "was flat")["input_ids"]
    alone = head().encode([{**row, "text_pair": "the film"}], tiny_base, True)[0]
    assert alone["input_ids"] != feature["input_ids"]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_reads_a_row_alone_as_in_a_batch_padded_on_either_side(name, side):
    tokenizer = byte_tokenizer("$A")
    tokenizer.padding_side = side
    base = tiny_generator(name, tokenizer=tokenizer)
    found = head(["negative", "positive"])
    model = random_model(found, base)
    assert model.config.pad_token_id == tokenizer.pad_token_id is not None
    rows = make_rows(6)
    features = found.encode(rows, base, False)
    assert len({len(feature["input_ids"]) for feature in features}) > 2
    with torch.no_grad():
        together = found.predict(model, found.collate(features, base))
        alone = [found.predict(model, found.collate([feature], base))[0] for feature in features]
        last = model(input_ids=torch.tensor([features[0]["input_ids"]])).logits[0].softmax(-1)
    for one, other in zip(together, alone, strict=True):
        assert one["output"] == pytest.approx(other["output"], abs=1e-5)
    assert alone[0]["output"] == pytest.approx(last.tolist(), abs=1e-5), "the last real token is read"


def test_trivial_predictions():
    number = head(["value"], problem_type="regression")
    rows = [{"id": i, "text": "x", "label": value} for i, value in enumerate([1.0, 2.0, 6.0])]
    assert [p["prediction"] for p in number.trivial_predictions(rows, rows[:1], None)] == [3.0]
    many = head(["a", "b"], problem_type="multi_label")
    train = [{"id": 0, "label": ["a"]}, {"id": 1, "label": ["a", "b"]}, {"id": 2, "label": []}]
    assert many.trivial_predictions(train, train[:1], None)[0]["prediction"] == ["a"]


def test_a_row_to_be_predicted_may_have_a_label_of_no_use():
    assert head().row_error({"text": "x", "label": -1}, with_targets=False) is None


@pytest.mark.parametrize("labels", [["a", "a"], [["a"], ["b"]]])
def test_fewer_than_two_labels_are_told_before_anything_is_trained(labels):
    with pytest.raises(UsageError, match="fewer than two labels"):
        Classification().fit([{"id": i, "text": "x", "label": label} for i, label in enumerate(labels)])


def test_some_pairs_and_some_texts_are_refused(tiny_base):
    rows = [{"id": 0, "text": "film"}, {"id": 1, "text": "film", "text_pair": "plot"}]
    with pytest.raises(UsageError, match="all or no rows are pairs"):
        head().encode(rows, tiny_base, False)
