"""Write files whole or not at all, by one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from tlplug.runtime import files
from tlplug.runtime.files import file_lock


def test_one_process_at_a_time_makes_a_file(tmp_path):
    """Two that come at the same moment: the second finds what the first has made."""
    path, made = tmp_path / "cache" / "file", []

    def make():
        with file_lock(path):
            if not path.exists():
                time.sleep(0.05)
                made.append(path.write_text("made"))

    both = [threading.Thread(target=make) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(made) == 1


def test_where_nothing_can_be_written_nobody_waits(tmp_path):
    (tmp_path / "file").write_text("in the way of a folder")
    with file_lock(tmp_path / "file" / "below"):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from tlplug.runtime.files import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_file_is_another_process_s_to_make_until_that_is_killed(tmp_path):
    path, seconds = tmp_path / "cache" / "file", []
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        threading.Timer(0.5, holder.kill).start()
        begun = time.monotonic()
        with file_lock(path):
            seconds.append(time.monotonic() - begun)
    finally:
        holder.kill()
        holder.wait()
    assert 0.4 < seconds[0] < 30, "it waits for the other, and no longer than that lives"


def test_what_fails_while_a_lock_is_held_lets_it_go(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), file_lock(tmp_path / "file"):
            1 / 0  # noqa: B018


@pytest.mark.parametrize("number", files.UNLOCKABLE)
def test_a_file_system_without_locks_is_said_and_nobody_waits(number, tmp_path, monkeypatch, caplog, recwarn):
    def refuse(opened, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    with file_lock(tmp_path / "file"):
        assert caplog.text == "", "a cache is safe without locks: each file is written whole"
    with (tmp_path / "output").open("w") as output:
        assert files.try_lock(output.fileno(), tmp_path)
    assert f"{tmp_path} is on a file system without locks: begin no second process on it" in caplog.text


def test_a_child_that_inherits_a_locked_file_holds_it_on(tmp_path):
    with (tmp_path / "output").open("w") as output:
        assert files.try_lock(output.fileno(), tmp_path)
        child = subprocess.Popen(["sleep", "600"], stdout=output)
    try:
        with (tmp_path / "output").open("r+") as again:
            assert not files.try_lock(again.fileno(), tmp_path)
            child.kill()
            child.wait()
            assert files.try_lock(again.fileno(), tmp_path)
    finally:
        child.kill()


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "b.json"
    files.atomic_write(path, "first")
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        files.atomic_write(path, "second")
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
