"""`metrics RUN`: more metrics of a finished run, from what it recorded or from its model."""

import json
import shutil

import numpy as np
import pytest

from tests.cli.runs import CLOSED, main, result_of, tiny_words
from tlplug.evaluation import evidence
from tlplug.runs import finished_metrics as room

STRATEGIES = ("lora", "full", "qlora")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_folder, rows_folder):
    """A finished run of each strategy."""
    folder = tmp_path_factory.mktemp("runs")
    for strategy in STRATEGIES:
        words = [*tiny_words(tiny_folder, rows_folder, strategy), "transfer.baselines=[trivial]"]
        rate = "optimizer.learning_rate=3e-3"
        assert main([*words, "trainer.max_epochs=2", rate, f"run_dir={folder / strategy}"]) == 0
    return folder


@pytest.fixture
def run(runs, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(runs / "lora", tmp_path / "run")


def test_metrics_of_recorded_evidence_need_no_model(run, monkeypatch, capsys):
    monkeypatch.setattr(room, "record", lambda *given: pytest.fail("the model was loaded"))
    before = result_of(run)
    assert main(["metrics", str(run), "metric=[logme,knn]", "metric.knn.k=3"]) == 0
    after = result_of(run)
    assert set(after["metrics"]) == {*before["metrics"], "logme", "knn"}
    assert {name: after["metrics"][name] for name in before["metrics"]} == before["metrics"]
    assert after["metrics"]["knn"]["before"] <= 1 and "before/layer/2" in after["metrics"]["logme"]
    assert "logme" in (run / "report.html").read_text()
    shown = capsys.readouterr().out
    assert "before/mean" in shown and f"{after['metrics']['knn']['before']:.4g}" in shown


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_recorded_later_is_what_the_run_recorded(runs, tmp_path, strategy):
    run = shutil.copytree(runs / strategy, tmp_path / "run")
    first, known = result_of(run)["metrics"], evidence.read(run / "evidence")
    lacking = {name: value for name, value in known.items() if not name.startswith(("features", "weights"))}
    room.put_in_place(lacking, run / "evidence")
    assert main(["metrics", str(run), "metric=[cka,weight_drift]"]) == 0
    again = evidence.read(run / "evidence")
    # What was saved of a 4-bit model is packed anew when it is loaded.
    close = 5e-2 if strategy == "qlora" else 1e-4
    for stage in ("before", "after"):
        np.testing.assert_allclose(again[f"features/{stage}"], known[f"features/{stage}"], atol=close)
    for name in ("cka", "weight_drift"):
        found = result_of(run)["metrics"][name]
        assert set(found) == set(first[name])
        for key, value in first[name].items():
            if not isinstance(value, float):
                assert found[key] == value
                continue
            assert found[key] == pytest.approx(value, rel=0.05 if strategy == "qlora" else 1e-2, abs=1e-3)


def test_other_rows_are_looked_at_with_the_model(run):
    words = ["metric=[retention,proxy_a_distance]", "transfer.source_domain=topic"]
    assert main(["metrics", str(run), *words]) == 0
    metrics = result_of(run)["metrics"]
    assert 0 <= metrics["retention"]["probe/before"] <= 1
    assert 0 <= metrics["proxy_a_distance"]["source"] <= 2
    assert "features/after/source" in evidence.read(run / "evidence")


def test_nothing_of_rows_that_were_looked_at_before_stays_beside_others(run, tmp_path):
    words = ["metrics", str(run), "metric=[retention,coral_distance]"]
    assert main([*words, "transfer.source_domain=topic"]) == 0
    first = result_of(run)["metrics"]
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"A line of number {number}.\n" for number in range(60)))
    assert main(["metrics", str(run), "metric=[cka]", f"transfer.source_domain={texts}"]) == 0
    metrics = result_of(run)["metrics"]
    assert "no single class" in metrics["retention"]["not_measured"]
    assert metrics["coral_distance"]["source"] != first["coral_distance"]["source"]
    assert "classes/source" not in evidence.read(run / "evidence")


def test_fields_that_decide_what_is_recorded_are_heard_later(run):
    before = result_of(run)["metrics"]["weight_drift"]["intruder_dimensions"]
    assert main(["metrics", str(run), "metric=[weight_drift]", "metric.weight_drift.epsilon=0.999"]) == 0
    assert result_of(run)["metrics"]["weight_drift"]["intruder_dimensions"] > before


