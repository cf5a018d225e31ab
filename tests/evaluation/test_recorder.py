"""What is recorded beside a training, and that the training does not notice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conftest import make_rows
from tests.training.sample_tasks import QUICK, prepare, strategy
from tlplug import NotMeasured, TransferMetric, WeightChange
from tlplug.data.domain import Domain
from tlplug.evaluation.compute_metrics import measure
from tlplug.evaluation.layer_features import evaluation_mode, layer_features
from tlplug.evaluation.probes import class_indices, sample_rows
from tlplug.evaluation.recorder import Recorder
from tlplug.interfaces import LoadOptions, RowsContext
from tlplug.interfaces.registry import Registry
from tlplug.settings import EvidenceSettings, OptimizerSettings
from tlplug.testing import tiny_models as tiny
from tlplug.training.fit import TrainingHooks, adapt


class Norms(TransferMetric):
    """Asks for a number of each matrix and for rows of its own."""

    def __init__(self, config=None):
        super().__init__(config)
        self.context = None

    def extra_rows(self, context):
        self.context = context
        return {"norms/loud": [{**row, "text": row["text"].upper()} for row in context.rows[:3]]}

    def weight_change(self, change: WeightChange):
        return {"norm": float(np.linalg.norm(change.after - change.before))}


def recorder(task, name="lora", metrics=None, rows=512, weights=True, domains=None, **fields):
    metrics = {"norms": Norms()} if metrics is None else metrics
    settings = EvidenceSettings(rows, weights)
    return Recorder(
        context=RowsContext(task.head, task.base, task.rows["validation"], seed=0),
        domains=domains or {},
        strategy=strategy(name, **fields),
        metrics=metrics,
        settings=settings,
        precision="32-true",
        batch_size=8,
    )


def run(task, found, name="lora", **fields):
    model, outcome = adapt(task, strategy(name, **fields), OptimizerSettings(), TrainingHooks(watch=found))
    if found is not None:
        found.after(model, task.head)
    return outcome


@pytest.mark.parametrize("name", ["lora", "full", "linear_probe", "gradual_unfreezing"])
def test_a_training_that_is_looked_at_gives_what_one_alone_gives(tiny_base, name):
    alone = run(prepare(tiny_base), None, name)
    seen = run(task := prepare(tiny_base), recorder(task, name), name)
    assert (seen.predictions, seen.validation, seen.curve) == (
        alone.predictions,
        alone.validation,
        alone.curve,
    )


@pytest.mark.parametrize(("name", "passes"), [("linear_probe", 1), ("last_layers", 2)])
def test_blocks_that_stayed_are_looked_at_once(tiny_base, monkeypatch, name, passes):
    looked = []

    def counted(*given):
        looked.append(given)
        return layer_features(*given)

    monkeypatch.setattr("tlplug.evaluation.recorder.layer_features", counted)
    task = prepare(tiny_base)
    found = recorder(task, name)
    model, _ = adapt(task, strategy(name), OptimizerSettings(), TrainingHooks(watch=found))
    once = len(looked)
    found.after(model, task.head)
    assert len(looked) == passes * once > 0
    batch = task.head.collate(found.probes[0].features(task.head, tiny_base), tiny_base)
    with torch.no_grad():
        again = layer_features(model.eval(), task.head, tiny_base, [batch])
    np.testing.assert_allclose(found.evidence()["features/after"], again, rtol=1e-4, atol=1e-5)


def test_before_is_the_bare_base_model_and_after_the_adapted_one(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task, "full")
    run(task, found, "full")
    bare = task.head.load_model(tiny_base, LoadOptions()).eval()
    evidence = found.evidence()
    texts = [{"id": row["id"], "text": row["text"]} for row in task.rows["validation"]]
    encoded = task.head.encode(texts, tiny_base, False)
    with torch.no_grad():
        expected = layer_features(bare, task.head, tiny_base, [task.head.collate(encoded, tiny_base)])
    np.testing.assert_allclose(evidence["features/before"], expected, rtol=1e-4, atol=1e-5)
    assert np.abs(evidence["features/after"] - expected).max() > 1e-4
    assert evidence["features/before"].shape == (3, 8, 64)
    np.testing.assert_array_equal(
        evidence["classes"], [task.head.labels.index(row["label"]) for row in task.rows["validation"]]
    )


def test_metrics_have_their_own_rows_and_their_numbers_of_each_matrix(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task)
    run(task, found)
    evidence = found.evidence()
    assert evidence["features/after/norms/loud"].shape == (3, 3, 64)
    assert [p["id"] for p in evidence["predictions/after/norms/loud"]] == [0, 1, 2]
    assert "predictions/before/norms/loud" not in evidence
    assert "have to be trained first" in evidence["reasons"]["predictions/before/norms/loud"]
    weights = evidence["weights/norms"]
    assert len(weights) == 13 and all(value["norm"] >= 0 for value in weights.values())
    assert weights["bert.encoder.layer.1.output.dense.weight"]["layer"] == 2


def test_weights_that_do_not_move_are_a_reason(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task, "linear_probe")
    run(task, found, "linear_probe")
    assert (
        found.evidence()["reasons"]["weights/norms"]
        == "no matrix of the base model moved whose change could be told"
    )


def test_from_random_weights_there_is_nothing_before(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task, "scratch")
    run(task, found, "scratch")
    evidence = found.evidence()
    assert "features/before" not in evidence and "features/after" in evidence
    assert "random weights" in evidence["reasons"]["features/before"]


def test_nothing_is_recorded_where_nothing_is_asked_for(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task, rows=0, weights=False)
    run(task, found)
    assert set(found.evidence()) == {"reasons", "recording_config"}


class Breaks(Norms):
    def weight_change(self, change):
        raise KeyError("nothing there")


def test_what_cannot_be_recorded_costs_a_reason_and_not_the_run(tiny_base, monkeypatch):
    task = prepare(tiny_base)
    found = recorder(task, metrics={"breaks": Breaks()})
    monkeypatch.setattr("tlplug.evaluation.recorder.layer_features", lambda *given: 1 / 0)
    assert run(task, found).scores
    evidence = found.evidence()
    assert "ZeroDivisionError" in evidence["reasons"]["features/before"]
    assert "nothing there" in evidence["reasons"]["weights/breaks"]
    assert "features/before" not in evidence


def language_task():
    base = tiny.base("decoder")
    head = Registry().find("head", "language_modeling").load()()
    task = prepare(base)
    rows = [{"id": number, "text": row["text"]} for number, row in enumerate(make_rows(6, 3))]
    return replace(task, head=head, rows={**task.rows, "validation": rows, "test": rows}), rows


def test_a_language_model_is_looked_at_with_source_texts():
    task, rows = language_task()
    domain = Domain(rows, "text", plain=False)
    found = recorder(task, "full", domains={"source": domain})
    model = task.head.load_model(task.base, LoadOptions())
    found.before(model, torch.device("cpu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    found.after(model, task.head)
    evidence = found.evidence()
    before, after = evidence["nll/before/source"], evidence["nll/after/source"]
    assert before.shape == (6, 2) and np.array_equal(before[:, 1], after[:, 1])
    assert not np.allclose(before[:, 0], after[:, 0])
    # The head's own score of the same texts is the perplexity of the same tokens.
    perplexity = np.exp(before[:, 0].sum() / before[:, 1].sum())
    assert evidence["scores/before/source"]["perplexity"] == pytest.approx(perplexity, rel=0.05)
    assert model.training, "it is given back as it came"


def test_plain_texts_go_past_the_head(tiny_base):
    task = prepare(tiny_base)
    texts = [{"id": 0, "words": "a good film"}, {"id": 1, "words": "a bad film"}]
    domain = Domain(texts, "words", plain=True)
    found = recorder(task, domains={"source": domain})
    run(task, found)
    evidence = found.evidence()
    bare = task.head.load_model(tiny_base, LoadOptions()).eval()
    rows = [{"id": 0, "text": "a good film"}, {"id": 1, "text": "a bad film"}]
    from tlplug.evaluation.layer_features import layer_features

    with torch.no_grad():
        batch = task.head.collate(task.head.encode(rows, tiny_base, False), tiny_base)
        expected = layer_features(bare, task.head, tiny_base, [batch])
    np.testing.assert_allclose(evidence["features/before/source"], expected, rtol=1e-4, atol=1e-5)
    assert "classes/source" not in evidence
    assert "left to right" in evidence["reasons"]["nll/before/source"]


def test_looking_leaves_modes_and_chance_as_they_were(tiny_base):
    model = prepare(tiny_base).head.load_model(tiny_base, LoadOptions())
    model.bert.encoder.eval()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with evaluation_mode(model, torch.device("cpu"), "32-true"):
        assert not any(module.training for module in model.modules()) and not torch.is_grad_enabled()
        torch.rand(7)
    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == modes


def test_a_sample_of_rows_is_the_same_each_time_and_keeps_their_order():
    rows = [{"id": number} for number in range(100)]
    chosen = [row["id"] for row in sample_rows(rows, 10, 0)]
    assert chosen == sorted(chosen) == [row["id"] for row in sample_rows(rows, 10, 0)]
    assert chosen != [row["id"] for row in sample_rows(rows, 10, 1)] and max(chosen) > 50
    assert sample_rows(rows, 100, 0) == rows


def test_classes_are_numbered_by_the_labels_or_by_their_own(tiny_base):
    head = prepare(tiny_base).head
    rows = [{"id": 0, "label": "positive"}, {"id": 1, "label": "negative"}]
    assert class_indices(rows, head).tolist() == [1, 0]
    assert class_indices([{"id": 0, "label": "x"}, {"id": 1, "label": "b"}], head).tolist() == [1, 0]
    assert class_indices([{"id": 0}, *rows], head) is None


def test_the_curve_counts_examples_and_is_the_baselines_too(tiny_base):
    task = prepare(tiny_base, trainer=replace(QUICK, max_epochs=3))
    outcome, other = run(task, None), run(task, None, "scratch")
    assert [seen for seen, _ in outcome.curve] == [24, 48, 72] == [seen for seen, _ in other.curve]
    assert outcome.curve[-1][1] == outcome.validation["accuracy"]


class Nothing(TransferMetric):
    requires = frozenset({"predictions/after/nothing"})

    def extra_rows(self, context):
        raise NotMeasured("no row speaks of it")


def test_a_metric_that_finds_no_rows_says_why(tiny_base):
    task = prepare(tiny_base)
    found = recorder(task, metrics={"nothing": Nothing()})
    assert found.evidence()["reasons"] == {"predictions/after/nothing": "no row speaks of it"}
    assert measure({"nothing": Nothing()}, found.evidence()) == {
        "nothing": {"not_measured": "no row speaks of it"}
    }


class Asks(TransferMetric):
    requires = frozenset({"source_probabilities"})


def test_a_classifier_of_the_base_model_s_own_is_heard_where_a_metric_asks(tiny_base, tmp_path):
    task = prepare(tiny_base)
    run(task, found := recorder(task, metrics={"asks": Asks()}))
    assert "came without a classifier" in found.evidence()["reasons"]["source_probabilities"]

    from transformers import AutoModelForSequenceClassification

    from tlplug.models.base_model import find_base
    from tlplug.settings import ModelSettings

    model = AutoModelForSequenceClassification.from_pretrained(tiny_base.path, num_labels=3).eval()
    model.save_pretrained(tmp_path)
    tiny_base.tokenizer.save_pretrained(tmp_path)
    task = prepare(find_base(ModelSettings(source=str(tmp_path)), 64))
    own = recorder(task, metrics={"asks": Asks()})
    own._own_classifier(torch.device("cpu"))
    probabilities = own.evidence()["source_probabilities"]
    row = task.rows["validation"][3]
    tokens = tiny_base.tokenizer(row["text"], return_tensors="pt")
    with torch.no_grad():
        expected = model(**tokens).logits.double().softmax(-1)[0]
    np.testing.assert_allclose(probabilities[3], expected, atol=1e-5)
    silent = recorder(task)
    silent._own_classifier(torch.device("cpu"))
    assert "source_probabilities" not in silent.evidence()
