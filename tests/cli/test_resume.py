"""Runs that are killed, stopped or short of room, and gone on with: they end as if nothing had happened."""

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from bench.faults import forkserver as forked
from bench.faults.faults import KillDuringSave, last_step, limit_file_size, run_outputs
from tests.cli.runs import tiny_words, wait_for
from tests.conftest import ROOT

ONE = {"OMP_NUM_THREADS": "1"}


def words_of(tiny_folder, rows_folder, *more, strategy="lora"):
    kept = [word for word in tiny_words(tiny_folder, rows_folder, strategy) if "max_epochs" not in word]
    return [*kept, "checkpoint.every_steps=3", "checkpoint.every_minutes=null", *more]


LONG = (
    "trainer.max_epochs=12",
    "trainer.val_check_interval=0.5",
    "transfer.baselines=[trivial]",
    "metric=[cka]",
)


def checkpoints(folder):
    return sorted((folder / "checkpoints").glob("step-*.ckpt"))


def validated(folder):
    """Whether a run that trains has been scored on its validation split."""
    path = folder / "progress.json"
    return path.exists() and json.loads(path.read_text())["scores"]


@pytest.fixture
def cache(tmp_path):
    return {"TLPLUG_CACHE": str(tmp_path / "cache"), **ONE}


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_moments_ends_with_the_same_bytes(
    tmp_path, tiny_folder, rows_folder, cache
):
    words = words_of(tiny_folder, rows_folder, *LONG, "trainer.accumulate_grad_batches=2")
    output = tmp_path / "output.txt"
    assert forked.run([*words, f"run_dir={tmp_path / 'first'}"], output, cache) == 0  # fills the cache
    begun = time.monotonic()
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0, output.read_text()
    took = time.monotonic() - begun
    expected = run_outputs(tmp_path / "whole")
    dice = random.Random(6)
    steps = set()
    # In seconds: the start, the middle and the end of the process. In optimizer steps: three parts of the training.
    moments = [("seconds", took * (third + dice.random()) / 3) for third in range(3)]
    moments += [("steps", dice.randrange(first, first + 8)) for first in (1, 12, 23)]  # of 36
    for unit, moment in moments:
        folder = tmp_path / f"{unit}-{moment:.2f}"
        process = forked.start([*words, f"run_dir={folder}"], output, cache)
        code = killed(process, folder, unit, moment)
        assert code in (-signal.SIGKILL, 0)
        killed_after_its_result = code != 0 and (folder / "result.json").exists()
        if not (folder / "run.json").exists():
            assert forked.run([*words, f"run_dir={folder}"], output, cache) == 0, output.read_text()
        elif not (folder / "result.json").exists():
            steps.add(next(iter(checkpoints(folder)), Path("none")).stem)
            assert forked.run(["resume", folder], output, cache) == 0, output.read_text()
        assert run_outputs(folder) == expected
        if not killed_after_its_result:
            assert not (folder / "checkpoints").exists() and not (folder / "progress.json").exists()
    assert len(steps - {"none"}) > 2, f"it was not killed at three places of its training: {steps}"


def killed(process, folder, unit, moment):
    """The exit code of a run that is killed after some seconds, or as soon as it has taken some optimizer steps."""
    if unit == "seconds":
        return forked.kill_after(process, moment)
    return forked.kill_when(process, lambda: last_step(folder) >= moment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("gradual_unfreezing", ["trainer.val_check_interval=0.34"]),
        ("qlora", ["trainer.check_val_every_n_epoch=2"]),
        ("dann", ["data.target_domain={rows}"]),
    ],
)
def test_strategies_that_change_on_the_way_go_on_as_they_were(
    strategy, more, tmp_path, tiny_folder, rows_folder, cache
):
    more = [word.format(rows=rows_folder) for word in more]
    words = words_of(tiny_folder, rows_folder, *LONG[:1], *LONG[2:], *more, strategy=strategy)
    output = tmp_path / "output.txt"
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0, output.read_text()
    folder = tmp_path / "cut"
    process = forked.start([*words, f"run_dir={folder}"], output, cache)
    forked.kill_when(process, lambda: any(int(p.stem[5:]) >= 21 for p in checkpoints(folder)))
    assert forked.run(["resume", folder], output, cache) == 0, output.read_text()
    assert run_outputs(folder) == run_outputs(tmp_path / "whole")


