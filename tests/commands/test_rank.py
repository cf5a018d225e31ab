"""A ranking's arithmetic, what it sees of a model and what it keeps of it."""

import json
from dataclasses import replace
from html import unescape
from itertools import combinations
from math import sqrt
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import make_rows, make_tokenizer
from tlplug import NotMeasured, TransferMetric
from tlplug.commands.rank import features as looking
from tlplug.commands.rank import model_scores as judging
from tlplug.commands.rank.candidates import Candidate, Shown, titles
from tlplug.commands.rank.consensus import agreement, chosen, consensus, ranks
from tlplug.commands.rank.features import features_key, look
from tlplug.commands.rank.model_scores import Judged, judged
from tlplug.commands.rank.page import make_report
from tlplug.commands.rank.ranking import Ranking
from tlplug.commands.rank.result import make_ranking
from tlplug.commands.rank.summary import sentences
from tlplug.commands.rank.table import parameters_told, rank_told
from tlplug.commands.rank.verify import Verified, how_good
from tlplug.evaluation.probabilities import source_probabilities, why_no_classifier
from tlplug.interfaces import Outcome
from tlplug.interfaces.registry import Registry
from tlplug.models.base_model import find_base
from tlplug.reports import html, markdown
from tlplug.reports.blocks import Cell
from tlplug.runtime import cache
from tlplug.settings import ModelSettings, TrainerSettings

# Ranks


def test_equal_values_share_the_mean_of_their_ranks():
    assert ranks([0.7, 0.9, 0.7, 0.1]) == [2.5, 1.0, 2.5, 4.0]
    assert ranks([0.7, 0.9, 0.7, 0.1], higher_is_better=False) == [2.5, 4.0, 2.5, 1.0]


values = st.lists(st.integers(-3, 3), min_size=2, max_size=7)


@given(values)
@settings(max_examples=60)
def test_a_rank_counts_who_is_better(drawn):
    expected = [
        1 + sum(other > one for other in drawn) + (sum(other == one for other in drawn) - 1) / 2
        for one in drawn
    ]
    assert ranks(drawn) == expected
    assert ranks(np.exp(drawn)) == expected, "only the order counts"


def test_the_consensus_is_the_mean_rank_over_what_was_measured_for_all():
    found = consensus(
        {"a": [3.0, 2.0, 1.0], "b": [0.1, 0.3, 0.2], "loss": [5.0, 1.0, 9.0], "part": [1.0, None, 9.0]},
        {"a": True, "b": True, "loss": False, "part": True},
    )
    assert list(found.by_metric) == ["a", "b", "loss"]
    # a: 1 2 3, b: 3 1 2, loss: 2 1 3
    assert found.mean_ranks == pytest.approx([2.0, 4 / 3, 8 / 3]) and found.ranks == [2.0, 1.0, 3.0]


def test_equal_mean_ranks_are_equal_whatever_metric_they_come_of():
    found = consensus(
        dict(zip("abc", [[3, 2, 1], [2, 3, 1], [1, 1, 1]], strict=True)),
        dict.fromkeys("abc", True),
    )
    assert found.ranks == [1.5, 1.5, 3.0]


def test_without_a_metric_for_all_there_is_no_order():
    found = consensus({"a": [None, 1.0], "b": [None, None]}, {"a": True, "b": True})
    assert found.by_metric == {} and found.mean_ranks is None and found.ranks is None


def test_the_first_and_the_smallest_are_verified():
    parameters = [50, 10, 30, 10, 40]
    order = [4, 2, 3, 0, 1]
    assert chosen(order, parameters, 2) == [4, 2, 3], "of the two smallest the one that is ranked higher"
    assert chosen(order, parameters, 3) == [4, 2, 3]
    assert chosen(order, parameters, 99) == order


# How good a ranking was


def tau_b(first, second):
    """By its definition, over all pairs."""
    sign = np.sign
    pairs = [
        (sign(a - c), sign(b - d)) for (a, b), (c, d) in combinations(zip(first, second, strict=True), 2)
    ]
    norm = sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))
    return sum(a * b for a, b in pairs) / norm


