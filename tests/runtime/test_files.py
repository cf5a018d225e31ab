"""Write files whole or not at all, by one process at a time."""

from __future__ import annotations

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


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "b.json"
    files.atomic_write(path, "first")
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        files.atomic_write(path, "second")
    assert path.read_text() == "first" and list(path.parent.iterdir()) == [path]
