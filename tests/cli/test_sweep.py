"""`-m`: a process a job, a record that outlives every kill, and what a person sees of it."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.cli.runs import command_line, main, result_of, tiny_words, wait_for
from tlplug.commands.sweep import errors as failures
from tlplug.commands.sweep import folder, lock, record
from tlplug.commands.sweep.errors import TRACEBACK
from tlplug.commands.sweep.launchers.local import Local, share
from tlplug.commands.sweep.loop import Loop, SignalCount
from tlplug.commands.sweep.options import sweep_words
from tlplug.commands.sweep.protocols import SweepJob
from tlplug.commands.sweep.record import Entry, Progress, Record, progress_of
from tlplug.commands.sweep.screen import Lines
from tlplug.commands.sweep.search.grid import Grid, combinations
from tlplug.commands.sweep.table import cells, differences, jobs_table, most_telling, summary
from tlplug.config.compose import Composer
from tlplug.errors import UsageError
from tlplug.runs.directory import finished
from tlplug.runtime.signals import handle_signals
from tlplug.settings import LocalSettings

BASIC = ["strategy=lora", "task=sentiment"]


@dataclass(frozen=True)
class ScriptJob(SweepJob):
    """A job whose process is a few lines of Python instead of a run."""

    script: str = ""

    def command(self):
        return [sys.executable, "-c", self.script]


DONE = """
import json, os, pathlib
value = {"primary_score": "accuracy", "display_scale": 100, "scores": {"accuracy": 0.5}, "verdict": {"label": "positive"}}
pathlib.Path("result.json").write_text(json.dumps(value))
pathlib.Path("report.html").touch()
"""
PATIENT = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *given: (pathlib.Path("checkpoint").touch(), sys.exit(143)))
pathlib.Path("ready").touch()
time.sleep(600)
"""


def script_jobs(folder, *scripts):
    jobs = []
    for number, script in enumerate(scripts):
        home = folder / str(number)
        home.mkdir(parents=True, exist_ok=True)
        line = f"import os; os.chdir({str(home)!r}); exec({script!r})"
        jobs.append(ScriptJob(number, (f"seed={number}",), home, "accuracy", 100, True, script=line))
    return jobs


def drive(folder, jobs, at_once=1, search=None):
    """The record after these jobs, and what was shown of them."""
    found = Record(folder, ["seed=0,1"])
    for job in jobs:
        found.add(job)
    console = Console(record=True, width=120, file=StringIO())
    received = SignalCount()
    with handle_signals(received.handle):
        launcher = Local(LocalSettings(), folder, at_once)
        Loop(search or Grid(jobs), launcher, found, at_once, Lines(console, found), received).run()
    return found, console.export_text()


