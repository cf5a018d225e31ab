"""Sweeps beyond one machine: submitit's stand-in for Slurm, what Slurm itself would be asked, and a cluster of Ray."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.runs import command_line, main, result_of, tiny_words
from tests.cli.sleeping_jobs import Failing, Lasting, Sleeper
from tlplug.commands.sweep.launchers.slurm import SUBMITTED, Slurm
from tlplug.commands.sweep.launchers.slurm_task import ENDED
from tlplug.commands.sweep.launchers.worker import LOST, STOPPED
from tlplug.errors import UsageError
from tlplug.settings import RaySettings, SlurmSettings

QUICKEST = ["transfer.baselines=[]", "metric=[]", "evidence.max_rows=0", "evidence.weight_changes=false"]


def job(kind, folder, number=0):
    (folder / str(number)).mkdir(parents=True)
    return kind(number, ("seed=1",), folder / str(number))


def ended(running, seconds=120):
    """Its exit code."""
    until = time.monotonic() + seconds
    while (code := running.code()) is None:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.1)
    return code


def begun(of, seconds=120):
    until = time.monotonic() + seconds
    while not (of.folder / "begun").exists():
        assert time.monotonic() < until, "it does not begin"
        time.sleep(0.1)
    time.sleep(0.3)


@pytest.fixture
def slurm(tmp_path):
    launcher = Slurm(SlurmSettings(cluster="local", signal_delay_s=5), tmp_path / "sweep")
    yield launcher
    launcher.close()


def test_codes_come_back_from_slurm(slurm, tmp_path):
    with slurm.together():
        done = slurm.start(job(Sleeper, tmp_path / "sweep"))
        failed = slurm.start(job(Failing, tmp_path / "sweep", 1))
    assert (ended(done), ended(failed)) == (0, 3)
    assert (tmp_path / "sweep" / "0" / "begun").read_text() == "sweep"


@pytest.mark.slow
def test_a_job_of_slurm_is_stopped_and_begun_again(slurm, tmp_path):
    lasting = job(Lasting, tmp_path / "sweep")
    running = slurm.start(lasting)
    begun(lasting)
    running.stop()
    running.stop()
    assert ended(running) == STOPPED
    assert ended(slurm.start(lasting)) == 0
    assert (lasting.folder / "begun").read_text() == "sweepagain"


@pytest.mark.slow
@pytest.mark.parametrize("which", ["submitit", "run"])
def test_what_is_preempted_is_queued_again(slurm, tmp_path, which):
    """Where time is up, Slurm sends its signal; where the node is taken away, SIGTERM comes to the run first."""
    lasting = job(Lasting, tmp_path / "sweep")
    running = slurm.start(lasting)
    begun(lasting)
    task, run = descendants(int(running.id))
    os.kill(*{"submitit": (task, signal.SIGUSR2), "run": (run, signal.SIGTERM)}[which])
    assert ended(running) == 0
    assert (lasting.folder / "begun").read_text() == "sweepagain"


def descendants(pid):
    """Of a chain of processes, those below the first."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(found[0]), *descendants(int(found[0]))] if found else []


@pytest.mark.slow
def test_a_job_that_still_runs_is_found_and_not_begun_twice(slurm, tmp_path):
    lasting = job(Lasting, tmp_path / "sweep")
    slurm.start(lasting)
    begun(lasting)
    other = Slurm(slurm.settings, tmp_path / "sweep")
    found = other.start(lasting)
    assert found.code() is None
    found.stop()
    assert ended(found) == STOPPED
    assert (lasting.folder / "begun").read_text() == "sweep"