@given(st.data(), st.integers(3, 7), st.booleans())
@settings(max_examples=60)
def test_tau_and_regret_are_those_of_their_definitions(data, count, higher):
    drawn = st.lists(st.integers(0, 4), min_size=count, max_size=count)
    ranked, scores = ranks(data.draw(drawn)), [value / 4 for value in data.draw(drawn)]
    found = agreement(ranked, scores, higher)
    signed = scores if higher else [-score for score in scores]
    first = [score for score, rank in zip(signed, ranked, strict=True) if rank == min(ranked)]
    assert found["regret"] == pytest.approx(max(signed) - sum(first) / len(first))
    if len(set(ranked)) > 1 and len(set(scores)) > 1:
        assert found["tau"] == pytest.approx(tau_b([-rank for rank in ranked], signed))
    else:
        assert found["tau"] is None and found["tau_missing_reason"]


def test_a_perfect_ranking_and_its_opposite():
    assert agreement([1, 2, 3], [0.9, 0.8, 0.7])["tau"] == pytest.approx(1.0)
    worst = agreement([3, 2, 1], [0.9, 0.8, 0.7])
    assert worst["tau"] == pytest.approx(-1.0) and worst["regret"] == pytest.approx(0.2)
    assert agreement([1, 2, 3], [4.0, 5.0, 6.0], higher_is_better=False)["tau"] == pytest.approx(1.0)


def test_of_fewer_than_three_models_there_is_no_tau_and_it_says_why():
    found = agreement([1, 2], [0.5, 0.8])
    assert found["tau"] is None and "2 models are too few" in found["tau_missing_reason"]
    assert found["regret"] == pytest.approx(0.3)


def test_a_model_that_could_not_be_trained_does_not_count():
    def outcome(score):
        return Outcome([], {"accuracy": score}, [score])

    found = how_good(
        [Verified("a", outcome(0.7)), Verified("b", error="boom"), Verified("c", outcome(0.9))],
        "accuracy",
        True,
        {"a": 1.0, "b": 2.0, "c": 3.0}.get,
        {"a": 3.0, "b": 2.0, "c": 1.0}.__getitem__,
    )
    assert found["best"] == "c"
    assert (found["ranking"]["regret"], found["size"]["regret"]) == pytest.approx((0.2, 0.0))
    assert how_good([Verified("b", error="boom")], "accuracy", True, {}.get, {}.get)["best"] is None