def processes_of(folder):
    """Those that work on the jobs of a sweep."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.startswith(f"{folder}/".encode()) for word in words):
                found.append(int(path.parent.name))
    return found


# --- words -------------------------------------------------------------------------------------------------


@pytest.fixture
def composer():
    with Composer() as found:
        yield found


def test_a_sweep_s_own_words_are_typed_and_no_run_s(composer):
    asked = sweep_words(
        composer,
        [
            *BASIC,
            "+sweep=optuna",
            "sweep.n_trials=3",
            "launcher=slurm",
            "++launcher.partition=gpu",
            "run_dir=x",
            "seed=1,2",
        ],
    )
    assert (asked.sweep.n_trials, asked.launcher.partition, asked.run_dir) == (3, "gpu", "x")
    assert asked.runs == (*BASIC, "seed=1,2")
    assert len(combinations(composer, [*BASIC, "seed=1,2", "sweep.max_parallel=2"])) == 2
    assert not {"sweep", "launcher"} & set(composer.compose(BASIC))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sweep.max_paralel=2", "Did you mean 'sweep.max_parallel'?"),
        ("sweep=gird", "Did you mean 'grid'?"),
        ("launcher=local,slurm", "has several values; it takes one"),
        ("sweep.max_parallel=many", "could not be converted to Integer"),
        ("sweep.max_parallel=0", "sweep.max_parallel is 0"),
        ("launcher.partition=gpu", "launcher has: no keys"),
        ("sweep.n_trials=3", "there is no key 'sweep.n_trials'"),
        ("resume=auto", "sweep.resume=true"),
        ("seed=interval(1,2)", "+sweep=optuna"),
        ("sed=1,2", "Did you mean 'seed'?"),
    ],
)
def test_a_wrong_word_of_a_sweep_is_told_and_nothing_is_begun(word, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *BASIC, word]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "word", ["sweep.max_parallel=2", "+sweep=optuna", "launcher=slurm", "sweep.resume=true"]
)
def test_without_m_such_a_word_says_to_add_it(word, capsys):
    assert main([*BASIC, word]) == 2
    assert "add -m" in capsys.readouterr().err


def test_nothing_is_begun_where_one_job_cannot_be_built(tmp_path, capsys):
    words = ["-m", *BASIC, "transfer.baselines=[],[no_such]", f"run_dir={tmp_path / 'sweep'}"]
    assert main(words) == 2
    assert "transfer.baselines" in capsys.readouterr().err and not list(tmp_path.iterdir())


# --- the folder --------------------------------------------------------------------------------------------


def begun(place, *words):
    """A sweep that was begun there and not run."""
    with Composer() as composer:
        asked = sweep_words(composer, [*BASIC, "seed=1,2", f"run_dir={place}", *words])
        jobs = [
            folder.composed(composer, each, place / str(number))
            for number, each in enumerate(combinations(composer, asked.runs))
        ]
        return folder.new(place, asked, jobs), asked


def recorded(place, *words):
    """What such a sweep leaves for one that goes on."""
    found = Record(place, [*BASIC, "seed=1,2", *words])
    found.write()
    return found


def test_each_job_is_frozen_before_any_starts(tmp_path):
    begun(tmp_path / "sweep")
    for number, seed in enumerate((1, 2)):
        config = (tmp_path / f"sweep/{number}/config.yaml").read_text()
        assert f"\nseed: {seed}\n" in config and f"run_dir: {tmp_path}/sweep/{number}\n" in config
        assert "sweep:" not in config and "launcher:" not in config
        assert json.loads((tmp_path / f"sweep/{number}/run.json").read_text())["overrides"] == [
            *BASIC,
            f"seed={seed}",
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_what_names_code_is_trusted_by_the_user_s_words_alone(tmp_path):
    place = tmp_path / "sweep"
    found, asked = begun(place, "model.trust_remote_code=true")
    assert all(job.command()[-1] == "--trust" for job in found.jobs())
    plain, words = begun(tmp_path / "plain")
    assert not any("--trust" in job.command() for job in plain.jobs())
    with Composer() as composer:
        plain.entries[0].trusted = True
        folder.believe(plain, composer, words.runs)
        assert not any(job.trusted for job in plain.jobs())
        folder.believe(found, composer, asked.runs)
        assert all(job.trusted for job in found.jobs())


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tlplug.commands.sweep.folder.records.write", full)
    with pytest.raises(UsageError, match="No space left on device; nothing was started"):
        begun(tmp_path / "sweep")
    assert not list(tmp_path.iterdir())


def test_a_sweep_is_found_again_by_its_words_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, more in (("a", ()), ("b", ("sweep.max_parallel=4",)), ("c", ("data.limit.train=5",))):
        recorded(folder.run_directory.OUTPUTS / "sweeps" / name, *more)
    with Composer() as composer:
        same = sweep_words(
            composer, ["seed=1,2", *BASIC, "sweep.resume=true", "sweep.max_parallel=2", "launcher=ray"]
        )
        other = sweep_words(composer, [*BASIC, "seed=1,2,3", "sweep.resume=true"])
        assert folder.earlier(same) == Path("outputs/sweeps/b") and folder.earlier(other) is None
        named = sweep_words(composer, [*BASIC, "seed=1,2,3", "run_dir=outputs/sweeps/c"])
    with pytest.raises(UsageError) as told:
        folder.earlier(named)
    assert "only in the folder's: seed=1,2 data.limit.train=5; only in this one: seed=1,2,3" in str(
        told.value
    )


def test_without_resume_a_sweep_s_folder_says_how_to_go_on(tmp_path, capsys):
    recorded(tmp_path / "sweep")
    assert main(["-m", *BASIC, "seed=1,2", f"run_dir={tmp_path / 'sweep'}"]) == 2
    assert "sweep.resume=true" in capsys.readouterr().err


def test_two_processes_do_not_work_on_one_sweep(tmp_path, capsys):
    recorded(tmp_path / "sweep")
    with lock.locked(tmp_path / "sweep"):
        assert main(["-m", *BASIC, "seed=1,2", f"run_dir={tmp_path / 'sweep'}", "sweep.resume=true"]) == 2
    assert "another process works on the sweep" in capsys.readouterr().err
    with lock.locked(tmp_path / "sweep"):
        """It was let go."""


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_sweep_on_a_file_system_without_locks_goes_on_with_a_warning(number, tmp_path, monkeypatch, caplog):
    def refuse(opened, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with lock.locked(tmp_path):
        assert f"{tmp_path} is on a file system without locks" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(UsageError, match="file cannot be written to"), lock.locked(tmp_path / "file"):
        pass


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read"),
        ('{"version": 2}', "of version 2"),
        ('{"version": 1, "jobs": [{}]}', "cannot be read"),
    ],
)
def test_a_damaged_record_is_told(text, told, tmp_path):
    (tmp_path / record.FILE).write_text(text)
    with pytest.raises(UsageError, match=told):
        record.read(tmp_path)


def test_a_record_does_not_lead_out_of_its_folder(tmp_path):
    found = recorded(tmp_path)
    found.entries = dict(enumerate(entries_of(2)))
    found.entries[1].folder = "../elsewhere"
    found.write()
    with pytest.raises(UsageError, match="'../elsewhere'"):
        record.read(tmp_path)


# --- processes ---------------------------------------------------------------------------------------------


def test_jobs_run_at_once_and_one_that_fails_or_is_killed_harms_no_other(tmp_path):
    jobs = script_jobs(
        *(tmp_path, DONE, "raise RuntimeError('it broke')", "import os; os.kill(os.getpid(), 9)", "", DONE),
    )
    found, shown = drive(tmp_path, jobs, at_once=2)
    entries = json.loads((tmp_path / record.FILE).read_text())["jobs"]
    assert [each["state"] for each in entries] == ["done", "failed", "killed", "failed", "done"]
    assert [each["exit_code"] for each in entries] == [0, 1, -9, 0, 0]
    assert (entries[0]["score"], entries[0]["verdict"]) == (0.5, "positive")
    assert entries[1]["error"] == "RuntimeError: it broke"
    assert entries[2]["error"].startswith("killed by signal 9 (Killed")
    assert entries[3]["error"] == "it ended without a result and said nothing"
    assert [each.number for each in found.unfinished()] == [1, 2, 3]
    assert "job 1 failed, exit code 1, after" in shown and "job 4 done, positive, accuracy 50.0" in shown


def test_a_job_knows_its_sweep_and_its_share_of_the_machine(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4,5")
    tell = "import os, time; env = os.environ; print(env['TLPLUG_SWEEP'], env['CUDA_VISIBLE_DEVICES'], flush=True)"
    tell += "\ntime.sleep(1)"
    jobs = script_jobs(tmp_path / "mine", tell + DONE, tell + DONE)
    drive(tmp_path / "mine", jobs, at_once=2)
    assert [failures.last_output(job.folder)[-1] for job in jobs] == ["mine 3,5", "mine 4"]
    assert share(0, 1, {}) == {} and "OMP_NUM_THREADS" not in share(0, 2, {"OMP_NUM_THREADS": "7"})
    assert share(3, 4, {"CUDA_VISIBLE_DEVICES": "0,1"})["CUDA_VISIBLE_DEVICES"] == "1"


def test_what_has_its_result_is_not_run_again(tmp_path):
    jobs = script_jobs(tmp_path, DONE, DONE)
    drive(tmp_path, jobs[:1])
    written = (tmp_path / "0/result.json").stat().st_mtime_ns
    found, shown = drive(tmp_path, jobs)
    assert (tmp_path / "0/result.json").stat().st_mtime_ns == written and "job 0" not in shown
    assert not found.unfinished()


WAIT_AND_SIGNAL = """
import os, sys, time
parent, number, *files = sys.argv[1:]
until = time.monotonic() + 30
while not all(map(os.path.exists, files)):
    assert time.monotonic() < until
    time.sleep(0.05)
