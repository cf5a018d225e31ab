"""Runs of two processes: by Lightning's own launcher, under torchrun, and with one that fails or dies."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from tests.cli.runs import main, result_of, tiny_words
from tests.conftest import ROOT
from tests.training.distributed_program import without_dropout

TWO = ["trainer.devices=2", "trainer=ddp"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LIMIT = 240
"""Seconds after which a run that was to end counts as one that hangs."""


@pytest.fixture(scope="module")
def words(tmp_path_factory, tiny_folder, rows_folder):
    """A run with no chance in it, of 7 test rows, but for the number of processes and of rows in a batch."""
    calm = without_dropout(tiny_folder, tmp_path_factory.mktemp("calm-bert"))
    kept = [
        word for word in tiny_words(calm, rows_folder) if not word.startswith(("trainer.dev", "data.batch"))
    ]
    # Batches of equal tokens are cut between as many rows as there are processes.
    rows = ["data.limit.test=7", "data.batching=rows"]
    return [*kept, *rows, "strategy.lora_dropout=0", "transfer.baselines=[trivial,scratch]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory, words):
    """The same run by one process, by Lightning's launcher and under torchrun, which chooses the folder itself."""
    place = tmp_path_factory.mktemp("runs")

    def done(name, command, *more):
        folder, cache = place / name, {"TLPLUG_CACHE": str(place / f"cache of {name}")}
        folder.mkdir()
        # Each in a folder of its own, where it chooses its run directory.
        ended = subprocess.run(
            [*command, "-m", "tlplug", *words, *more],
            env={**os.environ, "PYTHONPATH": str(ROOT), **cache},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        return ended, list(folder.glob("outputs/*/*/*"))

    return {
        "one": done("one", [sys.executable], "trainer.devices=1", "data.batch_size=8"),
        "lightning": done("lightning", [sys.executable], *TWO, "data.batch_size=4"),
        "torchrun": done("torchrun", TORCHRUN, *TWO, "data.batch_size=4"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightning", "torchrun"])
def test_two_processes_are_one_run(name, runs):
    ended, folders = runs[name]
    assert len(folders) == 1, "one run directory and not two"
    assert ended.stdout.count("Result ") == ended.stdout.count("Base model ") == 1
    ids = [json.loads(line)["id"] for line in (folders[0] / "predictions.jsonl").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 7
    assert "process" not in (folders[0] / "log.txt").read_text()


@pytest.mark.slow
def test_lightning_s_launcher_and_torchrun_give_the_same(runs):
    first, second = (result_of(runs[name][1][0]) for name in ("lightning", "torchrun"))
    for part in ("scores", "baselines", "comparisons", "verdict", "curve"):
        assert first[part] == second[part]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightning", "torchrun"])
def test_two_processes_score_uneven_rows_as_one(name, runs):
    one, two = result_of(runs["one"][1][0]), result_of(runs[name][1][0])
    pairs = [(one["baselines"][name], two["baselines"][name]) for name in ("trivial", "scratch")]
    for scores, others in [(one["scores"], two["scores"]), *pairs]:
        rounded = others.pop("calibration_error"), scores.pop("calibration_error")
        assert rounded[0] == pytest.approx(rounded[1], abs=1e-5)
        assert scores == others


@pytest.mark.slow
def test_the_evidence_of_two_processes_is_that_of_one(runs):
    one, two = (load_file(runs[name][1][0] / "evidence/arrays.safetensors") for name in ("one", "lightning"))
    assert one.keys() == two.keys() and any("features/after" in name for name in one)
    apart = {name: float((two[name].double() - one[name].double()).abs().max()) for name in one}
    assert max(apart.values()) < 1e-5, apart


@pytest.mark.slow
def test_a_process_that_fails_ends_the_run_with_its_traceback(tmp_path, words):
    fails = ["strategy=tests.cli.second_fails.SecondFails", *words[1:], "data.batch_size=4", *TWO]
    with Watched([*fails, f"run_dir={tmp_path / 'run'}"], tmp_path) as run:
        assert run.process.wait(LIMIT) == 1
        run.expect_no_orphan()
    for text in (run.errors(), (tmp_path / "run/log.txt").read_text()):
        assert "ValueError: the second process has had enough" in text and "second_fails.py" in text
    assert "process 1 of 2:" in (tmp_path / "run/log.txt").read_text()


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run_and_is_named(tmp_path, words):
    endless = [*words, "data.batch_size=4", "trainer.max_epochs=5000", *TWO, f"run_dir={tmp_path / 'run'}"]
    with Watched(endless, tmp_path) as run:
        run.until_trained()
        os.kill(run.children()[0], signal.SIGKILL)
        assert run.process.wait(LIMIT) == 1
        run.expect_no_orphan()
    for text in (run.errors(), (tmp_path / "run/log.txt").read_text()):
        # Whoever notices first: Lightning, which knows the signal, or gloo, whose peer is gone.
        told = ("process 1 on this machine was ended by SIGKILL", "remote worker", "closed by peer")
        assert "Traceback" in text and any(each in text for each in told)


@pytest.mark.slow
def test_a_second_command_in_the_same_program_has_the_processes_of_the_first(tmp_path, words):
    """A comparison too is trained by both and told by one."""
    run = [*words[:-1], "transfer.baselines=[]", "data.batch_size=4", *TWO, f"run_dir={tmp_path / 'run'}"]
    compared = [word for word in words[1:-1] if not word.startswith("strategy.")]
    compare = ["compare", *compared, "data.batch_size=4", *TWO, f"run_dir={tmp_path / 'compare'}"]
    given = [*run, "--", *compare, "strategies=[bitfit,lora]", "seeds=1", "stop_early=false"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.two_runs", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run/result.json").is_file() and done.stdout.count("Result ") == 1
    rungs = json.loads((tmp_path / "compare/compare.json").read_text())["strategies"]
    assert len(rungs) == 2 and not any(rung.get("error") for rung in rungs)


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed"])
def test_weights_in_parts_are_refused_before_anything_is_written(strategy, words, tmp_path, capsys):
    refused = [*words, "trainer.devices=2", f"trainer.strategy={strategy}", f"run_dir={tmp_path / 'run'}"]
    assert main(refused) == 2
    assert f"trainer.strategy={strategy}: not yet" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_stray_variable_does_not_silence_a_run(words, tmp_path, monkeypatch, capsys):
    from lightning.pytorch.utilities import rank_zero_only

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    # What Lightning makes of the first when it is imported.
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    few = [*words[:-1], "transfer.baselines=[]", "trainer.devices=1", f"run_dir={tmp_path / 'run'}"]
    assert main(few) == 0 and "Result" in capsys.readouterr().out
    assert "validation/accuracy" in (tmp_path / "run/metrics.csv").read_text()


def test_composing_leaves_no_trace_of_hydra_that_lightning_would_start_processes_by(words):
    """It would give them other words than those of the command line."""
    from hydra.core.hydra_config import HydraConfig

    from tlplug.config.compose import Composer

    with Composer() as composer:
        composer.compose(words)
        assert not HydraConfig.initialized()


class Watched:
    """`python -m tlplug WORDS` while it runs, with what it prints in files; killed at the end where it has not ended."""

    def __init__(self, words, folder):
        self.words, self.folder = words, folder

    def __enter__(self):
        self.files = [(self.folder / name).open("w") for name in ("stdout", "stderr")]
        command = [sys.executable, "-m", "tlplug", *self.words]
        # A session of its own: whoever is left in it was started by this run.
        self.process = subprocess.Popen(
            command, stdout=self.files[0], stderr=self.files[1], cwd=ROOT, start_new_session=True
        )
        return self

    def __exit__(self, *error):
        for each in self.members():
            os.kill(each, signal.SIGKILL)
        self.process.wait()
        for file in self.files:
            file.close()

    def errors(self):
        return (self.folder / "stderr").read_text()

    def members(self):
        """The processes of the run's session that have not ended."""
        listed = subprocess.run(["ps", "-eo", "pid=,sid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        return [int(pid) for pid, sid, state in rows if int(sid) == self.process.pid and state[0] != "Z"]

    def children(self):
        return [pid for pid in self.members() if pid != self.process.pid]

    def until_trained(self):
        """Until the first epoch is over, which needs both."""
        self._until(lambda: "epoch 1/" in (self.folder / "stdout").read_text() and self.children())

    def expect_no_orphan(self):
        self._until(lambda: not self.members(), 15)

    def _until(self, there, seconds=LIMIT):
        end = time.monotonic() + seconds
        while not there():
            assert time.monotonic() < end, self.errors()[-3000:]
            time.sleep(0.2)