# Models


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """A function: a number of labels -> a tiny BERT that came with a classifier of so many."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    def make(labels):
        folder, tokenizer = tmp_path_factory.mktemp("tiny-classifier"), make_tokenizer()
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, num_labels=labels, **sizes)
        with torch.random.fork_rng():
            torch.manual_seed(5)
            BertForSequenceClassification(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return find_base(ModelSettings(source=str(folder)))

    return make


@pytest.fixture(scope="session")
def classifier_base(classifier):
    return classifier(2)


def metric(name, **fields):
    cls = Registry().find("metric", name).load()
    return cls(cls.Config(**fields))


def candidate(base, **trainer):
    job = SimpleNamespace(trainer=TrainerSettings(accelerator="cpu", **trainer))
    return Candidate("it", "it", job, base)


def shown(count=20, seed=0):
    head = Registry().find("head", "classification").load()().with_state({"labels": ["negative", "positive"]})
    rows = make_rows(count, seed)
    return Shown(head, rows, np.array([head.labels.index(row["label"]) for row in rows]))


def silent(count):
    pass


def test_features_are_means_of_the_hidden_states_of_the_bare_model(tiny_base):
    import torch
    from transformers import AutoModel

    given_rows, told = shown(70), []
    found = look(candidate(tiny_base, precision="32-true"), given_rows, told.append)
    model = AutoModel.from_pretrained(tiny_base.path).eval()
    features = found.arrays()["features"]
    for index in (0, 1, 33, 69):
        inputs = tiny_base.tokenizer(given_rows.rows[index]["text"], return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        expected = np.stack([state[0].mean(0).numpy() for state in states])
        np.testing.assert_allclose(features[:, index], expected, atol=2e-6)
    assert features.shape == (3, 70, 64) and features.dtype == np.float32 and sum(told) == 70
    bare = sum(p.numel() for p in model.parameters())
    assert (found.parameters, found.layers) == (bare, 2), "the head that is put on it is not counted"
    assert "came without a classifier" in found.reason


@pytest.mark.parametrize("labels", [2, 3])
def test_the_classifier_s_probabilities_are_those_of_each_row_alone(classifier, labels):
    import torch
    from transformers import AutoModelForSequenceClassification

    base, given_rows = classifier(labels), shown(9)
    features = given_rows.head.encode(given_rows.rows, base, False)
    batches = [given_rows.head.collate(some, base) for some in (features[:4], features[4:])]
    found = source_probabilities(given_rows.head, base, batches, torch.device("cpu"))
    model = AutoModelForSequenceClassification.from_pretrained(base.path).eval()
    assert found.shape == (9, labels) and found.dtype == np.float64
    for row, each in zip(given_rows.rows, found, strict=True):
        with torch.no_grad():
            logits = model(**base.tokenizer(row["text"], return_tensors="pt")).logits
        np.testing.assert_allclose(each, logits[0].softmax(-1).numpy(), atol=1e-6)


def test_what_is_kept_of_the_classifier_is_in_the_order_of_the_rows(classifier_base):
    import torch

    given_rows = shown(70)
    features = given_rows.head.encode(given_rows.rows, classifier_base, False)
    batch = given_rows.head.collate(features, classifier_base)
    expected = source_probabilities(given_rows.head, classifier_base, [batch], torch.device("cpu"))
    found = look(candidate(classifier_base), given_rows, silent)
    np.testing.assert_allclose(found.arrays()["source_probabilities"], expected, atol=1e-6)
    assert found.reason == ""


def changed(base, **settings):
    import copy

    config = copy.deepcopy(base.config)
    for name, value in settings.items():
        setattr(config, name, value)
    return replace(base, config=config)


def test_no_classifier_says_why(tiny_base, classifier_base):
    assert why_no_classifier(classifier_base) is None
    assert "came without a classifier" in why_no_classifier(tiny_base)
    assert "came without" in why_no_classifier(changed(tiny_base, architectures=None))
    for problem in ("regression", "multi_label_classification"):
        assert "exclude each other" in why_no_classifier(changed(classifier_base, problem_type=problem))
    one = changed(classifier_base, id2label={0: "score"}, label2id={"score": 0})
    assert "exclude each other" in why_no_classifier(one)


def test_a_classifier_without_weights_is_not_asked(tiny_base):
    import torch

    named = changed(tiny_base, architectures=["BertForSequenceClassification"])
    with pytest.raises(ValueError, match="its files have no classifier"):
        source_probabilities(shown().head, named, [], torch.device("cpu"))
    found = look(candidate(named), shown(), silent)
    assert "its files have no classifier" in found.reason and "source_probabilities" not in found.arrays()


def test_asking_the_classifier_leaves_chance_as_it_was(tiny_base):
    """Weights that are drawn are those of a classifier that the files lack."""
    import torch

    named = changed(tiny_base, architectures=["BertForSequenceClassification"])
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    with pytest.raises(ValueError, match="have no classifier"):
        source_probabilities(shown().head, named, [], torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)


def test_a_block_that_the_files_lack_is_an_error_and_no_random_features(tiny_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    for file in tiny_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    left = {name: value for name, value in weights.items() if "layer.1.attention" not in name}
    save_file(left, tmp_path / "model.safetensors", {"format": "pt"})
    base = find_base(ModelSettings(source=str(tmp_path)))
    found = judged(candidate(base), shown(), {"logme": metric("logme")}, silent)
    assert "its files have no bert.encoder.layer.1.attention" in found.error


# What is kept


@pytest.fixture
def loads(monkeypatch):
    """Counts the models that are loaded."""
    seen, original = [], looking.computed
    monkeypatch.setattr(looking, "computed", lambda *args: seen.append(args[0].name) or original(*args))
    return seen


def test_the_second_look_loads_nothing_and_is_the_same(tiny_base, loads):
    first = look(candidate(tiny_base), shown(), silent)
    again = look(candidate(tiny_base), shown(), silent)
    assert loads == ["it"] and (first.kept, again.kept) == (False, True)
    np.testing.assert_array_equal(again.arrays()["features"], first.arrays()["features"])
    assert (again.parameters, again.layers, again.reason) == (first.parameters, first.layers, first.reason)


def test_the_key_changes_with_each_thing_that_determines_the_features(tiny_base):
    import torch

    cpu = torch.device("cpu")

    def key(base=tiny_base, rows=None, device=cpu, precision="32-true"):
        return features_key(candidate(base), rows or shown(), device, precision)

    keys = [
        key(),
        key(replace(tiny_base, fingerprint="others")),
        key(replace(tiny_base, dtype="bfloat16")),
        key(replace(tiny_base, attention="eager")),
        key(replace(tiny_base, max_length=8)),
        key(rows=shown(19)),
        key(rows=shown(seed=1)),
        key(device=torch.device("meta")),
        key(precision="bf16-mixed"),
    ]
    assert len(set(keys)) == len(keys) and key() == keys[0]


def test_a_damaged_file_is_made_again_and_said(tiny_base, loads, caplog):
    found = look(candidate(tiny_base), shown(), silent)
    path = cache.cache_folder() / looking.KIND / f"{found.key}.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    again = look(candidate(tiny_base), shown(), silent)
    assert loads == ["it", "it"] and "is damaged" in caplog.text and not again.kept
    np.testing.assert_array_equal(again.arrays()["features"], found.arrays()["features"])


def test_a_cache_that_cannot_be_written_to_costs_no_ranking(tiny_base, caplog):
    cache.cache_folder().mkdir(exist_ok=True)
    (cache.cache_folder() / looking.KIND).write_text("a file where the folder should be")
    found = look(candidate(tiny_base), shown(), silent)
    assert found.arrays()["features"].shape[1] == 20 and "cannot be written" in caplog.text


def test_a_further_metric_costs_only_itself(tiny_base, loads, monkeypatch):
    first = judged(candidate(tiny_base), shown(), {"logme": metric("logme")}, silent)
    measured, original = [], judging.measure_one
    monkeypatch.setattr(
        judging, "measure_one", lambda name, *args: measured.append(name) or original(name, *args)
    )
    both = {"logme": metric("logme"), "knn": metric("knn")}
    again = judged(candidate(tiny_base), shown(), both, silent)
    assert loads == ["it"] and measured == ["knn"] and again.metrics["logme"] == first.metrics["logme"]
    judged(candidate(tiny_base), shown(), {"h_score": metric("h_score", shrinkage=False)}, silent)
    judged(candidate(tiny_base), shown(), {"h_score": metric("h_score")}, silent)
    assert measured == ["knn", "h_score", "h_score"], "another field is another metric"


class Fails(TransferMetric):
    """Fails once."""

    contract = 1
    requires = frozenset({"features/before"})
    higher_is_better = True
    calls = 0

    def measure(self, evidence):
        Fails.calls += 1
        if Fails.calls == 1:
            raise RuntimeError("no luck")
        return {"before": 1.0}


def test_a_failure_of_a_metric_is_not_kept(tiny_base):
    found = [judged(candidate(tiny_base), shown(), {"fails": Fails()}, silent) for _ in range(2)]
    assert "no luck" in found[0].why_not("fails") and found[0].value("fails") is None
    assert found[0].error is None and found[1].value("fails") == 1.0


def test_values_are_those_of_the_formulas_on_the_features(tiny_base, classifier_base):
    """The metrics are plugins; called through the contract they give what their functions give."""
    from tlplug_plugins.metrics.leep import leep
    from tlplug_plugins.metrics.logme import logme

    every = {name: metric(name) for name in ("logme", "leep")}
    for base in (tiny_base, classifier_base):
        arrays = look(candidate(base), shown(), silent).arrays()
        found = judged(candidate(base), shown(), every, silent)
        layers = [logme(features, shown().classes) for features in arrays["features"]]
        assert found.value("logme") == pytest.approx(layers[-1])
        assert found.by_layer("logme") == pytest.approx(dict(enumerate(layers)))
        assert found.metrics["logme"]["before/mean"] == pytest.approx(np.mean(layers))
        if base is classifier_base:
            assert found.value("leep") == pytest.approx(leep(arrays["source_probabilities"], shown().classes))
        else:
            assert "came without a classifier" in found.why_not("leep")


# The order and its words


def model(name, parameters=10, error=None, **found):
    metrics = {
        name: {"before": value} if isinstance(value, float) else {"not_measured": value}
        for name, value in found.items()
    }
    return Judged(candidate_named(name), metrics, parameters, 2, error=error)


def candidate_named(name):
    return Candidate(name, name, None, SimpleNamespace(source=name))


def ranking(*models, metrics=("a", "b")):
    return Ranking(models, {name: SimpleNamespace(higher_is_better=True) for name in metrics})


def told(found, verified=None):
    return " ".join(sentences(found, verified, 100))


def test_a_model_that_failed_has_no_rank_and_stops_no_metric_from_counting():
    found = ranking(model("x", a=1.0, b=2.0), model("broken", error="boom"), model("y", a=2.0, b=3.0))
    assert found.ranks == {"x": 2.0, "y": 1.0} and [m.candidate.name for m in found.order] == ["y", "x"]


def test_a_metric_of_some_models_only_is_shown_and_not_counted():
    found = ranking(model("x", a=1.0, b=9.0), model("y", a=2.0, b="it came without a classifier"))
    assert found.ranks == {"x": 2.0, "y": 1.0}
    assert found.excluded == {"b": "measured for 1 of 2 models"}
    assert "y is ranked first of 2: mean rank 1.0 over a" in told(found)
    assert "b is not counted: measured for 1 of 2 models" in told(found)


def test_of_equal_models_the_smaller_stands_first():
    found = ranking(model("large", 30, a=1.0, b=2.0), model("small", 20, a=2.0, b=1.0))
    assert [m.candidate.name for m in found.order] == ["small", "large"]
    assert "small and large are ranked first of 2" in told(found)
    assert "By size alone it would be large." in told(found)


def test_where_no_metric_counts_size_orders_them_and_it_is_said():
    found = ranking(model("x", 10, a="none", b=1.0), model("y", 20, a=1.0, b="none"))
    assert [m.candidate.name for m in found.order] == ["y", "x"] and found.ranks == {}
    assert "ordered by size alone" in told(found)
    assert "No model could be looked at" in told(ranking(model("x", error="boom"), model("y", error="boom")))


def test_the_direction_of_a_metric_counts():
    found = Ranking([model("x", a=1.0), model("y", a=2.0)], {"a": SimpleNamespace(higher_is_better=False)})
    assert found.ranks == {"x": 1.0, "y": 2.0}


def test_the_best_layer_is_by_the_first_metric_that_knows_layers():
    layers = {
        "knn": {"before": 0.5, "before/layer/0": 0.5, "before/layer/1": 0.9, "before/layer/2": 0.9},
        "logme": {"before": 0.1, "before/layer/0": 0.3, "before/layer/1": 0.2},
    }
    found = Judged(candidate_named("x"), layers, 10, 2)
    every = {name: SimpleNamespace(higher_is_better=True) for name in ("logme", "knn")}
    assert found.best_layer(every) == {"layer": 0, "metric": "logme", "value": 0.3}
    assert found.best_layer({"knn": every["knn"]})["layer"] == 1, "of equal layers the lowest"
    lower = {"knn": SimpleNamespace(higher_is_better=False)}
    assert found.best_layer(lower)["layer"] == 0
    assert model("x", a=1.0).best_layer({"a": every["knn"]}) is None


def test_verifying_is_said_with_its_figures_and_the_size_ranking_s():
    found = ranking(model("x", 10, a=1.0, b=2.0), model("y", 20, a=2.0, b=3.0))
    verified = {
        "strategy": "lora",
        "seed": 3,
        "primary_score": "accuracy",
        "models": [{"error": None}] * 4,
        "ranking": {"tau": 0.667, "regret": 0.015, "tau_missing_reason": None},
        "size": {"tau": None, "regret": 0.04, "tau_missing_reason": "all have the same rank"},
    }
    text = told(found, verified)
    assert "4 were fine-tuned by lora, with seed 3." in text
    assert "Kendall's tau with accuracy: 0.67, by size none." in text
    assert "Regret at 1: 1.5 points of accuracy, by size 4.0." in text
    assert "No tau of the ranking by size: all have the same rank." in text and "fine_tune_top=3" not in text


COST = {
    **{"trainable_parameters": 10, "total_parameters": 1000, "seconds": 74.0, "peak_memory_mb": 900.0},
}


def verified(name, score, error=None):
    return Verified(name, None if error else Outcome([], {"accuracy": score}, [], COST), error=error)


def sample_ranking(*tried, models=None):
    """What is in rank.json of a small, a large and a broken model, and one without a classifier."""
    models = models or (
        model("small", 20_000_000, knn=0.75, logme=-0.51, leep=-0.6),
        model("large <b>", 130_000_000, knn=0.72, logme=-0.48, leep="it came without a classifier"),
        model("broken", error="OSError: no weights"),
        model("last", 15_000_000, knn=0.5, logme=-0.7, leep=-0.9),
    )
    metrics = {
        "knn": SimpleNamespace(higher_is_better=True),
        **{name: SimpleNamespace(higher_is_better=name != "leep") for name in ("logme", "leep")},
    }
    head = SimpleNamespace(
        **{"primary_score": "accuracy", "higher_is_better": True, "display_scale": 100, "labels": ["a", "b"]}
    )
    data = SimpleNamespace(seed=7)
    first = SimpleNamespace(
        **{"task": "a <task>", "head_name": "classification", "data": data, "plugins": []},
        **{"head": head, "seed": 3},
    )
    plan = SimpleNamespace(
        first=first,
        settings=SimpleNamespace(strategy="lora"),
        command_for=lambda name: f"python -m tlplug +strategy=lora model='{name}'",
    )
    found = make_ranking(plan, Shown(head, [{}] * 320, np.zeros(320)), Ranking(models, metrics), tried)
    return json.loads(json.dumps(found))


def sections_of(result):
    return {section.name: list(section.blocks) for section in make_report(result).sections}


TRIED = [verified("small", 0.86), verified("large <b>", 0.9), verified("last", 0.0, error="boom <i>")]
ALL = (*TRIED[:2], verified("last", 0.6))


@pytest.mark.parametrize("tried", [(), TRIED, ALL], ids=["untried", "one failed", "all"])
def test_the_page_and_markdown_have_the_order_the_values_and_what_was_left_out(tried):
    found = sample_ranking(*tried)
    report = make_report(found)
    text, plain = unescape(html.page(report)), markdown.markdown(report).replace("\\", "")
    for words in (
        found["summary"],
        found["command"],
        "OSError: no weights",
        "0.750",
        "-0.480",
        "320",
        "seed 7",
    ):
        assert words in text and words in plain
    assert "leep is not counted: measured for 2 of 3 models" in text and "leep (lower is better)" in text
    assert "<task>" not in html.page(report) and "<b>" not in html.page(report).replace("<wbr>", "")
    assert ("fine_tune_top=3" in text) == (not tried)
    assert ("boom <i>" in text) == (tried is TRIED) and report.outcome == "good"


def test_the_page_s_tables_are_those_of_the_ranking():
    blocks = sections_of(sample_ranking(*ALL))
    order, values = blocks["order"][1], blocks["metrics"][2]
    assert [row[0] for row in order.rows] == ["small", "large <b>", "last"] and order.marked == 0
    assert order.rows[0] == ["small", "1.5", "1.5", "2", "20.0M", "-", "86.0"]
    assert values.heads == ["", "knn", "logme", "leep (lower is better)"]
    shaded = [[cell.words for cell in row[1:] if isinstance(cell, Cell)] for row in values.rows]
    assert shaded == [["0.750"], ["-0.480"], ["-0.900"]] and values.rows[1][3] == "-"
    _, tried, agreement, _ = blocks["verification"]
    assert tried.rows[1] == ["large <b>", "1.5", "1", "90.0", "1.0%", "74 s"] and tried.marked == 1
    assert [row[:2] for row in agreement.rows] == [["this ranking", "0.82"], ["by size alone", "1.00"]]


def test_a_ranking_of_nothing_has_a_page_with_the_errors():
    report = make_report(sample_ranking(models=(model("x", error="boom"), model("y", error="bang"))))
    assert report.outcome == "bad" and [each.name for each in report.sections] == ["excluded", "again"]
    assert "x failed: boom" in html.page(report) and "y failed: bang" in markdown.markdown(report)


def test_titles_are_short_and_of_one_model_each():
    names = ["minilm", "/data/one/model", "/data/two/model", "./mine/", "owner/name", "pkg://p/model"]
    assert titles(names, ["minilm"]) == {
        "minilm": "minilm",
        "/data/one/model": "/data/one/model",
        "/data/two/model": "/data/two/model",
        "./mine/": "mine",
        "owner/name": "owner/name",
        "pkg://p/model": "p/model",
    }


def test_figures_are_short():
    assert [parameters_told(count) for count in (999, 4_400_000, 1_340_000_000)] == ["999", "4.4M", "1.3B"]
    assert (rank_told(2.5), rank_told(3.0), rank_told(None)) == ("2.5", "3", "-")


def test_a_value_that_cannot_be_measured_is_so_in_the_figures(tiny_base):
    class One(TransferMetric):
        contract = 1
        requires = frozenset({"features/before"})

        def measure(self, evidence):
            return {"before": NotMeasured("one class"), "before/layer/0": 1.0}

    found = judged(candidate(tiny_base), shown(), {"one": One()}, silent)
    assert json.loads(json.dumps(found.metrics)) == {
        "one": {"before": {"not_measured": "one class"}, "before/layer/0": 1.0}
    }
    assert found.value("one") is None and found.why_not("one") == "one class"