os.kill(int(parent), int(number))
"""


def signalling(number, *jobs, then=""):
    """A process that sends this one a signal once all these jobs are ready."""
    files = [str(job.folder / "ready") for job in jobs]
    return subprocess.Popen(
        [sys.executable, "-c", WAIT_AND_SIGNAL + then, str(os.getpid()), str(int(number)), *files]
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_jobs_leave_a_checkpoint(number, tmp_path):
    jobs = script_jobs(tmp_path, PATIENT, PATIENT, DONE)
    helper = subprocess.Popen(
        [
            sys.executable,
            "-c",
            WAIT_AND_SIGNAL,
            str(os.getpid()),
            str(int(number)),
            *(str(j.folder / "ready") for j in jobs[:2]),
        ]
    )
    found, shown = drive(tmp_path, jobs, at_once=2)
    assert helper.wait() == 0
    assert [entry.state for entry in found.entries.values()] == ["stopped", "stopped", "waiting"]
    assert all((job.folder / "checkpoint").exists() for job in jobs[:2])
    assert "waiting for 2 running jobs to leave a checkpoint" in shown


def test_a_second_signal_kills(tmp_path):
    stubborn = PATIENT + "time.sleep(600)"
    stubborn = re.sub(r"lambda.*", "signal.SIG_IGN)", stubborn)
    jobs = script_jobs(tmp_path, stubborn)
    twice = WAIT_AND_SIGNAL + "time.sleep(1); os.kill(int(parent), int(number))"
    helper = subprocess.Popen(
        [sys.executable, "-c", twice, str(os.getpid()), "2", str(jobs[0].folder / "ready")]
    )
    found, _ = drive(tmp_path, jobs)
    assert helper.wait() == 0 and found.entries[0].exit_code == -9


SLOW_TO_END = PATIENT.replace("sys.exit(143)", "time.sleep(1), sys.exit(143)")
SWEEPING = """
import os, sys, time
from pathlib import Path
from tlplug.settings import LocalSettings
from tlplug.commands.sweep.protocols import SweepJob
from tlplug.commands.sweep.launchers.local import Local
class Job(SweepJob):
    def command(self):
        return [sys.executable, "-c", sys.argv[2]]
