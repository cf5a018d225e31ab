"""Whole runs that are logged somewhere, read back from there; and services that are away, die or never answer."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.fake_wandb_server import service
from tests.cli.runs import command_line, main, result_of, tiny_words
from tests.runs.wandb_files import read
from tlplug.runs.directory import SWEEP_VARIABLE

SECRET = "hunter2secret"


@pytest.fixture
def words(tiny_folder, rows_folder):
    return [*tiny_words(tiny_folder, rows_folder), "metric=[]", "trainer.log_every_n_steps=1"]


def offline_runs(folder):
    return sorted(Path(folder, "wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_wandb_without_a_key_writes_one_offline_run_a_job(tmp_path, words, monkeypatch, capfd):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv(SWEEP_VARIABLE, "nightly")
    logger = ["logger=[csv,wandb]", "logger.wandb.tags=[mine]", "logger.wandb.log_model=true"]
    for number in range(2):
        folder = tmp_path / str(number)
        assert main([*words, *logger, "transfer.baselines=[trivial]", f"run_dir={folder}"]) == 0
        (offline,) = offline_runs(folder)
        run, result = read(offline), result_of(folder)
        assert (run["name"], run["group"], run["exit"]) == ("sentiment lora seed 42", "nightly", 0)
        assert set(run["tags"]) == {"lora", "sentiment", "mine"}
        assert run["id"] == json.loads((folder / "loggers.json").read_text())["ids"]["wandb"]
        assert run["config"]["seed"] == 42 and run["config"]["strategy"]["name"] == "lora"
        summary = run["summary"]
        assert summary["scores/accuracy"] == result["scores"]["accuracy"]
        assert summary["baselines/trivial/accuracy"] == result["baselines"]["trivial"]["accuracy"]
        assert summary["verdict/label"] == result["verdict"]["label"]
        assert any("train/loss" in row for row in run["rows"])
        assert "sentiment-lora-adapter" in run["artifacts"]
        media = offline / "files" / "media"
        assert len(list(media.rglob("report_*.html"))) == 1 and list(media.rglob("*.png"))
        assert {file.name.partition("_")[0] for file in media.rglob("*.table.json")} == {"scores", "metrics"}
        printed = capfd.readouterr().out
        assert printed.count("the run is written offline") == 1
        assert f"wandb sync {offline}\n" in printed


@pytest.mark.slow
@pytest.mark.parametrize("answers", [False, True], ids=["never answers", "dies after the begin"])
def test_a_wandb_service_that_is_away_costs_a_line_and_no_run(tmp_path, words, answers):
    """It neither hangs nor asks, and ends with the command that sends what was logged."""
    limits = ["logger.wandb.init_timeout=2", "logger.wandb.finish_timeout=2", "transfer.baselines=[]"]
    with service(answers) as (env, asked):
        started = time.monotonic()
        done = command_line(*words, "logger=[csv,wandb]", *limits, "run_dir=run", env=env, cwd=tmp_path)
        seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr[-2000:]
    assert seconds < 90
    (folder,) = [
        found for found in (tmp_path / "run/wandb").glob("*run-*") if answers or "offline" in found.name
    ]
    known = json.loads((tmp_path / "run/loggers.json").read_text())["ids"]["wandb"]
    into = "" if answers else f"--id {known} "
    assert f"wandb sync {into}{folder}\n" in done.stdout
    assert done.stdout.count("the run is written offline") == (0 if answers else 1)
    assert [name for name, _ in asked if name == "UpsertBucket"] == ["UpsertBucket"] * answers
    assert any("train/loss" in row for row in read(folder)["rows"])
    assert read(folder)["summary"]["scores/accuracy"] == result_of(tmp_path / "run")["scores"]["accuracy"]
    assert "test/accuracy" in (tmp_path / "run/metrics.csv").read_text()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def mlflow_server(folder):
    """A local server: its address, and the process to kill."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    stores = [
        "--backend-store-uri",
        f"sqlite:///{folder}/runs.db",
        "--artifacts-destination",
        f"{folder}/artifacts",
    ]
    with (folder / "server.txt").open("w") as log:
        process = subprocess.Popen([*command, *stores], stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while not answers(port):
            assert process.poll() is None and time.monotonic() < until, (folder / "server.txt").read_text()
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}", process
    finally:
        kill(process)