@pytest.mark.slow
def test_a_job_that_was_killed_is_lost(slurm, tmp_path):
    lasting = job(Lasting, tmp_path / "sweep")
    running = slurm.start(lasting)
    begun(lasting)
    for pid in descendants(int(running.id)):
        os.kill(pid, signal.SIGKILL)
    assert ended(running) == LOST


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """sbatch that takes note of what it is given, and squeue that shows the jobs in a file."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in {
        "sbatch": f'cat "$1" >> {tmp_path}/asked; echo Submitted batch job 7',
        "squeue": f"cat {tmp_path}/queue",
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
        "srun": "",
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr("tlplug.commands.sweep.launchers.slurm_queue.LOOK_EVERY_S", 0.0)
    (tmp_path / "queue").write_text("7_0\n7_1\n")
    return tmp_path


def test_slurm_is_asked_for_one_array(fake_slurm):
    settings = SlurmSettings(partition="gpu", gpus_per_node=2, tasks_per_node=2, cpus_per_task=4, mem_gb=8)
    settings.additional_parameters = {"constraint": "a100"}
    launcher = Slurm(settings, fake_slurm / "sweep")
    with launcher.together():
        running = [launcher.start(job(Sleeper, fake_slurm / "sweep", number)) for number in range(2)]
    asked = (fake_slurm / "asked").read_text()
    for line in ("array=0-1%2", "partition=gpu", "gpus-per-node=2", "ntasks-per-node=2", "mem=8GB"):
        assert f"#SBATCH --{line}\n" in asked
    for line in ("constraint=a100", "requeue", "signal=USR2@120", "cpus-per-task=4", "time=1440"):
        assert f"#SBATCH --{line}\n" in asked
    assert [each.code() for each in running] == [None, None]
    assert json.loads((fake_slurm / "sweep" / "1" / SUBMITTED).read_text())["id"] == "7_1"

    (fake_slurm / "queue").write_text("7_1\n")
    assert running[0].code() is None, "one look alone may miss a job that is queued again"
    assert [each.code() for each in running] == [LOST, None]
    (fake_slurm / "sweep" / "0" / ENDED).write_text('{"code": 0}')
    assert running[0].code() == 0

    again = Slurm(settings, fake_slurm / "sweep").start(running[1].job)
    assert again.id == "7_1" and (fake_slurm / "asked").read_text() == asked
    again.stop()
    assert (fake_slurm / "cancelled").read_text() == "--state=PENDING 7_1\n"


def test_what_slurm_does_not_take_is_one_message(fake_slurm):
    (fake_slurm / "programs" / "sbatch").write_text("#!/bin/sh\necho invalid partition >&2; exit 1\n")
    launcher = Slurm(SlurmSettings(partition="none"), fake_slurm / "sweep")
    with pytest.raises(UsageError, match="invalid partition"):
        launcher.start(job(Sleeper, fake_slurm / "sweep"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cluster": "pbs"}, "it is one of: slurm, local"),
        ({"cluster": "local", "tasks_per_node": 2}, "one task"),
        ({"timeout_min": 0}, "launcher.timeout_min is 0"),
    ],
)
def test_settings_of_slurm_that_are_of_no_use(settings, told):
    with pytest.raises(ValueError, match=told):
        SlurmSettings(**settings)


@pytest.mark.slow
def test_a_sweep_by_submitit(tiny_folder, rows_folder, tmp_path):
    words = [*tiny_words(tiny_folder, rows_folder, "linear_probe"), *QUICKEST, "seed=1,2"]
    beyond = ["launcher=slurm", "launcher.cluster=local", "sweep.max_parallel=2"]
    done = command_line("-m", *words, *beyond, f"run_dir={tmp_path / 'sweep'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [result_of(tmp_path / "sweep" / str(number))["seed"] for number in range(2)] == [1, 2]
    assert list((tmp_path / "sweep" / "slurm").glob("*_log.err"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Of two workers, on this machine."""
    ray = pytest.importorskip("ray")
    from tlplug.commands.sweep.launchers.ray import QUIET

    os.environ.update(QUIET)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.mark.slow
def test_jobs_on_a_cluster_of_ray(cluster, tmp_path, monkeypatch):
    """Two at once, the third after them; codes come back, and what is stopped leaves as it likes."""
    from tlplug.commands.sweep.launchers.ray import Ray

    monkeypatch.setattr("ray.init", lambda **_: None)  # it is there, in this process
    launcher = Ray(RaySettings(address=cluster), tmp_path)
    lasting = job(Lasting, tmp_path / "sweep")
    first, failing = launcher.start(lasting), launcher.start(job(Failing, tmp_path / "sweep", 1))
    begun(lasting)
    assert ended(failing) == 3 and first.code() is None
    third = launcher.start(job(Sleeper, tmp_path / "sweep", 2))
    assert ended(third) == 0
    first.stop()
    assert ended(first) == STOPPED
    assert (tmp_path / "sweep" / "2" / "begun").read_text() == "sweep"


@pytest.mark.slow
def test_a_sweep_by_ray(tiny_folder, rows_folder, tmp_path, cluster):
    """Of a process that is not the cluster's own, on the cluster that is there."""
    words = [*tiny_words(tiny_folder, rows_folder, "linear_probe"), *QUICKEST, "seed=1,2"]
    beyond = ["launcher=ray", f"launcher.address={cluster}", "sweep.max_parallel=2"]
    done = command_line("-m", *words, *beyond, f"run_dir={tmp_path / 'sweep'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [result_of(tmp_path / "sweep" / str(number))["seed"] for number in range(2)] == [1, 2]


def test_more_than_ray_has_is_one_message(tiny_folder, rows_folder, tmp_path, capsys):
    words = [*tiny_words(tiny_folder, rows_folder), "launcher=ray", "launcher.address=nowhere:1"]
    assert main(["-m", *words, "seed=1,2", f"run_dir={tmp_path / 'sweep'}"]) == 2
    assert "launcher.address=nowhere:1" in capsys.readouterr().err
