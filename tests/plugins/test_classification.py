import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from tests.conftest import make_rows
from tlplug.interfaces.registry import Registry

Classification = Registry().find("head", "classification").load()


def bound(labels):
    return Classification().with_state({"labels": list(labels)})


def predictions_of(head, probabilities):
    outputs = [{"id": index, "output": row} for index, row in enumerate(probabilities.tolist())]
    return head.decode(outputs, [], None)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_scores_agree_with_scikit_learn(k):
    draw = np.random.default_rng(k)
    labels = [f"class {index}" for index in range(k)]
    probabilities = draw.dirichlet(np.ones(k), 200)
    target = draw.integers(0, k, 200)
    head = bound(labels)
    rows = [{"id": index, "text": "x", "label": labels[t]} for index, t in enumerate(target)]
    scores = head.scores(predictions_of(head, probabilities), rows)
    chosen = probabilities.argmax(1)
    assert scores["accuracy"] == pytest.approx(sk.accuracy_score(target, chosen), abs=1e-6)
    assert scores["macro_f1"] == pytest.approx(sk.f1_score(target, chosen, average="macro"), abs=1e-6)
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(target, chosen), abs=1e-6)
    assert scores["calibration_error"] == pytest.approx(calibration(probabilities, target), abs=1e-6)


def calibration(probabilities, target, bins=15):
    """Expected calibration error by its definition (Naeini et al. 2015), bin by bin."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == target
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return sum(
        (which == b).mean() * abs(right[which == b].mean() - confidence[which == b].mean())
        for b in set(which)
    )


def test_example_scores_average_to_the_primary_score():
    head, rows = bound(["negative", "positive"]), make_rows(31)
    predictions = head.trivial_predictions(make_rows(9), rows, None)
    assert np.mean(head.example_scores(predictions, rows)) == pytest.approx(
        head.scores(predictions, rows)[head.primary_score]
    )


def test_the_trivial_prediction_is_the_majority_of_the_training_rows():
    train = [{"id": i, "text": "x", "label": label} for i, label in enumerate("bbbaac")]
    found = bound(["a", "b", "c"]).trivial_predictions(train, make_rows(2), None)
    assert [p["prediction"] for p in found] == ["b", "b"]
    assert found[0]["probabilities"] == pytest.approx({"a": 2 / 6, "b": 3 / 6, "c": 1 / 6})


@pytest.mark.parametrize(
    ("labels", "space"),
    [((10, 2, 2, 9), ("2", "9", "10")), (("no", "yes", "no"), ("no", "yes")), (("10", "9"), ("10", "9"))],
)
def test_label_space_orders_integers_by_value_and_names_by_the_alphabet(labels, space):
    rows = [{"id": i, "text": "x", "label": label} for i, label in enumerate(labels)]
    assert Classification().fit(rows)["labels"] == list(space)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"text": "fine", "label": "positive"}, None),
        ({"text": "  ", "label": "positive"}, "'text' is empty"),
        ({"text": None, "label": "positive"}, "should be text"),
        ({"text": 7, "label": "positive"}, "should be text"),
        ({"text": "fine", "label": None}, "'label' is empty"),
        ({"text": "fine", "label": "mixed"}, "no training row has; there is: negative, positive"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row, says):
    head = bound(["negative", "positive"])
    problem = head.row_error(row, with_targets=True)
    assert problem is None if says is None else says in problem


def test_the_loss_is_the_mean_cross_entropy(head, tiny_base, batch):
    from tlplug.interfaces import LoadOptions

    model = head.load_model(tiny_base, LoadOptions()).eval()
    output = head.training_step(model, batch)
    rows = model(**{k: v for k, v in batch.items() if k != "id"})
    assert output.num_items == 8
    assert output.loss.item() == pytest.approx(rows.loss.item(), abs=1e-6)
    log_probabilities = rows.logits.log_softmax(-1)
    by_hand = -sum(log_probabilities[i, t] for i, t in enumerate(batch["labels"])) / 8
    assert output.loss.item() == pytest.approx(by_hand.item(), abs=1e-6)


def test_a_row_alone_and_in_a_padded_batch_are_predicted_alike(head, tiny_base, batch):
    from tlplug.interfaces import LoadOptions

    model = head.load_model(tiny_base, LoadOptions()).eval()
    features = head.encode(make_rows(8), tiny_base, False)
    assert len({len(feature["input_ids"]) for feature in features}) > 1
    with torch.no_grad():
        together = head.predict(model, batch)
        alone = [head.predict(model, head.collate([feature], tiny_base))[0] for feature in features]
    for one, other in zip(together, alone, strict=True):
        assert one["id"] == other["id"]
        assert one["output"] == pytest.approx(other["output"], abs=1e-5)
        assert math.isclose(sum(one["output"]), 1.0, abs_tol=1e-5)


def test_long_texts_are_cut_at_the_base_models_limit(head, tiny_base):
    row = {"id": 0, "text": "film " * 500, "label": "positive"}
    feature = head.encode([row], tiny_base, True)[0]
    assert len(feature["input_ids"]) == tiny_base.max_length == 64
    assert feature["input_ids"][-1] == tiny_base.tokenizer.sep_token_id