def two(words, output, cache, port):
    """The two processes of a run that a launcher such as torchrun has started."""
    common = {
        **cache,
        **{"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "LOCAL_RANK": "0"},
    }
    return [
        forked.start(words, output, {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)
    ]


def free_port():
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.slow
def test_two_processes_that_are_killed_end_with_the_same_bytes(tmp_path, tiny_folder, rows_folder, cache):
    words = [word for word in words_of(tiny_folder, rows_folder, *LONG) if "devices" not in word]
    words += ["trainer.devices=2", "trainer.strategy=ddp"]
    output = tmp_path / "output.txt"
    for folder in ("whole", "cut"):
        processes = two([*words, f"run_dir={tmp_path / folder}"], output, cache, free_port())
        if folder == "cut":
            forked.kill_when(
                processes[0], lambda: any(int(p.stem[5:]) >= 9 for p in checkpoints(tmp_path / "cut"))
            )
            os.kill(processes[1].pid, signal.SIGKILL)
            forked.finish(processes[1])
            processes = two(["resume", tmp_path / "cut"], output, cache, free_port())
        assert [forked.finish(process) for process in processes] == [0, 0], output.read_text()[-3000:]
    assert run_outputs(tmp_path / "cut") == run_outputs(tmp_path / "whole")


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_save_leaves_the_checkpoint_before(
    tmp_path, tiny_folder, rows_folder, cache
):
    words = words_of(tiny_folder, rows_folder, *LONG)
    output, folder = tmp_path / "output.txt", tmp_path / "cut"
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0, output.read_text()
    code = forked.run([*words, f"run_dir={folder}"], output, cache, before=KillDuringSave(3))
    assert code == -signal.SIGKILL and [path.stem for path in checkpoints(folder)] == ["step-6"]
    assert list((folder / "checkpoints").glob(".step-9*")), "half of a file lies beside"
    assert forked.run(["resume", folder], output, cache) == 0, output.read_text()
    assert run_outputs(folder) == run_outputs(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")])
def test_a_signal_leaves_a_checkpoint_of_the_last_step_and_says_how_to_go_on(
    number, name, tmp_path, tiny_folder, rows_folder, cache
):
    words = words_of(tiny_folder, rows_folder, *LONG)
    words = [word for word in words if "every_steps" not in word]
    output, folder = tmp_path / "output.txt", tmp_path / "run"
    process = forked.start([*words, f"run_dir={folder}"], output, cache)
    assert forked.kill_when(process, lambda: validated(folder), number) == 128 + number
    (kept,) = checkpoints(folder)
    told = f"tlplug: stopped by {name}; python -m tlplug resume {folder} goes on after step {kept.stem[5:]}\n"
    assert told in output.read_text()
    assert "Traceback" not in output.read_text()
    assert forked.run(["resume", folder], output, cache) == 0
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0
    assert run_outputs(folder) == run_outputs(tmp_path / "whole")


def workers_of(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_workers_too_leaves_a_checkpoint_and_no_worker(
    number, tmp_path, tiny_folder, rows_folder, cache
):
    """A terminal sends Ctrl-C to all processes, and Slurm SIGTERM."""
    words = [word for word in words_of(tiny_folder, rows_folder, *LONG) if "every_steps" not in word]
    output, folder, workers = tmp_path / "output.txt", tmp_path / "run", set()
    process = forked.start([*words, "data.num_workers=2", f"run_dir={folder}"], output, cache)

    def all_signalled():
        if not validated(folder) or len(found := workers_of(process)) < 2:
            return False
        workers.update(found)
        for pid in found:
            os.kill(pid, number)
        return True

    assert forked.kill_when(process, all_signalled, number) == 128 + number, output.read_text()
    assert len(checkpoints(folder)) == 1 and "Traceback" not in output.read_text()
    assert workers
    wait_for(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], 20)  # they look every 5 s
    assert forked.run(["resume", folder], output, cache) == 0
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0
    assert run_outputs(folder) == run_outputs(tmp_path / "whole")


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_costs_a_warning(tmp_path, tiny_folder, rows_folder, cache):
    words = words_of(tiny_folder, rows_folder, *LONG, "checkpoint.keep_last=2")
    output = tmp_path / "output.txt"
    for number, before in enumerate((None, limit_file_size)):
        assert forked.run([*words, f"run_dir={tmp_path / str(number)}"], output, cache, before) == 0, (
            output.read_text()
        )
    assert len(checkpoints(tmp_path / "0")) == 2 and not checkpoints(tmp_path / "1")
    log = (tmp_path / "1" / "log.txt").read_text()
    assert "step-3.ckpt could not be written" in log and "File too large" in log
    assert run_outputs(tmp_path / "0") == run_outputs(tmp_path / "1")


@pytest.fixture
def small_disk(tmp_path):
    import subprocess

    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=560k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_on_a_full_disk_the_last_good_checkpoint_stays_and_is_gone_on_from(
    small_disk, tmp_path, tiny_folder, rows_folder, cache
):
    words = words_of(tiny_folder, rows_folder, *LONG, "checkpoint.keep_last=9")
    output, folder = tmp_path / "output.txt", small_disk / "run"
    assert forked.run([*words, f"run_dir={tmp_path / 'whole'}"], output, cache) == 0, output.read_text()
    assert forked.run([*words, f"run_dir={folder}"], output, cache) == 1
    said = output.read_text()
    assert "No space left on device" in said
    good = [path.stem for path in checkpoints(folder)]
    assert good and all(path.stat().st_size for path in checkpoints(folder))
    assert not list((folder / "checkpoints").glob(".*")), "nothing half written is left"
    import subprocess

    subprocess.run(["mount", "-o", "remount,size=9m", str(small_disk)], check=True)
    assert forked.run(["resume", folder], output, cache) == 0, output.read_text()
    assert run_outputs(folder) == run_outputs(tmp_path / "whole")


def test_the_same_command_with_resume_auto_begins_goes_on_and_has_nothing_left_to_do(
    tmp_path, tiny_folder, rows_folder, cache
):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    words = [*words_of(tiny_folder, rows_folder, *LONG), f"run_dir={folder}", "resume=auto"]
    assert (
        forked.kill_when(forked.start(words, output, cache), lambda: checkpoints(folder)) == -signal.SIGKILL
    )
    assert forked.run([*words, "seed=7"], output, cache) == 2
    assert "another run lies there, it differs in seed" in output.read_text()
    assert forked.run(words, output, cache) == 0, output.read_text()
    assert "resuming after optimizer step" in (folder / "log.txt").read_text()
    before = (folder / "result.json").read_bytes()
    assert forked.run(words, output, cache) == 0
    assert "has finished: nothing is left to do" in output.read_text()
    assert (folder / "result.json").read_bytes() == before


def test_with_resume_auto_and_no_folder_the_latest_run_of_this_config_is_gone_on_with(
    tmp_path, tiny_folder, rows_folder, cache, monkeypatch
):
    from tlplug.commands.unfinished_runs import unfinished
    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.directory import begin

    monkeypatch.chdir(tmp_path)

    def job_of(*more):
        with Composer() as composer:
            words = words_of(tiny_folder, rows_folder, *more, "resume=auto")
            return build(composer.compose(words), words)

    job = job_of()
    assert unfinished(job) is None
    for name in ("1", "2"):
        begin(job, Path("outputs/sentiment/lora") / name)
    begin(job_of("seed=3"), Path("outputs/sentiment/lora/3"))
    assert unfinished(job) == Path("outputs/sentiment/lora/2")


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda folder: (folder / "run.json").unlink(), "holds no run.json"),
        (lambda folder: (folder / "run.json").write_text("{"), "run.json cannot be read"),
        (lambda folder: (folder / "run.json").write_text('{"version": 9}'), "not one that this tlplug reads"),
        (lambda folder: (folder / "config.yaml").unlink(), "holds no config.yaml"),
        (lambda folder: (folder / "checkpoints" / "step-3.ckpt").write_bytes(b"PK"), "no checkpoint in"),
    ],
)
def test_what_cannot_be_gone_on_with_is_told_by_its_name(
    broken, told, tmp_path, tiny_folder, rows_folder, capsys
):
    from tests.cli.runs import main
    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.directory import begin

    folder = tmp_path / "run"
    with Composer() as composer:
        begin(build(composer.compose(words_of(tiny_folder, rows_folder))), folder)
    (folder / "checkpoints").mkdir()
    broken(folder)
    assert main(["resume", str(folder)]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_another_base_model_or_other_data_are_refused(tmp_path, rows_folder, cache):
    """What the checkpoint was written with is asked for when it is gone on from, not believed."""
    import shutil as files

    from tests.conftest import write_rows

    rows = tmp_path / "rows"
    files.copytree(rows_folder, rows)
    base = tmp_path / "base"
    make_base(base, 1)
    words = words_of(base, rows, *LONG)
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    process = forked.start([*words, f"run_dir={folder}"], output, cache)
    assert forked.kill_when(process, lambda: checkpoints(folder)) == -signal.SIGKILL
    make_base(base, 2)
    assert forked.run(["resume", folder], output, cache) == 2
    assert "was written with another base model" in output.read_text()
    make_base(base, 1)
    assert forked.kill_when(forked.start(["resume", folder], output, cache), lambda: goes_on(folder)) < 0
    write_rows(rows, train=40)
    assert forked.run(["resume", folder], output, cache) == 2
    assert "was written with another data" in output.read_text()


def goes_on(folder):
    return "resuming after" in (folder / "log.txt").read_text()


def make_base(folder, seed):
    import torch
    from transformers import BertConfig, BertModel

    from tests.conftest import make_tokenizer

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(
        folder
    )
    tokenizer.save_pretrained(folder)


def no_reader():
    """What is printed goes into a pipe whose other end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    os.close(writer)


def test_a_run_goes_on_when_nobody_reads_what_it_says(tmp_path, tiny_folder, rows_folder, cache):
    words = words_of(tiny_folder, rows_folder, "transfer.baselines=[]", "trainer.max_epochs=2")
    assert forked.run([*words, f"run_dir={tmp_path / 'run'}"], tmp_path / "output.txt", cache, no_reader) == 0
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
def test_a_run_whose_terminal_is_closed_leaves_a_checkpoint(tmp_path, tiny_folder, rows_folder, cache):
    import pty
    import subprocess
    import sys

    folder = tmp_path / "run"
    words = words_of(tiny_folder, rows_folder, *LONG[1:], "trainer.max_epochs=2000", f"run_dir={folder}")
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; from tests.cli.test_resume import in_terminal; in_terminal({words!r})",
        ],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, **cache, "TERM": "xterm"},
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(terminal)
    os.set_blocking(screen, False)
    until = time.monotonic() + 120
    while not validated(folder):
        assert time.monotonic() < until and process.poll() is None
        with contextlib.suppress(OSError):
            os.read(screen, 100_000)  # or the terminal would be full
        time.sleep(0.05)
    os.close(screen)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert checkpoints(folder)
    assert "OSError" not in (folder / "log.txt").read_text()


def in_terminal(words):
    """The command line, with its terminal as the one that controls it."""
    import fcntl
    import sys
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    from tlplug.cli import main

    sys.exit(main(words))


@pytest.mark.parametrize("where", [".", "link"])
def test_a_folder_whose_place_cannot_be_taken_is_written_into(
    where, tmp_path, tiny_folder, rows_folder, monkeypatch
):
    from tlplug.commands.unfinished_runs import unfinished
    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.runs.directory import begin

    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty" if where == "." else tmp_path)
    with Composer() as composer:
        job = build(composer.compose(words_of(tiny_folder, rows_folder, f"run_dir={where}")))
    begin(job, Path(where))
    assert unfinished(job) == Path(where)
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"config.yaml", "run.json"}


def test_what_another_run_has_begun_is_not_begun_again(tmp_path):
    from tlplug.errors import UsageError
    from tlplug.runs import directory as run_directory

    run_directory.create(tmp_path / "run", "seed: 1\n", words=[])
    with pytest.raises(UsageError, match="something lies there already"):
        run_directory.create(tmp_path / "run", "seed: 2\n", words=[])
    assert (tmp_path / "run" / "config.yaml").read_text() == "seed: 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_that_another_process_has_finished_meanwhile_is_left_as_it_is(
    tmp_path, tiny_folder, rows_folder
):
    from rich.console import Console

    from tlplug.config.compose import Composer
    from tlplug.config.job import build
    from tlplug.errors import UsageError
    from tlplug.runs.directory import begin
    from tlplug.runs.run import run

    folder = tmp_path / "run"
    with Composer() as composer:
        job = build(composer.compose(words_of(tiny_folder, rows_folder)))
    begin(job, folder)
    for name in ("result.json", "report.html"):
        (folder / name).write_text("")
    with pytest.raises(UsageError, match="has finished meanwhile"):
        run(job, Console(quiet=True), folder)


def test_two_processes_never_work_on_one_run(tmp_path):
    from tlplug.errors import UsageError
    from tlplug.runs import directory as run_directory

    run_directory.create(tmp_path / "run", "seed: 1\n", words=[])
    assert not run_directory.is_held(tmp_path / "run")
    with run_directory.held(tmp_path / "run"):
        assert run_directory.is_held(tmp_path / "run")
        with (
            pytest.raises(UsageError, match="another process works on the run"),
            run_directory.held(tmp_path / "run", patience=0),
        ):
            pass
