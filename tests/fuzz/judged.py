"""Runs a command line in this process, as a shell would, and holds it to what is promised of every one."""

import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout

from hypothesis import HealthCheck, Phase, settings

from tlplug.cli import main

DONE, USAGE = 0, 2


def examples(count):
    """So many examples, the same ones each time, and nothing of them kept."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        # Each example composes a config: to explain a failure takes minutes, and to shrink one does too.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def outcome(words):
    """Exit code, what was printed and what was told; an exception is one of `main`, but for argparse's own `--help`."""
    # A terminal's streams: what is no text cannot be printed, and is spelt out among the errors.
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(told):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code or 0
        out.flush()
        told.flush()
    return code, *(stream.buffer.getvalue().decode() for stream in (out, told))


def judged(words, place):
    """The exit code of a command line that is run in `place`, and what it told.

    0 or 2, and with 2 one message, no traceback, and nothing that was not there before.
    """
    before = tree(place)
    code, out, told = outcome(words)
    assert code in (DONE, USAGE), (code, told)
    assert "Traceback" not in told + out, told
    if code == USAGE:
        assert told.startswith("tlplug: ") and told.removeprefix("tlplug: ").strip(), told
        assert not any(line.startswith("tlplug: ") for line in told.splitlines()[1:]), told
        assert tree(place) == before, f"{tree(place) - before} was left behind"
    return code, told


def tree(place):
    """All that lies below a folder."""
    return {f"{folder}/{name}" for folder, folders, files in os.walk(place) for name in [*folders, *files]}


def emptied(place):
    """The folder as it was before anything was made in it."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