def test_a_metric_with_rows_of_its_own_is_measured_later(run):
    pairs = "metric.counterfactual_gap.pairs=[[warm,leaden],[tender,clumsy],[bright,flat]]"
    assert main(["metrics", str(run), "metric=[counterfactual_gap]", pairs]) == 0
    found = result_of(run)["metrics"]["counterfactual_gap"]
    assert found["pairs"] > 0 and 0 <= found["flip_rate"] <= 1
    assert "have to be trained first" in found["gap/before"]["not_measured"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say which metrics"),
        (["metric=[]"], "say which metrics"),
        (["metric=[logmee]"], "Did you mean 'logme'?"),
        (["metric=[knn]", "metric.knn.kk=3"], "'metric.knn.kk=3'"),
        (["metric=[knn]", "metric.knn.k=many"], "'metric.knn.k=many'"),
        (["metric=[knn]", "metric.cka.k=3"], "'metric.cka.k=3'"),
        (["metric=[knn]", "metric.knn.k=0"], "k is 0"),
        (["metric=[knn]", "strategy.r=3"], "only data.*, transfer.*, evidence.* can be changed"),
        (["metric=[knn]", "transfer.sorce=topic"], "transfer.sorce"),
        (
            ["metric=[knn]", "transfer.source_domain=nothing.jsonl"],
            "transfer.source_domain.path=nothing.jsonl",
        ),
        (["metric=[knn]", "--tru"], "--trust"),
    ],
)
def test_wrong_words_get_one_clear_error_and_change_nothing(run, words, says, capsys):
    before = (run / "result.json").read_bytes()
    assert main(["metrics", str(run), *words]) == 2
    told = capsys.readouterr().err
    assert says in told and "Traceback" not in told
    assert (run / "result.json").read_bytes() == before


def test_a_run_that_is_not_there_or_did_not_finish_is_said(run, tmp_path, capsys):
    assert main(["metrics", str(tmp_path / "nowhere"), "metric=[cka]"]) == 2
    assert "there is no run directory" in capsys.readouterr().err
    (run / "result.json").unlink()
    assert main(["metrics", str(run), "metric=[cka]"]) == 2
    assert "did not finish" in capsys.readouterr().err
    (run / "evidence" / "index.json").write_text(json.dumps({"version": 9, "entries": {}}))
    (run / "result.json").write_text("{}")
    assert main(["metrics", str(run), "metric=[cka]"]) == 2
    assert "evidence version 9" in capsys.readouterr().err


def test_what_was_named_before_holds_for_the_next_one(run, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"A line of number {number}.\n" for number in range(60)))
    assert main(["metrics", str(run), "metric=[coral_distance]", f"transfer.source_domain={texts}"]) == 0
    assert main(["metrics", str(run), "metric=[knn]", "metric.knn.k=3"]) == 0
    first = result_of(run)
    assert first["source_domain"] == str(texts)
    pairs = "metric.counterfactual_gap.pairs=[[warm,leaden]]"
    assert main(["metrics", str(run), "metric=[counterfactual_gap]", pairs]) == 0
    again = evidence.read(run / "evidence")
    assert again["features/after/source"].shape[1] == 60, "the source is still that of the line before"
    assert main(["metrics", str(run), "metric=[cka]", "evidence.max_rows=12"]) == 0
    last = result_of(run)
    assert last["metric_config"]["knn"] == {"k": 3} and last["source_domain"] == str(texts)
    assert "metrics_overrides" in last
    CLOSED.validate(last)
    assert evidence.read(run / "evidence")["features/after"].shape[1] == 12
    assert {"knn", "coral_distance", "counterfactual_gap"} <= set(last["metrics"])


def test_a_source_of_its_own_leaves_nothing_of_a_preset_s(run, tmp_path):
    assert (
        main(["metrics", str(run), "metric=[coral_distance]", "transfer.source_domain=product_sentiment"])
        == 0
    )
    texts = tmp_path / "texts.txt"
    texts.write_text("A line.\nAnother line.\nA third.\n")
    assert main(["metrics", str(run), "metric=[coral_distance]", f"transfer.source_domain={texts}"]) == 0
    assert evidence.read(run / "evidence")["features/after/source"].shape[1] == 3


def test_what_failed_is_tried_again(run):
    found = evidence.read(run / "evidence")
    reasons = {**found["reasons"], "features/after": "it could not be recorded: OutOfMemoryError: no room"}
    lacking = {name: value for name, value in found.items() if name != "features/after"}
    room.put_in_place({**lacking, "reasons": reasons}, run / "evidence")
    assert main(["metrics", str(run), "metric=[cka]"]) == 0
    assert result_of(run)["metrics"]["cka"]["mean"] <= 1.0 + 1e-9
    assert "features/after" not in evidence.read(run / "evidence")["reasons"]


def test_evidence_that_was_cut_off_in_its_change_of_places_is_put_back(run):
    (run / "evidence").rename(run / ".evidence.2026-1.old")
    assert main(["metrics", str(run), "metric=[logme]"]) == 0
    assert (run / "evidence" / "index.json").is_file()