home = Path(sys.argv[1])
os.chdir(home)
running = Local(LocalSettings(), home.parent).start(Job(0, (), home))
time.sleep(600)
"""


def test_a_killed_sweep_leaves_no_process_and_is_waited_for(tmp_path):
    home = tmp_path / "0"
    home.mkdir()
    process = subprocess.Popen([sys.executable, "-c", SWEEPING, str(home), SLOW_TO_END])
    wait_for((home / "ready").exists)
    assert lock.alive(home)
    process.kill()
    process.wait()
    said = []
    lock.wait_for_ends([home, tmp_path / "1"], said.append)
    assert (home / "checkpoint").exists() and not lock.alive(home) and len(said) == 1


def test_what_a_broken_job_left_running_is_ended(tmp_path):
    parent = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.exit(1)"
    jobs = script_jobs(tmp_path, parent)
    drive(tmp_path, jobs)
    child = int(failures.last_output(jobs[0].folder)[-1])
    wait_for(
        lambda: (
            not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2]
        ),
        5,
    )


def test_a_search_sees_each_validation_once_and_may_end_a_job(tmp_path):
    class Picky(Grid):
        points = []

        def seen(self, job, step, score):
            self.points.append((step, score))
            return score > 0.2

    value = {"version": 1, "stage": "lora", "epoch": 1, "epochs": 3, "scores": [[1, 0.5], [2, 0.1]]}
    script = f"import json; open('progress.json', 'w').write({json.dumps(value)!r})\n{PATIENT}"
    jobs = script_jobs(tmp_path, script, DONE)
    search = Picky(jobs)
    found, _ = drive(tmp_path, jobs, search=search)
    assert [entry.state for entry in found.entries.values()] == ["pruned", "done"] and not found.unfinished()
    assert search.points == [(1, 0.5), (2, 0.1)] and (jobs[0].folder / "checkpoint").exists()


# --- what is shown -----------------------------------------------------------------------------------------


def entries_of(count, state="done", **more):
    score = {"score": 0.5, "verdict": "inconclusive"} if state == "done" else {}
    return [
        Entry(n, ["task=sentiment", f"seed={n}"], str(n), "accuracy", 100, True, state=state, **score, **more)
        for n in range(count)
    ]


def rendered(entries, width, one_line):
    console = Console(width=width, record=True, file=StringIO())
    console.print(jobs_table(entries, {}, width, one_line))
    return [line.rstrip() for line in console.export_text().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_lines_up_with_long_overrides(width):
    entries = entries_of(3)
    entries[1].overrides.append(
        "strategy.target_modules=[" + ",".join(["query_key_value_projection"] * 6) + "]"
    )
    entries[2].seconds, entries[2].score = 123456.0, 1.0
    lines = rendered(entries, width, one_line=True)
    assert len(lines) == 2 + 3 and all(len(line) <= width for line in lines)
    assert "…" in lines[3] and "100.0" in lines[4] and "123,456" in lines[4]
    assert {line.index("done, inconclusive") for line in lines[2:]} == {lines[0].index("state, verdict")}
    assert {line.index("50.0") for line in lines[2:4]} == {lines[4].index("100.0") + 1}
    whole = "".join("".join(rendered(entries, width, one_line=False)).split())
    assert "…" not in whole


def test_of_many_jobs_those_that_tell_most_are_shown():
    entries = entries_of(30, "waiting")
    for number, state in {
        **dict.fromkeys(range(12), "done"),
        3: "failed",
        10: "running",
        11: "running",
    }.items():
        entries[number].state = state
    assert [entry.number for entry in most_telling(entries, 5)] == [3, 8, 9, 10, 11]
    assert [entry.number for entry in most_telling(entries, 14)][-2:] == [12, 13]
    assert summary(entries, 30) == "9 of 30 done, 2 running, 1 failed, 18 waiting"


def test_only_what_differs_is_shown():
    assert differences([["a=1", "b=1"], ["a=1", "b=2"]]) == ["b=1", "b=2"]
    assert differences([["a=1"]]) == ["a=1"] and differences([["a=1"], ["a=1", "b=2"]]) == ["a=1", "a=1 b=2"]


def test_progress_is_read_from_whatever_lies_there(tmp_path):
    assert progress_of(tmp_path) == Progress()
    (tmp_path / "progress.json").write_text("[]")
    assert progress_of(tmp_path) == Progress()
    value = {
        "version": 1,
        "stage": "baseline scratch",
        "epoch": 1,
        "epochs": 3,
        "scores": [[4, 0.5], [8, 0.75]],
    }
    (tmp_path / "progress.json").write_text(json.dumps(value))
    assert progress_of(tmp_path).what == "baseline scratch" and progress_of(tmp_path).score == 0.75
    (tmp_path / "progress.json").write_text(json.dumps({**value, "stage": "lora"}))
    assert progress_of(tmp_path).what == "epoch 1/3"


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (
            "x\nTraceback (most recent call last):\n  one\nOld: e\nTraceback (most recent call last):\n  two\nNew: e\n",
            "New: e",
        ),
        ("[rank1]: Traceback (most recent call last):\n[rank1]:   two\n[rank1]: Bad: e\n", "[rank1]: Bad: e"),
        ("epoch\ntlplug: no such column\nthere is: text\n", "no such column"),
        (f"--- before\n{TRACEBACK}\nOld: e\n--- now\nnothing more\n", "nothing more"),
        (None, "it ended without a result and said nothing"),
    ],
)
def test_the_last_error_of_the_last_process_is_found(output, told, tmp_path):
    if output is not None:
        (tmp_path / lock.OUTPUT).write_text(output)
    assert failures.last_line(tmp_path) == told
    assert "Old" not in failures.said(tmp_path)


def test_an_error_of_several_jobs_is_shown_once(tmp_path):
    entries = entries_of(3, "failed", exit_code=1, error="E: e")
    for entry in entries:
        (tmp_path / entry.folder).mkdir()
        (tmp_path / entry.folder / lock.OUTPUT).write_text(
            f"{failures.TRACEBACK}\nE: {'e' if entry.number else 'f'}\n"
        )
    console = Console(record=True, width=120, file=StringIO())
    failures.show_failures(console, tmp_path, entries)
    shown = console.export_text()
    assert shown.count(TRACEBACK) == 2 and "Jobs 1, 2: each failed, exit code 1" in shown


def test_the_state_of_each_kind_is_told():
    failed, killed = entries_of(2, "failed", exit_code=2)
    killed.state, killed.exit_code = "killed", -9
    assert cells(failed, None)[0] == "failed, exit code 2" and cells(killed, None)[0] == "killed, signal 9"


# --- whole sweeps ------------------------------------------------------------------------------------------


def states_of(place):
    return [job["state"] for job in json.loads((place / record.FILE).read_text())["jobs"]]


@pytest.mark.slow
def test_a_sweep_whose_job_and_then_itself_is_killed_is_gone_on_with(tmp_path, tiny_folder, rows_folder):
    """Six jobs, two at once; a profiler that there is not ends three of them."""
    place = tmp_path / "sweep"
    words = [*tiny_words(tiny_folder, rows_folder, "linear_probe"), "transfer.baselines=[]", "metric=[]"]
    words = ["-m", *words, "seed=1,2,3", "trainer.profiler=null,no_such", f"run_dir={place}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tlplug", *words, "sweep.max_parallel=2"], stdout=subprocess.DEVNULL
    )
    wait_for(lambda: finished(place / "0"))
    wait_for(lambda: "running" in states_of(place) and processes_of(place))
    for number in processes_of(place):
        os.kill(number, signal.SIGKILL)
    wait_for(lambda: "killed" in states_of(place))
    process.kill()
    process.wait()
    wait_for(lambda: not processes_of(place), 20)
    assert set(states_of(place)) <= {"done", "killed", "failed", "running", "waiting"}
    written = (place / "0/result.json").stat().st_mtime_ns

    other = command_line(*words, "data.limit.train=8", "sweep.resume=true")
    assert other.returncode == 2 and "only in this one: data.limit.train=8" in other.stderr
    done = command_line(*words, "sweep.max_parallel=2", "sweep.resume=true")
    assert done.returncode == 1, done.stderr[-2000:]
    assert states_of(place) == ["done", "failed"] * 3
    assert (place / "0/result.json").stat().st_mtime_ns == written and "job 0 started" not in done.stdout
    assert {result_of(place / name)["seed"] for name in "024"} == {1, 2, 3}
    assert "Jobs 1, 3, 5: each failed, exit code 2" in done.stdout
    assert f"run_dir={place} sweep.resume=true" in done.stdout
    assert (place / "report.html").is_file() and (place / "report.md").is_file()
    assert re.search(r"0\s+seed=1 trainer.profiler=null\s+done\s+[\d.]+\s+\d*", done.stdout)


@pytest.mark.slow
def test_a_job_of_two_processes_runs_in_a_sweep(tmp_path, tiny_folder, rows_folder):
    words = [word for word in tiny_words(tiny_folder, rows_folder) if not word.startswith("trainer.devices")]
    words += ["transfer.baselines=[]", "metric=[]", "data.limit.test=7", "trainer.devices=2", "trainer=ddp"]
    done = command_line("-m", *words, "seed=1", f"run_dir={tmp_path / 'sweep'}")
    assert done.returncode == 0, done.stdout[-2000:]
    rows = (tmp_path / "sweep/0/predictions.jsonl").read_text().splitlines()
    assert len({json.loads(row)["id"] for row in rows}) == len(rows) == 7
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir() if path.is_dir()) == ["0"]
    assert not processes_of(tmp_path / "sweep")
