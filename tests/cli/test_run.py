"""Whole runs on a tiny base model: what they leave, repeatability, failures."""

import csv
import json
import shlex

import pytest

from tests.cli.runs import CLOSED, SCHEMA, command_line, main, result_of, run_in_process, tiny_words

RESULT = {
    *(
        "version",
        "task",
        "strategy",
        "strategy_config",
        "head",
        "base_model",
        "seed",
        "primary_score",
        "test_rows",
    ),
    *(
        "higher_is_better",
        "display_scale",
        "data",
        "source_domain",
        "scratch_baseline",
        "baseline_descriptions",
        "data_hashes",
        "command",
        "scores",
        "baselines",
        "comparisons",
    ),
    *(
        "metrics",
        "metric_facts",
        "verdict",
        "advice",
        "cost",
        "curve",
        "baseline_cost",
        "versions",
        "plugins",
    ),
}
DEFAULT_METRICS = {
    *(
        "transfer_gain",
        "learning_curve",
        "negative_transfer",
        "retention",
        "source_nll",
        "cka",
        "weight_drift",
    ),
    *("calibration", "cost"),
}


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory, tiny_folder, rows_folder):
    """One whole run through the command line's own door: its folder and what was printed."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("runs") / "run"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("TLPLUG_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert main([*tiny_words(tiny_folder, rows_folder), "trainer.max_epochs=2", f"run_dir={folder}"]) == 0
    return folder, printed.getvalue()


def test_the_run_directory_holds_what_is_promised(tiny_run):
    folder, _ = tiny_run
    found = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert found == {
        *("config.yaml", "adapter", "evidence", "predictions.jsonl", "result.json", "metrics.csv", "log.txt"),
        *("head.json", "report.html", "report.md", "run.json"),
    }
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= {
        path.name for path in (folder / "adapter").iterdir()
    }


def test_result_json_holds_what_is_promised(tiny_run):
    result = result_of(tiny_run[0])
    assert set(result) == RESULT
    assert (result["task"], result["strategy"], result["primary_score"]) == ("sentiment", "lora", "accuracy")
    assert set(result["scores"]) == {"accuracy", "macro_f1", "mcc", "calibration_error"}
    assert set(result["baselines"]) == {"trivial", "linear_probe", "scratch"}
    assert set(result["metrics"]) == DEFAULT_METRICS
    assert result["verdict"]["baseline"] == "scratch" and result["verdict"]["text"]
    assert result["cost"]["trainable_parameters"] < result["cost"]["total_parameters"]
    difference = result["scores"]["accuracy"] - result["baselines"]["scratch"]["accuracy"]
    assert result["comparisons"]["scratch"]["difference"] == pytest.approx(difference)
    assert result["metrics"]["transfer_gain"]["scratch"] == pytest.approx(difference)


def test_result_json_is_valid_by_its_schema_which_describes_every_key(tiny_run):
    result = result_of(tiny_run[0])
    CLOSED.validate(result)
    assert set(RESULT) <= set(SCHEMA["properties"])
    assert not CLOSED.is_valid({**result, "note": "a key of which the schema knows nothing"})


def test_the_command_in_the_result_does_the_run_again(tiny_run, tiny_folder, rows_folder):
    words = shlex.split(result_of(tiny_run[0])["command"])
    assert words[:3] == ["python", "-m", "tlplug"]
    assert words[3:] == [*tiny_words(tiny_folder, rows_folder), "trainer.max_epochs=2"]


def test_metrics_are_measured_of_the_run_and_of_its_baselines(tiny_run):
    result = result_of(tiny_run[0])
    metrics, curve = result["metrics"], result["curve"]
    assert [seen for seen, _ in curve["run"]] == [48, 96] == [seen for seen, _ in curve["scratch"]]
    last = curve["run"][-1][1] - curve["scratch"][-1][1]
    assert metrics["learning_curve"]["asymptotic_gain"] == pytest.approx(last)
    lost = result["baselines"]["scratch"]["accuracy"] - result["scores"]["accuracy"]
    assert metrics["negative_transfer"]["error_difference"] == pytest.approx(lost)
    assert 0.5 < metrics["cka"]["layer/2"] <= 1.0 and metrics["cka"]["layer/0"] == pytest.approx(1.0)
    assert 0 < metrics["weight_drift"]["relative_change"] < 0.5
    assert metrics["weight_drift"]["effective_rank"] <= 8, "it is a lora of rank 8"
    assert metrics["calibration"]["error"] == pytest.approx(result["scores"]["calibration_error"], abs=1e-6)
    assert "transfer.source_domain=" in metrics["source_nll"]["not_measured"]


def test_the_report_tells_what_the_result_does(tiny_run):
    result = result_of(tiny_run[0])
    for name in ("report.html", "report.md"):
        text = (tiny_run[0] / name).read_text(encoding="utf-8")
        assert " ".join(result["verdict"]["text"].split()) in " ".join(text.replace("\\", "").split())
        assert "scratch" in text


def test_predictions_are_one_row_an_example_of_the_test_split(tiny_run, rows_folder):
    rows = [json.loads(line) for line in (tiny_run[0] / "predictions.jsonl").read_text().splitlines()]
    given = [json.loads(line) for line in (rows_folder / "test.jsonl").read_text().splitlines()]
    assert [(row["text"], row["label"]) for row in rows] == [(row["text"], row["label"]) for row in given]
    right = sum(row["prediction"] == row["label"] for row in rows) / len(rows)
    assert right == pytest.approx(result_of(tiny_run[0])["scores"]["accuracy"])


def test_what_a_person_sees(tiny_run):
    text = " ".join(tiny_run[1].split())
    for words in (
        "Base model",
        "48 train, 16 validation, 24 test rows",
        "[CLS]",
        "trainable",
        "epoch 2/2",
        "linear_probe",
    ):
        assert words in text
    verdict = result_of(tiny_run[0])["verdict"]["text"]
    assert " ".join(verdict.split()) in text and "result.json" in text
    assert "Warning" not in text and "LOAD REPORT" not in text


def test_the_log_tells_the_run_again(tiny_run):
    text = (tiny_run[0] / "log.txt").read_text()
    assert "lora epoch 2/2" in text and "baseline scratch trains 100%" in text


def test_the_csv_log_has_losses_and_scores(tiny_run):
    rows = list(csv.DictReader((tiny_run[0] / "metrics.csv").open()))
    assert any(row["train/loss"] for row in rows) and any(row["validation/accuracy"] for row in rows)


def test_the_same_command_twice_gives_the_same_scores_byte_for_byte(
    tiny_run, tmp_path, tiny_folder, rows_folder
):
    words = [*tiny_words(tiny_folder, rows_folder), "trainer.max_epochs=2", f"run_dir={tmp_path / 'again'}"]
    assert command_line(*words).returncode == 0
    first, again = result_of(tiny_run[0]), result_of(tmp_path / "again")
    for part in ("scores", "baselines", "comparisons", "verdict"):
        assert json.dumps(first[part]) == json.dumps(again[part])
    assert (tiny_run[0] / "predictions.jsonl").read_bytes() == (
        tmp_path / "again" / "predictions.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("strategy", ["full", "linear_probe", "qlora", "scratch"])
def test_every_strategy_runs_to_its_verdict(strategy, tiny_folder, rows_folder):
    words = tiny_words(tiny_folder, rows_folder, strategy)
    result = run_in_process(*words, "transfer.baselines=[trivial]")
    assert result["strategy"] == strategy and result["verdict"]["baseline"] == "trivial"


def test_a_model_that_learns_is_far_above_trivial(tiny_folder, rows_folder):
    words = tiny_words(tiny_folder, rows_folder, "full")
    result = run_in_process(
        *words, "trainer.max_epochs=40", "optimizer.learning_rate=3e-3", "transfer.baselines=[trivial]"
    )
    assert result["scores"]["accuracy"] > 0.8 and result["verdict"]["label"] == "positive"


def test_without_baselines_there_is_no_verdict_and_it_says_so(tiny_folder, rows_folder):
    result = run_in_process(*tiny_words(tiny_folder, rows_folder), "transfer.baselines=[]")
    assert result["verdict"]["label"] == "none"
    assert "transfer.baselines is empty" in result["metrics"]["transfer_gain"]["not_measured"]


def test_what_was_trained_is_there_when_looking_at_it_is_interrupted(
    tmp_path, tiny_folder, rows_folder, monkeypatch
):
    def interrupt(self, *given):
        raise KeyboardInterrupt

    monkeypatch.setattr("tlplug.evaluation.recorder.Recorder.after", interrupt)
    words = [*tiny_words(tiny_folder, rows_folder), "transfer.baselines=[]", f"run_dir={tmp_path / 'run'}"]
    assert main(words) == 130
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").is_file()