def answers(port):
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def kill(process):
    """With the workers, which are in its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_mlflow_has_the_run_and_its_death_in_the_middle_costs_a_line(tmp_path, words):
    from mlflow import MlflowClient

    with mlflow_server(tmp_path) as (address, server):
        logger = [
            "logger=[csv,mlflow]",
            f"logger.mlflow.tracking_uri={address}",
            "transfer.baselines=[trivial]",
        ]
        assert main([*words, *logger, f"run_dir={tmp_path / 'whole'}"]) == 0
        client = MlflowClient(address)
        (run,) = client.search_runs([client.get_experiment_by_name("tlplug").experiment_id])
        result = result_of(tmp_path / "whole")
        assert (run.info.run_name, run.info.status) == ("sentiment lora seed 42", "FINISHED")
        assert run.data.params["strategy.name"] == "lora" and run.data.params["seed"] == "42"
        assert run.data.metrics["scores/accuracy"] == result["scores"]["accuracy"]
        assert run.data.metrics["baselines/trivial/accuracy"] == result["baselines"]["trivial"]["accuracy"]
        assert len(client.get_metric_history(run.info.run_id, "train/loss")) > 1
        assert run.data.tags["verdict/label"] == result["verdict"]["label"]
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]

        folder = tmp_path / "cut"
        cut = [*words, *logger, "trainer.max_epochs=30", f"run_dir={folder}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tlplug", *cut],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
        )
        while not (folder / "metrics.csv").exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        kill(server)
        printed, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-2000:]
    assert printed.count("logger mlflow failed") == 1 and "Traceback" not in errors
    assert "test/accuracy" in (folder / "metrics.csv").read_text() and result_of(folder)


@pytest.mark.parametrize("chosen", ["none", "[]", "tensorboard", "[none,csv]"])
def test_other_loggers_leave_what_they_say(tmp_path, words, chosen):
    folder = tmp_path / "run"
    assert main([*words, f"logger={chosen}", "transfer.baselines=[]", f"run_dir={folder}"]) == 0
    left = {
        name for name in ("metrics.csv", "tensorboard", "loggers.json", "wandb") if (folder / name).exists()
    }
    assert (
        left
        == {"none": set(), "[]": set(), "tensorboard": {"tensorboard"}, "[none,csv]": {"metrics.csv"}}[chosen]
    )
    if chosen == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        assert len(events.Scalars("train/loss")) > 1
        scored = events.Scalars("scores/accuracy")[0].value
        assert scored == pytest.approx(result_of(folder)["scores"]["accuracy"])


def test_a_logger_whose_package_is_not_there_is_an_error_before_anything_is_begun(
    tmp_path, words, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main([*words, "logger=[csv,mlflow]", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "pip install 'tlplug[mlflow]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_secret_is_left_out_and_has_to_be_given_again(tmp_path, words, monkeypatch, capsys):
    """Nothing that the run writes has it, W&B's files neither; without it the run is not gone on with."""
    folder = tmp_path / "run"
    login = f"logger.mlflow.tracking_uri=http://me:{SECRET}@127.0.0.1:9"

    def interrupt(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr("tlplug.runs.train_with_baselines.Trainings.own", interrupt)
    chosen = ["logger=[csv,wandb,mlflow]", "logger.wandb.offline=true", "transfer.baselines=[]"]
    assert main([*words, *chosen, login, f"run_dir={folder}"]) == 130
    assert [
        path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ] == []
    assert read(offline_runs(folder)[0])["exit"] == 1
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    assert main(["resume", str(folder)]) == 2
    told = capsys.readouterr().err
    assert f"python -m tlplug resume {folder} logger.mlflow.tracking_uri=..." in told
    assert main(["resume", str(folder), "seed=3"]) == 2
    assert "'seed' cannot be changed" in capsys.readouterr().err
    assert main(["resume", str(folder), login]) == 130, "it goes on, and is interrupted again"
